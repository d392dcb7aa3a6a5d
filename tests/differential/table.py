"""How tables are written: a plugin's cases share options, a setup and improvements."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.differential import better
from tests.differential.case import NO_SETUP, Case, Improvement, Json, Setup

_OF_THE_CASE = ("version", "cni_args", "refused", "needs", "chain", "check", "ifname")


class Table(list[Case]):
    """The cases of one plugin."""

    def __init__(
        self,
        plugin: str,
        *,
        conf: Json | None = None,
        setup: Setup = NO_SETUP,
        chain: tuple[Json, ...] = (),
        needs: tuple[str, ...] = (),
        usual: Callable[[Case], tuple[Improvement, ...]] = lambda case: (),
    ) -> None:
        """``usual``: what is better in every case that succeeds and is like this one."""
        super().__init__()
        self._usual = usual
        self._plugin, self._conf, self._setup = plugin, conf or {}, setup
        self._chain, self._needs = chain, needs

    def case(self, what: str, *improvements: Improvement, setup: Setup = NO_SETUP, **more: Any) -> Case:
        """One more: terms of the case by their names, all others are options of the plugin."""
        terms = {key: more.pop(key) for key in _OF_THE_CASE if key in more}
        terms["needs"] = (*self._needs, *terms.get("needs", ()))
        terms.setdefault("chain", self._chain)
        made = Case(
            plugin=self._plugin,
            what=what,
            conf={**self._conf, **more},
            setup=self._setup + setup,
            improvements=improvements,
            **terms,
        )
        if not made.refused:
            made = made.better(*self._usual(made))
        self.append(made)
        return made

    def refusal(self, what: str, refused: str, *improvements: Improvement, **more: Any) -> Case:
        """One that both refuse with this phrase; theirs as a rule without a code that says anything."""
        return self.case(what, better.CODE, *improvements, refused=refused, **more)
