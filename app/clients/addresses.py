"""Addresses to which users may send requests: those of the public Internet only.

The standard library's `is_global` does not suffice: it is true for multicast, for NAT64 and 6to4
addresses of private ones, and for addresses of cloud providers' internal services.
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
            "168.63.129.16/32",  # an internal service of Azure, in a range that looks public
        ),
    )
)
OPEN_V6 = IPv6Network("2000::/3")
"""All that IANA assigns to the public Internet. Loopback, link-local, unique local, multicast,
site-local and the rest are outside of it.
"""
CLOSED_V6 = tuple(
    map(IPv6Network, ("2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20"))
)  # protocols and Teredo, documentation, 6to4, AS112, documentation
NAT64 = IPv6Network("64:ff9b::/96")
ISATAP = (0x00005EFE, 0x02005EFE)


class AddressRefused(OSError):
    """The address of the server is not one of the public Internet."""


def is_public(address: str) -> bool:
    """Return whether this literal address, from a resolver or a socket, is on the public
    Internet.
    """
    try:
        ip = ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, IPv6Address):
        if ip.scope_id is not None:
            return False
        inner = _inside(ip)
        if inner is None:
            return ip in OPEN_V6 and not any(ip in network for network in CLOSED_V6)
        ip = inner
    return not any(ip in network for network in CLOSED_V4)


def _inside(address: IPv6Address) -> IPv4Address | None:
    """Return the IPv4 address at which a connection to this one would end."""
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address in NAT64 or (address in OPEN_V6 and int(address) >> 32 & 0xFFFFFFFF in ISATAP):
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return None
