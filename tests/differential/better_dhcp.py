"""What is better about dhcp, each with its row in docs/reference/differences.md."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.differential import better
from tests.differential.case import ABSENT, Case, Difference, Improvement, differs, either

_SECTION = "dhcp"
_USUAL = {1, 3, 6, 15, 26, 33, 119, 121, 249}
_THEIR_USUAL = {1, 3}


def _has(text: str) -> Any:
    return lambda value: text in str(value)


def _asks_more(found: Difference) -> bool:
    """Both ask for what was listed; each also for what it asks for by default."""
    if not differs("wire > * > options > 55")(found) or ABSENT in (found.ours, found.theirs):
        return False
    ours, theirs = ({int(code) for code in codes.split(",")} for codes in (found.ours, found.theirs))
    return theirs >= _THEIR_USUAL and ours == theirs | _USUAL


def _theirs_only(step: str) -> Callable[[Difference], bool]:
    """Ours sends nothing then."""
    return differs(f"wire > {step} > *", ours=ABSENT)


def _only_ours_adds(words: str) -> Callable[[Difference], bool]:
    """Theirs refuses the configuration with these words, and sends nothing."""
    return either(
        differs("ADD > refused > text", theirs=_has(words), ours=ABSENT),
        differs("ADD > refused > code", theirs=lambda code: code in (1, 999), ours=ABSENT),
        differs("ADD > result > *", theirs=ABSENT),
        differs("wire > *", theirs=ABSENT),
        differs("DEL*", theirs=_has(words), ours="fine"),
    )


def _only_ours_refuses() -> Callable[[Difference], bool]:
    """Theirs acquires a lease."""
    return either(
        differs("ADD > refused > *", theirs=ABSENT),
        differs("ADD > result > *", ours=ABSENT),
        differs("wire > *", ours=ABSENT),
    )


MTU = Improvement(
    better.ALL, "`mtu` in `interfaces`", differs("ADD* > result > interfaces > * > mtu", theirs=ABSENT)
)
ASKED_FOR = Improvement(_SECTION, "options asked for by default", _asks_more)
LARGEST = Improvement(
    _SECTION, "largest message", differs("wire > * > options > 57", theirs=ABSENT, ours="05dc")
)
"""1500 bytes."""
CHECK = Improvement(_SECTION, "CHECK", _theirs_only("CHECK"))
RELEASE = Improvement(
    _SECTION,
    "renew, RELEASE",
    either(
        differs("wire > * RELEASE > from", theirs=_has("0.0.0.0 ")),
        differs("wire > * RELEASE > to", theirs="255.255.255.255 ff:ff:ff:ff:ff:ff"),
    ),
)
BY_ROUTES_ASKED_FOR = Improvement(
    _SECTION,
    "options asked for by default",
    either(
        _asks_more,
        differs("ADD > result > routes > *"),
        differs("after ADD > sandbox > routes > type unicast dst 192.0.2.0/24 *", theirs=ABSENT, ours=1),
        differs("after ADD > sandbox > routes > type unicast dst default gateway 10.7.0.8 *", ours=1),
        differs("after ADD > sandbox > routes > type unicast dst default gateway 10.7.0.1 *", theirs=1),
    ),
)
"""A server sends what it is asked for: theirs doesn't get classless routes."""
TWIN = Improvement(
    _SECTION,
    "option 249",
    either(
        differs("ADD > result > routes > *"),
        differs("after ADD > sandbox > routes > type unicast dst 192.0.2.0/24 *", theirs=ABSENT, ours=1),
        differs("after ADD > sandbox > routes > type unicast dst 172.20.0.0/16 *", theirs=ABSENT, ours=1),
        differs("after ADD > sandbox > routes > type unicast dst default gateway 10.7.0.8 *", ours=1),
        differs("after ADD > sandbox > routes > type unicast dst default gateway 10.7.0.1 *", theirs=1),
    ),
)
ON_LINK = Improvement(
    _SECTION,
    "classless route without router",
    either(
        differs("ADD > result > routes > 2 > scope", theirs=ABSENT, ours=253),
        differs("after ADD > sandbox > routes > *172.20.0.0/16* scope link", theirs=ABSENT, ours=1),
        differs("after ADD > sandbox > routes > *172.20.0.0/16* scope global", theirs=1, ours=ABSENT),
        differs("CHECK", theirs=_has("not found in routing table"), ours="fine"),
    ),
)
HOST_BITS = Improvement(
    _SECTION,
    "option 33 with bits beyond a class's mask",
    differs("ADD > result > routes > 0 > dst", theirs="10.50.0.0/8", ours="10.0.0.0/8"),
)
IN_THE_RESULT = Improvement(
    _SECTION,
    "`dns`, MTU",
    either(
        differs("ADD > result > dns > *", theirs=ABSENT),
        differs("ADD > result > routes > * > mtu", theirs=ABSENT, ours=1300),
        differs("after ADD > sandbox > routes > *'mtu': 1300*", theirs=ABSENT, ours=1),
        differs("after ADD > sandbox > routes > *dst default*", theirs=1, ours=ABSENT),
    ),
)
PRIORITY = Improvement(
    _SECTION,
    "`priority`",
    either(
        differs("ADD > result > routes > * > priority", theirs=ABSENT, ours=77),
        differs("after ADD > sandbox > routes > * metric 77", theirs=ABSENT, ours=1),
        differs("after ADD > sandbox > routes > *", theirs=1, ours=ABSENT),
    ),
)
RELEASED_ID = Improvement(
    _SECTION,
    "`provide` with 61",
    differs("wire > DEL > 0 RELEASE > options > 61", theirs="c-1/net/eth0", ours="me"),
)
NOTHING_ASKED_FOR = Improvement(
    _SECTION, "`skipDefault` with no option named", _only_ours_adds('Can not parse option ""')
)
SEVERAL_ROUTERS = Improvement(
    _SECTION,
    "several routers",
    either(
        differs("ADD > result > ips > 0 > gateway", theirs=ABSENT, ours="10.7.0.1"),
        differs("ADD > result > routes > 0 > *", theirs=ABSENT),
        differs("after ADD > sandbox > routes > *dst default gateway 10.7.0.1 *", theirs=ABSENT, ours=1),
    ),
)
OUTSIDE = Improvement(
    better.ROUTES,
    "gateway outside the address's prefix",
    either(
        differs("ADD > refused > text", theirs=_has("network is unreachable"), ours=ABSENT),
        differs("ADD > refused > code", theirs=999, ours=ABSENT),
        differs("ADD > result > *", theirs=ABSENT),
        differs("after ADD > sandbox > routes > *dst default * onlink", theirs=ABSENT, ours=1),
        differs("wire > ADD > 2 RELEASE > *", ours=ABSENT),
        differs("wire > DEL > 0 RELEASE > *", theirs=ABSENT),
    ),
)
"""Theirs fails when the lease is there, and gives it back at once."""
LEASE_TIME = Improvement(
    _SECTION,
    "lease without option 51",
    either(
        differs("ADD > refused > text", theirs=_has("option LeaseTime not found"), ours=ABSENT),
        differs("ADD > refused > code", theirs=999, ours=ABSENT),
        differs("ADD > result > *", theirs=ABSENT),
        differs("wire > DEL > 0 RELEASE > *", theirs=ABSENT),
    ),
)
"""Theirs doesn't give back what it can't use."""
PROTOCOLS_OWN = Improvement(_SECTION, "`provide` with 50, 52 to 57", _only_ours_refuses())
TWICE = Improvement(_SECTION, "option provided twice, `value` with `hex`", _only_ours_refuses())
BROADCAST = Improvement(
    _SECTION, "broadcast flag", differs("wire > ADD > * > broadcast", theirs=False, ours=True)
)
OTHER_IDS = Improvement(
    _SECTION,
    "binary values, required options, other ids",
    either(
        differs("wire > * > options > 61", theirs="c-1/net/eth0", ours="01020000000020"),
        differs("wire > ADD > * > options > 77", theirs=ABSENT, ours="03616263"),
    ),
)
LONG_ID = Improvement(
    _SECTION,
    "client ids of more than 254 bytes",
    differs("wire > * > options > 61", theirs=f"c-1/{'n' * 250}", ours=_has("~")),
)
HELD_ALREADY = Improvement(_SECTION, "ADD for an interface that has a lease", _theirs_only("ADD alone"))
RESTARTED = Improvement(_SECTION, "daemon restarted", differs("wire > DEL > 0 RELEASE > *", theirs=ABSENT))
AWAY_AT_DEL = Improvement(
    _SECTION,
    "daemon away at DEL",
    either(
        differs("DEL", theirs=_has("error dialing DHCP daemon"), ours="fine"),
        lambda found: found.at.startswith("after DEL > ") and found.ours == found.before,
    ),
)
WHO_RENEWS = Improvement(
    _SECTION,
    "who renews",
    differs(
        "ADD > refused > text", theirs="error dialing DHCP daemon", ours=_has("nobody would renew a lease")
    ),
)
BRIDGE_DEL = Improvement(_SECTION, "DEL of a `bridge`", differs("wire > DEL > 0 RELEASE > *", theirs=ABSENT))
NEWEST = Improvement(better.ALL, "version 1.1.0", _only_ours_adds("incompatible CNI versions"))
_ONLY_OURS = {NOTHING_ASKED_FOR, NEWEST}


def usual(case: Case, story: tuple[str, ...]) -> list[Improvement]:
    """What is better in every case that succeeds and is like this one."""
    if "ADD" not in story or _ONLY_OURS.intersection(case.improvements):
        return []
    found = [LARGEST]
    if case.plugin != "dhcp":
        found += [better.QUEUE, *([MTU] if case.version == "1.0.0" else [])]
    if "skipDefault" not in str(case.conf) and BY_ROUTES_ASKED_FOR not in case.improvements:
        found.append(ASKED_FOR)
    if "CHECK" in story:
        found.append(CHECK)
    if not {RESTARTED, AWAY_AT_DEL, BRIDGE_DEL, OUTSIDE, LEASE_TIME}.intersection(case.improvements):
        found.append(RELEASE)
    return found


def usual_of_refusals(case: Case) -> list[Improvement]:
    """What is better in every case that fails and is like this one."""
    if {PROTOCOLS_OWN, TWICE}.intersection(case.improvements):
        return []
    return [better.CODE, *([better.NOTHING_LEFT] if case.plugin == "macvlan" else [])]
