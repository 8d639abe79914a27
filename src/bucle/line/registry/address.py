"""Addresses a webhook may have: the open internet, and of the inside only what the operator names.

A server that sends wherever a client says would lend its place in the network to whoever may register a webhook.
"""

from __future__ import annotations

import ipaddress
from urllib.parse import SplitResult, urlsplit

from bucle.line.registry.errors import BadWebhook

__all__ = ["LONGEST_URL", "check_url", "may_reach"]

LONGEST_URL = 2000

Ip = ipaddress.IPv4Address | ipaddress.IPv6Address

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


def check_url(url: str, allowed: tuple[str, ...]) -> SplitResult:
    """The parts of a webhook's address.

    Args:
        allowed: `[server] webhook_hosts`.
    Raises:
        BadWebhook: it is no address of http or https, or one on the inside that nobody allowed.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise _bad(url, f"It cannot be read: {error}.") from error
    if parts.scheme not in ("http", "https") or not host or len(url) > LONGEST_URL:
        raise _bad(url, "It is no address of http: or https: with a host.")
    if parts.username is not None or parts.password is not None:
        raise _bad(url, "It holds a name or a password; they would be shown to whoever lists the webhooks.")
    if any(ord(one) <= 32 or ord(one) == 127 for one in url):
        raise _bad(url, "It holds a space or a control character.")
    if not _may_be_named(host, port or _default(parts), allowed):
        raise _bad(url, f"{host} is on the inside of the network.", f'[server] webhook_hosts = ["{host}"]')
    return parts


def may_reach(address: str, host: str, port: int, allowed: tuple[str, ...]) -> bool:
    """Whether something may be sent to an address that a host's name stands for at this moment.

    Args:
        address: an IP address, as the resolver gave it.
        allowed: hosts, `host:port`, addresses or networks the operator names.
    Example:
        >>> may_reach("93.184.216.34", "example.com", 443, ()), may_reach("10.0.0.7", "example.com", 443, ())
        (True, False)
        >>> may_reach("10.0.0.7", "hooks.lan", 80, ("hooks.lan",)), may_reach("10.0.0.7", "x", 80, ("10.0.0.0/8",))
        (True, True)
    """
    try:
        found = _unwrapped(ipaddress.ip_address(address.partition("%")[0]))
    except ValueError:
        return False
    return (found.is_global and not found.is_multicast) or _is_allowed(host, port, found, allowed)


def _may_be_named(host: str, port: int, allowed: tuple[str, ...]) -> bool:
    """Whether a host may stand in an address at all; where its name leads is looked at when something is sent."""
    try:
        return may_reach(str(ipaddress.ip_address(host)), host, port, allowed)
    except ValueError:
        name = host.lower().rstrip(".")
        inside = name == "localhost" or name.endswith((".localhost", ".local", ".internal")) or "." not in name
        return not inside or _is_allowed(host, port, None, allowed)


def _is_allowed(host: str, port: int, address: Ip | None, allowed: tuple[str, ...]) -> bool:
    name = host.lower().rstrip(".")
    for entry in allowed:
        if entry.lower() in (name, f"{name}:{port}"):
            return True
        try:
            if address is not None and address in ipaddress.ip_network(entry, strict=False):
                return True
        except ValueError:
            continue
    return False


def _unwrapped(address: Ip) -> Ip:
    """The IPv4 address that an IPv6 one carries, if it does: what is private stays so in any wrapping."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1]
        if inner is None and address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        return inner or address
    return address


def _default(parts: SplitResult) -> int:
    return 443 if parts.scheme == "https" else 80


def _bad(url: str, why: str, fix: str = "") -> BadWebhook:
    return BadWebhook(
        f"{url[:200]!r} cannot be the address of a webhook.",
        why=why,
        fix=f"Give a public address, or let the operator allow it in bucle.toml: {fix}"
        if fix
        else "E.g. https://example.com/hook",
        at="url",
    )
