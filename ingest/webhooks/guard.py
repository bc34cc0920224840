"""Where deliveries may go: an address that somebody else wrote down is judged before anything connects. No connection.

Theory of operation. Whoever may add an endpoint can make the centre send requests; a guard must keep these out of the
centre's own network (server-side request forgery, OWASP API7:2023). A URL is judged twice. When it is written down: its
form, its port, and its host if that is an address. Before each try: every address that its name resolves to, each in
the form it really has (an IPv4 address inside an IPv6 one is judged as the IPv4 address). One bad address refuses all.
The connection then goes to the very address that was judged and the name is not resolved again, so that an answer which
changes in between (DNS rebinding) changes nothing. Redirects are never followed (post.py).
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from metering.errors import BooksError

URL_MAX = 2000
_HOST = re.compile(r"(?=.{1,253}\Z)[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?)*\Z")
_NUMBER = re.compile(r"(0x[0-9a-f]*|[0-9]+)\Z")
_VISIBLE = re.compile(r"[\x21-\x7e]+\Z")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_LOCAL_NAT64 = ipaddress.IPv6Network("64:ff9b:1::/48")
_HOUSE = (ipaddress.IPv4Network("192.0.0.0/24"), ipaddress.IPv4Network("168.63.129.16/32"))
"""Of protocols (RFC 6890; Oracle's metadata are at .192) and of Azure's agent: answered by the machine's own host."""

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Resolve = Callable[[str, int], Iterable[str]]
"""Gives the addresses of a name; raises OSError."""


class UrlRefused(BooksError):
    """Nothing may be sent to this URL. The text says why and what would be taken."""


@dataclass(frozen=True, slots=True)
class Target:
    """A URL in its parts, as far as it can be judged without looking up its name."""

    secure: bool
    host: str
    port: int
    path: str

    @property
    def address(self) -> Address | None:
        """Give the host where it is an address."""
        return _address_of(self.host)

    @property
    def host_header(self) -> str:
        """Give what the request names as its host."""
        shown = f"[{self.host}]" if ":" in self.host else self.host
        return shown if self.port == (443 if self.secure else 80) else f"{shown}:{self.port}"


@dataclass(frozen=True, slots=True)
class Guard:
    """What the centre's owner allows.

    networks   private networks that deliveries may reach all the same
    ports      those of addresses outside these networks
    """

    networks: tuple[Network, ...] = ()
    ports: frozenset[int] = frozenset({443, 8443})

    def read(self, url: str) -> Target:
        """Judge a URL by what is written; raises UrlRefused."""
        target = _parts(url)
        address = target.address
        if address is not None:
            self._judge(address, target)
        elif target.host == "localhost" or target.host.endswith(".localhost"):
            self._judge(ipaddress.IPv4Address("127.0.0.1"), target)
        if not target.secure and not self.networks:
            raise UrlRefused("the URL begins with http: write https, so that nobody on the way reads or changes it")
        if target.port not in self.ports and not self.networks:
            raise UrlRefused(_of_port(target.port, self.ports))
        return target

    def resolve(self, target: Target, resolve: Resolve | None = None) -> tuple[str, ...]:
        """Look up where a URL leads and give the addresses that may be connected to; raises UrlRefused and OSError."""
        found = [target.host] if target.address is not None else list((resolve or look_up)(target.host, target.port))
        if not found:
            raise UrlRefused(f"{target.host} has no address")
        for one in found:
            address = _address_of(one)
            if address is None:
                raise UrlRefused(f"{target.host} resolves to {one!r}, which is no address")
            self._judge(address, target)
        return tuple(found)

    def _judge(self, address: Address, target: Target) -> None:
        for meant in _meanings(address):
            if any(meant in network for network in self.networks if network.version == meant.version):
                if not target.secure and not meant.is_loopback:
                    raise UrlRefused(f"{target.host} is not this machine: write https")
                continue
            if not is_public(meant):
                raise UrlRefused(
                    f"{target.host} leads to {meant}, which is no public address; the centre's owner can allow its "
                    "network: --webhook-networks"
                )
            if not target.secure:
                raise UrlRefused("the URL begins with http: write https, so that nobody on the way reads or changes it")
            if target.port not in self.ports:
                raise UrlRefused(_of_port(target.port, self.ports))


def is_public(address: Address) -> bool:
    """Say whether an address is one host of the public internet, and neither a group nor anything set aside."""
    set_aside = (
        address.is_multicast,
        address.is_reserved,
        address.is_unspecified,
        address.is_loopback,
        address.is_link_local,
        address.is_private,
        isinstance(address, ipaddress.IPv6Address) and (address.is_site_local or address in _LOCAL_NAT64),
        isinstance(address, ipaddress.IPv4Address) and any(address in network for network in _HOUSE),
    )
    return address.is_global and not any(set_aside)


def look_up(host: str, port: int) -> tuple[str, ...]:
    """Ask the system's resolver; raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(place[0]) for *_, place in found))


def _parts(url: str) -> Target:
    if len(url) > URL_MAX:
        raise UrlRefused(f"the URL has more than {URL_MAX} characters")
    if _VISIBLE.match(url) is None or "\\" in url:
        raise UrlRefused("a URL holds no blanks, control characters, backslashes or letters beyond ASCII: encode them")
    try:
        split = urlsplit(url)
        host, port = split.hostname or "", split.port
    except ValueError as error:
        raise UrlRefused(f"that is no URL: {error}") from error
    if split.scheme not in ("https", "http"):
        raise UrlRefused("the URL does not begin with https://")
    if "@" in split.netloc:
        raise UrlRefused(
            "the URL holds a user name or password: leave it out, deliveries prove themselves by signature"
        )
    if split.fragment or "#" in url:
        raise UrlRefused("the URL has a fragment (#): leave it out, it would not be sent")
    if port == 0:
        raise UrlRefused("port 0 is no port")
    _check_host(host, split.netloc)
    path = (split.path or "/") + (f"?{split.query}" if split.query else "")
    secure = split.scheme == "https"
    return Target(secure, host, port or (443 if secure else 80), path)


def _check_host(host: str, written: str) -> None:
    """Take names and plain addresses, and none of the older writings of an address that resolvers understand."""
    if written.startswith("["):
        if _address_of(host) is None or "%" in host:
            raise UrlRefused(f"{host!r} is no IPv6 address")
        return
    if _address_of(host) is not None:
        return
    if _HOST.match(host) is None:
        raise UrlRefused(f"{host!r} is no host name; write other letters as xn--...")
    if _NUMBER.match(host.rpartition(".")[2]):
        raise UrlRefused(f"{host!r} is neither a name nor an address in its plain form (192.0.2.1)")


def _address_of(text: str) -> Address | None:
    try:
        return ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None


def _meanings(address: Address) -> Iterator[Address]:
    """Give an address, and each IPv4 address that a packet to it may end up at."""
    if isinstance(address, ipaddress.IPv4Address):
        yield address
        return
    if address.ipv4_mapped is not None:
        yield address.ipv4_mapped
    elif address in _NAT64:
        # What a machine without IPv4 is told of one that has nothing else.
        yield ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    else:
        yield address
        if address.sixtofour is not None:
            yield address.sixtofour


def _of_port(port: int, ports: frozenset[int]) -> str:
    allowed = ", ".join(map(str, sorted(ports)))
    return f"port {port} is not one that deliveries go to ({allowed}); the centre's owner can allow it: --webhook-ports"
