"""Policy routing: rules that lead to a table, and routes that stand elsewhere now."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial

from multinet.adapters import kernel_messages as messages
from multinet.adapters.kernel_values import RouteInfo, RuleInfo
from multinet.core.desired import Difference, NoRoute, Rule
from multinet.engine.kinds.base import Kind, Placed, Rank
from multinet.engine.scene import Scene
from multinet.engine.stage import Stage
from multinet.engine.steps import GONE, Step, perform
from multinet.engine.undo import Undo
from multinet.engine.views import Views


class RuleKind(Kind[Rule]):
    """Policy rules. They outlive links and addresses, so each is removed by itself."""

    def configure(self, item: Rule, stage: Stage) -> Iterable[Placed]:
        """Unless it is there: without a priority the kernel would make it once more."""
        if any(_is(item, rule) for rule in stage.scene.facts.rules(item.place)):
            return
        back = partial(stage.scene.stack(item.place).send, [messages.delete_rule(item)])
        words = f"failed to add rule: from {item.source} lookup {item.table}"
        yield Placed(item.place, Rank.RULE, Step(messages.rule(item), words, undo=back))

    def compare(self, item: Rule, views: Views) -> Iterator[Difference]:
        """Source, table, and priority if one was asked for."""
        view = views[item.place]
        rules = view.once(("rules",), view.stack.rules)
        if not any(_is(item, rule) for rule in rules):
            have = ", ".join(f"{r.table} (priority {r.priority})" for r in rules if r.source == item.source)
            yield Difference(f"rule from {item.source}", "table", str(item.table), have)

    def remove(self, item: Rule, scene: Scene) -> None:
        """Whoever made it."""
        if item.place == "sandbox" and scene.sandbox is None:
            return
        step = Step(messages.delete_rule(item), f"Failed to delete rule from {item.source}", GONE)
        perform([step], scene.stack(item.place), Undo())


class NoRouteKind(Kind[NoRoute]):
    """Routes that must go."""

    def configure(self, item: NoRoute, stage: Stage) -> Iterable[Placed]:
        """Away, once all else is in place; gone already is fine."""
        stack, index = stage.scene.stack(item.place), stage.indexes[item.place, item.link]
        back = partial(stack.send, [messages.route(item, index)])
        words = f'failed to delete route {item.dst} of table {item.table} from "{item.link}"'
        step = Step(messages.delete_route(item, index), words, GONE, undo=back)
        yield Placed(item.place, Rank.AWAY, step)

    def compare(self, item: NoRoute, views: Views) -> Iterator[Difference]:
        """It isn't back."""
        view = views[item.place]
        link = view.link(item.link)
        if link is not None and any(_stands(item, link.index, route) for route in view.routes()):
            yield Difference(f"route {item.dst}", f"place in table {item.table}", "none", f"dev {item.link}")

    def remove(self, item: NoRoute, scene: Scene) -> None:
        """Put back as far as the kernel takes it: on a link that is down, or has lost its address, it doesn't."""
        if item.place == "sandbox" and scene.sandbox is None:
            return
        stack = scene.stack(item.place)
        link = stack.link(item.link)
        if link is not None:
            stack.send([messages.route(item, link.index)])


def _is(item: Rule, rule: RuleInfo) -> bool:
    same = (rule.source, rule.table) == (item.source, item.table)
    return same and item.priority in (0, rule.priority)


def _stands(item: NoRoute, index: int, route: RouteInfo) -> bool:
    hops = {(gateway, index) for gateway in item.gateways} or {("", index)}
    return (route.dst, route.table, route.metric, set(route.hops)) == (
        item.dst,
        item.table,
        item.metric,
        hops,
    )
