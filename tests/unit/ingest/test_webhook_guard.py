"""Attacks on the guard: nothing that an endpoint's author can write leads into the centre's own network."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.webhooks.guard import URL_MAX, Guard, UrlRefused, is_public

GUARD = Guard()
AT_HOME = Guard(networks=(ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("10.1.0.0/16")))
PUBLIC = "93.184.216.34"


def answering(*addresses: str) -> object:
    """A resolver that gives these, whatever the name."""

    def resolve(host: str, port: int) -> Iterable[str]:
        return addresses

    return resolve


@pytest.mark.parametrize(
    "url",
    [
        "https://billing.example/hook",
        "https://billing.example",
        "https://billing.example:8443/a?b=c&d=%20",
        f"https://{PUBLIC}/hook",
        "https://[2606:2800:220:1:248:1893:25c8:1946]/hook",
        "https://xn--fiq228c.example/",
    ],
)
def test_a_public_https_address_is_taken(url: str) -> None:
    target = GUARD.read(url)
    assert target.secure
    assert target.path.startswith("/")


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("http://billing.example/hook", "write https"),
        (f"http://{PUBLIC}/hook", "write https"),
        ("ftp://billing.example/", "does not begin with https"),
        ("file:///etc/passwd", "does not begin with https"),
        ("gopher://127.0.0.1:6379/_x", "does not begin with https"),
        ("//billing.example/", "does not begin with https"),
        ("https://user@billing.example/", "user name"),
        ("https://user:word@billing.example/", "user name"),
        ("https://billing.example@127.0.0.1/", "user name"),
        ("https://billing.example\\@127.0.0.1/", "backslashes"),
        ("https://billing.example/#@127.0.0.1", "fragment"),
        ("https://billing.example/ HTTP/1.1", "no blanks"),
        ("https://billing.example/\r\nX-Evil: 1", "no blanks"),
        ("https://billing.example/\x00", "no blanks"),
        ("https://账单.example/", "beyond ASCII"),
        ("https://billing.example。/", "beyond ASCII"),
        ("https:///hook", "no host name"),
        ("https://.example/", "no host name"),
        ("https://a..example/", "no host name"),
        ("https://billing.example%2f@x/", "user name"),
        ("https://billing.example%00.x/", "no host name"),
        ("https://billing.example:0/", "port 0"),
        ("https://billing.example:99999/", "no URL"),
        ("https://billing.example:x/", "no URL"),
        ("https://billing.example:6379/", "port 6379 is not one"),
        ("https://billing.example:22/", "port 22 is not one"),
        ("https://[::1/", "no URL"),
        ("https://[fe80::1%25eth0]/", "no IPv6 address"),
        ("https://[v1.x]/", "no"),
        ("https://billing.example/" + "a" * URL_MAX, "more than"),
    ],
)
def test_a_url_in_another_form_is_refused_with_the_reason(url: str, told: str) -> None:
    with pytest.raises(UrlRefused, match=told):
        GUARD.read(url)


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "127.1.2.3", "0.0.0.0", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1"),
        *("169.254.169.254", "169.254.1.1", "100.64.0.1", "192.0.0.1", "192.0.2.1", "198.18.0.1", "198.51.100.1"),
        *("203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255"),
        *("[::]", "[::1]", "[fe80::1]", "[fec0::1]", "[fc00::1]", "[fd00:ec2::254]", "[ff02::1]", "[2001:db8::1]"),
        # An IPv4 address inside an IPv6 one: mapped, compatible, 6to4, NAT64 (both prefixes), Teredo.
        *("[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::ffff:169.254.169.254]", "[::ffff:10.0.0.1]"),
        *("[::127.0.0.1]", "[::a9fe:a9fe]", "[2002:7f00:1::]", "[2002:a9fe:a9fe::1]"),
        *("[64:ff9b::7f00:1]", "[64:ff9b::169.254.169.254]", "[64:ff9b:1::10.0.0.1]"),
        "[2001:0:7f00:1:0:0:80ff:fffe]",
        *("localhost", "LOCALHOST", "anything.localhost"),
    ],
)
def test_no_address_of_a_private_network_is_taken_however_it_is_written(host: str) -> None:
    with pytest.raises(UrlRefused, match=r"no public address|neither a name"):
        GUARD.read(f"https://{host}/hook")


@pytest.mark.parametrize(
    "host",
    [
        *("2130706433", "0x7f000001", "0x7f.0.0.1", "0177.0.0.1", "017700000001", "127.1", "127.0.1", "0"),
        *("0x7f.1", "10.0x1", "169.254.43518", "1.2.3.4.5", "300.1.1.1", "01.02.03.04", "127.0.0.1."),
    ],
)
def test_older_writings_of_an_address_that_resolvers_understand_are_no_names(host: str) -> None:
    with pytest.raises(UrlRefused, match=r"neither a name nor an address|no host name"):
        GUARD.read(f"https://{host}/hook")


@pytest.mark.parametrize(
    "addresses",
    [
        ("127.0.0.1",),
        ("169.254.169.254",),
        ("::ffff:10.0.0.1",),
        ("fe80::1%eth0",),
        ("64:ff9b::7f00:1",),
        (PUBLIC, "10.0.0.7"),
        ("10.0.0.7", PUBLIC),
        ("not-an-address",),
        (),
    ],
)
def test_one_bad_address_of_a_name_refuses_it_whole(addresses: tuple[str, ...]) -> None:
    target = GUARD.read("https://billing.example/hook")
    with pytest.raises(UrlRefused):
        GUARD.resolve(target, answering(*addresses))  # type: ignore[arg-type]


def test_what_is_connected_to_is_what_was_judged() -> None:
    target = GUARD.read("https://billing.example/hook")
    assert GUARD.resolve(target, answering(PUBLIC, "2606:4700::1111")) == (PUBLIC, "2606:4700::1111")  # type: ignore[arg-type]


def test_an_address_is_not_looked_up() -> None:
    def resolve(host: str, port: int) -> Iterable[str]:
        raise AssertionError("looked up")

    assert GUARD.resolve(GUARD.read(f"https://{PUBLIC}/"), resolve) == (PUBLIC,)


def test_what_the_owner_allows_is_taken_and_nothing_beside_it() -> None:
    assert AT_HOME.read("http://127.0.0.1:9000/hook").port == 9000
    assert AT_HOME.read("https://10.1.2.3:9443/").port == 9443
    assert AT_HOME.resolve(AT_HOME.read("https://billing.corp/"), answering("10.1.0.9")) == ("10.1.0.9",)  # type: ignore[arg-type]
    with pytest.raises(UrlRefused, match="no public address"):
        AT_HOME.read("https://10.2.0.1/")
    with pytest.raises(UrlRefused, match="no public address"):
        AT_HOME.read("https://[::1]/")
    with pytest.raises(UrlRefused, match="is not this machine: write https"):
        AT_HOME.read("http://10.1.2.3/")
    named = AT_HOME.read("http://billing.example:9000/")
    with pytest.raises(UrlRefused, match="write https"):
        AT_HOME.resolve(named, answering(PUBLIC))  # type: ignore[arg-type]
    with pytest.raises(UrlRefused, match="port 9443 is not one"):
        AT_HOME.resolve(AT_HOME.read("https://billing.example:9443/"), answering(PUBLIC))  # type: ignore[arg-type]


def test_the_host_header_names_host_and_a_port_that_is_not_the_usual() -> None:
    assert GUARD.read("https://Billing.Example/").host_header == "billing.example"
    assert GUARD.read("https://billing.example:8443/").host_header == "billing.example:8443"
    assert GUARD.read("https://[2606:4700::1111]/").host_header == "[2606:4700::1111]"


@given(st.ip_addresses(v=6))
def test_an_address_taken_is_public_whatever_is_inside_it(address: ipaddress.IPv6Address) -> None:
    try:
        GUARD.read(f"https://[{address}]/")
    except UrlRefused:
        return
    nat64 = address in ipaddress.ip_network("64:ff9b::/96")
    mapped = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF) if nat64 else address.ipv4_mapped
    for inner in (mapped or address, address.sixtofour):
        assert inner is None or is_public(inner)


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_is_judged_the_same_plain_and_inside_an_ipv6_one(address: ipaddress.IPv4Address) -> None:
    def taken(url: str) -> bool:
        try:
            return bool(GUARD.read(url))
        except UrlRefused:
            return False

    plain = taken(f"https://{address}/")
    assert plain == is_public(address)
    assert taken(f"https://[::ffff:{address}]/") == plain
    assert taken(f"https://[64:ff9b::{address}]/") == plain
    if not plain:
        assert not taken(f"https://[{ipaddress.IPv6Address((0x2002 << 112) | (int(address) << 80))}]/")


@given(st.text(max_size=60))
def test_no_text_makes_the_guard_fall_over(text: str) -> None:
    for url in (text, f"https://{text}/", f"https://a.example{text}"):
        try:
            GUARD.read(url)
        except UrlRefused:
            continue
