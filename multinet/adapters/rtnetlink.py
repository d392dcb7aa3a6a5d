"""rtnetlink's numbers and fixed headers, by the names that the kernel gives them.

Sources: linux/rtnetlink.h, if.h, if_link.h, if_addr.h, if_bridge.h, neighbour.h, fib_rules.h, pkt_sched.h,
pkt_cls.h, tc_act/tc_mirred.h (all below include/uapi), rtnetlink(7).
"""

from __future__ import annotations

from struct import Struct

RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK, RTM_SETLINK = 16, 17, 18, 19
RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR = 20, 21, 22
RTM_NEWROUTE, RTM_DELROUTE, RTM_GETROUTE = 24, 25, 26
RTM_NEWNEIGH, RTM_DELNEIGH, RTM_GETNEIGH = 28, 29, 30
RTM_NEWRULE, RTM_DELRULE, RTM_GETRULE = 32, 33, 34
RTM_NEWQDISC, RTM_DELQDISC, RTM_GETQDISC = 36, 37, 38
RTM_NEWTCLASS, RTM_GETTCLASS = 40, 42
RTM_NEWTFILTER, RTM_DELTFILTER, RTM_GETTFILTER = 44, 45, 46
RTM_GETVLAN = 114

IFF_UP, IFF_PROMISC, IFF_ALLMULTI = 0x1, 0x100, 0x200

IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_LINK, IFLA_MASTER = 1, 3, 4, 5, 10
IFLA_PROTINFO, IFLA_TXQLEN, IFLA_OPERSTATE, IFLA_LINKINFO, IFLA_IFALIAS = 12, 13, 16, 18, 20
IFLA_AF_SPEC, IFLA_GROUP, IFLA_NET_NS_FD, IFLA_EXT_MASK = 26, 27, 28, 29
IFLA_LINK_NETNSID, IFLA_NEW_IFINDEX, IFLA_PERM_ADDRESS = 37, 49, 54
IFLA_PARENT_DEV_NAME, IFLA_PARENT_DEV_BUS_NAME = 56, 57
IFLA_INFO_KIND, IFLA_INFO_DATA, IFLA_INFO_SLAVE_KIND, IFLA_INFO_SLAVE_DATA = 1, 2, 4, 5
RTEXT_FILTER_SKIP_STATS = 8

IFLA_MACVLAN_MODE, IFLA_MACVLAN_BC_QUEUE_LEN = 1, 7
IFLA_IPVLAN_MODE = 1
IFLA_VLAN_ID = 1
IFLA_VRF_TABLE = 1
IFLA_TUN_OWNER, IFLA_TUN_GROUP, IFLA_TUN_TYPE, IFLA_TUN_PI = 1, 2, 3, 4
IFLA_TUN_VNET_HDR, IFLA_TUN_PERSIST, IFLA_TUN_MULTI_QUEUE = 5, 6, 7
VETH_INFO_PEER = 1

IFLA_BR_VLAN_FILTERING = 7
IFLA_BRPORT_STATE, IFLA_BRPORT_MODE, IFLA_BRPORT_ISOLATED = 1, 4, 33
IFLA_BRIDGE_VLAN_INFO = 2
BRIDGE_VLAN_INFO_PVID, BRIDGE_VLAN_INFO_UNTAGGED = 0x2, 0x4
BRIDGE_VLAN_INFO_RANGE_BEGIN, BRIDGE_VLAN_INFO_RANGE_END = 0x8, 0x10
BRIDGE_VLANDB_ENTRY, BRIDGE_VLANDB_ENTRY_INFO, BRIDGE_VLANDB_ENTRY_RANGE = 1, 1, 2

IFA_ADDRESS, IFA_LOCAL, IFA_BROADCAST, IFA_FLAGS = 1, 2, 4, 8
IFA_F_NODAD, IFA_F_DADFAILED, IFA_F_TENTATIVE, IFA_F_PERMANENT = 0x02, 0x08, 0x40, 0x80
IFA_F_NOPREFIXROUTE = 0x200

