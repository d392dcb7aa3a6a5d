"""tuning: sysctls and attributes of the interface that earlier plugins made, changed for as long as the pod has it."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from multinet.cni.errors import CNIError, Code
from multinet.cni.result import Result
from multinet.core.desired import AnyItem, LinkAttributes, LinkSettings, Sysctl
from multinet.delegates.tuning_backup import Backup, backup_file, backup_in, backup_of, backups
from multinet.delegates.tuning_conf import Tuning, TuningConf, require_allowed, sysctl_path, tuning_of
from multinet.sdk import Desired, Facts, LinkInfo, Sandbox, chained_delegate
from multinet.sdk.delegate_plugin import Valid

_MISSING = "Required prevResult missing"


@chained_delegate(TuningConf, known_args=("IgnoreUnknown", "MAC"), missing=_MISSING)
def tuning(conf: TuningConf, pod: Sandbox, host: Facts) -> Desired:
    """What is configured, and what was before: for the DEL."""
    wanted = tuning_of(conf, pod.requested_mac)
    if pod.made:
        return Desired(_items(wanted, Backup(), pod))
    require_allowed(wanted.sysctl, host)
    backup = _before(conf, wanted, pod, host)
    file = (backup_file(conf.data_dir, pod.owner, backup),) if wanted.changes_anything else ()
    return Desired((*file, *_items(wanted, backup, pod)), _reported(wanted.link, pod))


@tuning.leftovers
def _leftovers(conf: TuningConf | None, pod: Sandbox, host: Facts) -> Iterable[AnyItem]:
    """Whatever the backup file says, whoever wrote it; a file that nobody understands just goes."""
    folder = (conf or TuningConf()).data_dir
    backup = backup_of(folder, pod.owner, host)
    if backup is None:
        return ()
    items: list[AnyItem] = [backup_file(folder, pod.owner, backup)]
    for key, value in backup.sysctl.items():
        present = _present(key, host)
        if present is not None:
            items.append(Sysctl(whose="borrowed", key=key, value=present, before=value))
    return (
        *items,
        LinkSettings(whose="borrowed", link=pod.ifname, want=LinkAttributes(), before=backup.link),
    )


@tuning.stale
def _stale(conf: TuningConf | None, network: str, valid: Valid, host: Facts) -> Iterable[AnyItem]:
    """Backup files of the network's attachments that are gone; other networks may use the folder, too."""
    folder = (conf or TuningConf()).data_dir
    return [
        file
        for owner, file in backups(folder, network, host)
        if (owner.container_id, owner.ifname) not in valid
    ]


@tuning.ready
def _ready(conf: TuningConf, host: Facts) -> None:
    """The host's list allows every sysctl that is configured."""
    require_allowed(tuning_of(conf, "").sysctl, host)


def _items(wanted: Tuning, backup: Backup, pod: Sandbox) -> tuple[AnyItem, ...]:
    items: list[AnyItem] = []
    for key, value in wanted.sysctl.items():
        path = sysctl_path(key, pod.ifname)
        items.append(Sysctl(whose="borrowed", key=path, value=value, before=backup.sysctl.get(path)))
    if wanted.changes_link:
        items.append(LinkSettings(whose="borrowed", link=pod.ifname, want=wanted.link, before=backup.link))
    return tuple(items)


def _before(conf: TuningConf, wanted: Tuning, pod: Sandbox, host: Facts) -> Backup:
    """What an earlier ADD of the attachment found, and for the rest what is there now."""
    first = backup_of(conf.data_dir, pod.owner, host) or Backup()
    now = Backup()
    if wanted.changes_link:
        now = replace(now, link=backup_in(_link(pod, host), wanted.link))
    paths = [sysctl_path(key, pod.ifname) for key in wanted.sysctl]
    found = {path: value for path in paths if (value := _present(path, host)) is not None}
    return replace(now, sysctl=found).after(first)


def _link(pod: Sandbox, host: Facts) -> LinkInfo:
    link = host.link(pod.ifname, "sandbox")
    if link is None:
        raise CNIError(Code.KERNEL, f'failed to get "{pod.ifname}": Link not found in {pod.netns}')
    return link


def _present(key: str, host: Facts) -> str | None:
    """The value of a sysctl; None for one that isn't there or can only be written."""
    try:
        return host.sysctl(key, "sandbox")
    except (OSError, CNIError):
        return None


def _reported(link: LinkAttributes, pod: Sandbox) -> Result:
    """The previous result with the interface's MAC and MTU as they are now."""
    previous = pod.previous or Result()
    changed = tuple(
        replace(one, mac=link.mac or one.mac, mtu=link.mtu or one.mtu) if one.name == pod.ifname else one
        for one in previous.interfaces
    )
    return replace(previous, interfaces=changed)
