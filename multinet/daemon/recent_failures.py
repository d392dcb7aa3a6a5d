"""The last failed ADD of each pod, for those who ask why."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager

from multinet.cni.errors import CNIError
from multinet.core.explanation import LastFailure
from multinet.daemon.call import Call
from multinet.daemon.events import failed_attachment
from multinet.daemon.pods import named_pod

__all__ = ["RecentFailures"]

_MOST = 256


class RecentFailures:
    """In memory: a pod whose ADD fails is tried again within seconds, also after a restart of the daemon."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._of: OrderedDict[tuple[str, str], LastFailure] = OrderedDict()

    @contextmanager
    def of(self, call: Call) -> Iterator[None]:
        """Keeps the failure of the ADD that is done within; its success forgets an earlier one."""
        try:
            yield
        except CNIError as error:
            self._keep(call, error)
            raise
        if self._of:
            with self._lock:
                self._of.pop(_pod(call), None)

    def last(self, namespace: str, name: str) -> LastFailure | None:
        """The pod's last ADD, if that failed."""
        return self._of.get((namespace, name))

    def _keep(self, call: Call, error: CNIError) -> None:
        try:
            pod = _pod(call)
        except CNIError:  # CNI_ARGS that can't be read name nobody
            return
        event = failed_attachment(error)
        failure = LastFailure(
            at=time.time(),
            container_id=call.invocation.container_id,
            code=error.code,
            reason=event.reason if event else "",
            message=str(error),
        )
        with self._lock:
            self._of.pop(pod, None)
            self._of[pod] = failure
            if len(self._of) > _MOST:
                self._of.popitem(last=False)


def _pod(call: Call) -> tuple[str, str]:
    pod = call.pod or named_pod(call)
    return pod.namespace, pod.name