RTA_DST, RTA_OIF, RTA_GATEWAY, RTA_PRIORITY, RTA_PREFSRC = 1, 4, 5, 6, 7
RTA_METRICS, RTA_MULTIPATH, RTA_TABLE = 8, 9, 15
RTAX_MTU, RTAX_ADVMSS = 2, 8
RTNH_F_ONLINK = 4
RT_TABLE_UNSPEC, RT_TABLE_COMPAT, RT_TABLE_MAIN = 0, 252, 254
RTPROT_UNSPEC, RTPROT_KERNEL, RTPROT_BOOT = 0, 2, 3
RTN_UNICAST = 1
RTM_F_FIB_MATCH = 0x2000

FRA_SRC, FRA_PRIORITY, FRA_TABLE, FRA_PROTOCOL = 2, 6, 15, 21
FR_ACT_TO_TBL = 1

NDA_DST, NDA_LLADDR, NDA_IFINDEX = 1, 2, 8
NUD_PERMANENT = 0x80

TC_H_ROOT, TC_H_INGRESS = 0xFFFFFFFF, 0xFFFFFFF1
TCA_KIND, TCA_OPTIONS = 1, 2
TCA_TBF_PARMS, TCA_TBF_RATE64 = 1, 4
TCA_HTB_PARMS, TCA_HTB_INIT, TCA_HTB_RATE64, TCA_HTB_CEIL64 = 1, 2, 6, 7
TCA_U32_CLASSID, TCA_U32_SEL, TCA_U32_ACT, TC_U32_TERMINAL = 1, 5, 7, 1
TCA_ACT_KIND, TCA_ACT_OPTIONS = 1, 2
TCA_MIRRED_PARMS, TCA_EGRESS_REDIR, TC_ACT_STOLEN = 2, 1, 4

_IFINFO = Struct("=BxHiII")
_IFADDR = Struct("=BBBBi")
_RTMSG = Struct("=BBBBBBBBI")
_NDMSG = Struct("=BxxxiHBB")
_TCMSG = Struct("=BxxxiIII")
_BR_VLAN_MSG = Struct("=BxxxI")


def ifinfo(family: int = 0, index: int = 0, flags: int = 0, change: int = 0) -> bytes:
    """``struct ifinfomsg``."""
    return _IFINFO.pack(family, 0, index, flags, change)


def ifaddr(family: int, prefix: int, flags: int, scope: int, index: int) -> bytes:
    """``struct ifaddrmsg``."""
    return _IFADDR.pack(family, prefix, flags, scope, index)


def rtmsg(
    family: int, prefix: int, table: int, protocol: int, scope: int, kind: int, flags: int = 0
) -> bytes:
    """``struct rtmsg``; tables above 255 go into RTA_TABLE, with the compatibility value here."""
    return _RTMSG.pack(
        family, prefix, 0, 0, table if table < 256 else RT_TABLE_COMPAT, protocol, scope, kind, flags
    )


def rule_header(family: int, source_prefix: int = 0, table: int = 0, action: int = 0) -> bytes:
    """``struct fib_rule_hdr``; tables above 255 go into FRA_TABLE, with the compatibility value here."""
    return _RTMSG.pack(
        family, 0, source_prefix, 0, table if table < 256 else RT_TABLE_COMPAT, 0, 0, action, 0
    )


def ndmsg(family: int, index: int = 0, state: int = 0) -> bytes:
    """``struct ndmsg``."""
    return _NDMSG.pack(family, index, state, 0, 0)


def tcmsg(index: int, handle: int = 0, parent: int = 0, info: int = 0) -> bytes:
    """``struct tcmsg``."""
    return _TCMSG.pack(0, index, handle, parent, info)


def br_vlan_msg(family: int, index: int) -> bytes:
    """``struct br_vlan_msg``."""
    return _BR_VLAN_MSG.pack(family, index)
