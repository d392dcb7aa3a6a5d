"""Attachments taken away, with the journal in step: what can't be removed now stays there, for the next try."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from multinet.adapters.netns import Netns
from multinet.cni.errors import CNIError
from multinet.core.record import AttachmentRecord
from multinet.daemon.attachments import Attachments
from multinet.ports import Journal


class Removal:
    """Removes attachments of one container by what ADD recorded. Callers have the container's turn."""

    def __init__(self, journal: Journal, attachments: Attachments) -> None:
        self._journal = journal
        self._attachments = attachments

    def detach_container(
        self,
        container_id: str,
        offered: Netns | None = None,
        unwanted: Callable[[AttachmentRecord], bool] = lambda _: True,
    ) -> dict[str, CNIError]:
        """Remove all that the container has, or what of it is ``unwanted``; interface name → why it is still there.

        ``offered`` is the container's namespace, if one is at hand. Nothing to remove is success.
        """
        there = self._journal.of(container_id)
        records = [record for record in there if unwanted(record)]
        if not records:
            return {}
        self._journal.deleting(records)
        remove = self._remover(len(records) == len(there))
        with self._attachments.sandbox_of(records, offered) as sandbox:
            failures = remove(records, sandbox)
        self._settle(records, failures)
        return failures

    def take_back(
        self,
        records: Sequence[AttachmentRecord],
        begun: Sequence[AttachmentRecord],
        sandbox: Netns | None,
        failure: BaseException,
    ) -> None:
        """Remove what of ``records`` a failed ADD has begun; what is still there is said in ``failure``."""
        there = self._journal.of(records[0].container_id)
        failures = self._remover(len(records) == len(there))(begun, sandbox)
        touched = {record.ifname for record in begun}
        untouched = [record for record in records if record.ifname not in touched]
        self._settle([*begun, *untouched], failures)
        if failures and isinstance(failure, CNIError):
            left = "; ".join(f"{ifname} could not be removed: {error}" for ifname, error in failures.items())
            failure.tell_also(left)

    def _remover(
        self, is_all: bool
    ) -> Callable[[Sequence[AttachmentRecord], Netns | None], dict[str, CNIError]]:
        return self._attachments.detach_all if is_all else self._attachments.detach_some

    def _settle(self, records: Sequence[AttachmentRecord], failures: Mapping[str, CNIError]) -> None:
        """Keep in the journal what failed, with the reason; forget the others."""
        for record in records:
            if record.ifname in failures:
                self._journal.failed(record, str(failures[record.ifname]))
        self._journal.forget([record for record in records if record.ifname not in failures])
