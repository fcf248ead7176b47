"""Where a request that a user asks for may go: addresses of the public Internet, and no others.

The standard library's `is_global` will not do: it is true for multicast, for NAT64 and 6to4
addresses of private ones, and for addresses of cloud providers' own services.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

CLOSED_V4 = tuple(
    map(
        IPv4Network,
        (
            "0.0.0.0/8",
            "10.0.0.0/8",
            "100.64.0.0/10",
            "127.0.0.0/8",
            "169.254.0.0/16",
            "172.16.0.0/12",
            "192.0.0.0/24",
            "192.0.2.0/24",
            "192.31.196.0/24",
            "192.52.193.0/24",
            "192.88.99.0/24",
            "192.168.0.0/16",
            "192.175.48.0/24",
            "198.18.0.0/15",
            "198.51.100.0/24",
            "203.0.113.0/24",
            "224.0.0.0/4",
            "240.0.0.0/4",
            "168.63.129.16/32",  # Azure's own service, in a range that looks public
        ),
    )
)
OPEN_V6 = IPv6Network("2000::/3")
"""All that IANA gives out for the public Internet. Loopback, link-local, unique local, multicast,
site-local and the rest lie outside.
"""
CLOSED_V6 = tuple(
    map(IPv6Network, ("2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20"))
)  # protocols and Teredo, documentation, 6to4, AS112, documentation
NAT64 = IPv6Network("64:ff9b::/96")
ISATAP = (0x00005EFE, 0x02005EFE)


class AddressRefused(OSError):
    """The receiver's address is not one of the public Internet."""


def is_public(address: str) -> bool:
    """Whether this literal address, as a resolver or a socket gives it, is one of the public
    Internet.
    """
    try:
        found = ip_address(address)
    except ValueError:
        return False
    if isinstance(found, IPv6Address):
        if found.scope_id is not None:
            return False
        inner = _inside(found)
        if inner is None:
            return found in OPEN_V6 and not any(found in network for network in CLOSED_V6)
        found = inner
    return not any(found in network for network in CLOSED_V4)


def _inside(address: IPv6Address) -> IPv4Address | None:
    """The IPv4 address that a connection to this one would end at."""
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address in NAT64 or (address in OPEN_V6 and int(address) >> 32 & 0xFFFFFFFF in ISATAP):
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return None
