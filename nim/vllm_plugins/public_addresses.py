"""Which network addresses a request may have the engine connect to: those of the public internet."""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

# Prefixes of IPv6 under which networks translate to IPv4: RFC 6052 and RFC 8215.
_TRANSLATED = (ip_network("64:ff9b::/96"), ip_network("64:ff9b:1::/48"))


class PrivateAddress(ValueError):
    """An address that is not public. The text is for the client."""


def check_public(text: str) -> None:
    """Raise PrivateAddress unless the text is an address that is public, in whatever form it is embedded."""
    address = ip_address(text.partition("%")[0])
    if not all(each.is_global and not each.is_multicast for each in _meant(address)):
        raise PrivateAddress(
            "the address of this URL is not public, and this service fetches nothing from it"
        )


def _meant(address: IPv4Address | IPv6Address) -> tuple[IPv4Address | IPv6Address, ...]:
    """Return the addresses that are reached by this one: itself, or the IPv4 address within it."""
    if isinstance(address, IPv4Address):
        return (address,)
    if address.ipv4_mapped:
        return (address.ipv4_mapped,)
    if any(address in network for network in _TRANSLATED):
        return (IPv4Address(int(address) & 0xFFFFFFFF),)
    if address.sixtofour:
        return (address, address.sixtofour)
    return (address, *(address.teredo or ()))
