"""Where a URL leads: read in one strict way, matched against a list of hosts, public or not."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gathering.core.errors import ConfigurationError, ToolFailed
from gathering.tools.addresses import HostList, place_of, why_not_public


@pytest.mark.parametrize(
    ("url", "understood"),
    [
        ("http://example.org", "http://example.org/"),
        ("HTTPS://EXAMPLE.org.:443/a?b=c#d", "https://example.org/a?b=c"),
        ("http://example.org:8080/%20x", "http://example.org:8080/%20x"),
        ("https://example.org/größe?q=ü", "https://example.org/gr%C3%B6%C3%9Fe?q=%C3%BC"),
        ("https://bücher.example/", "https://xn--bcher-kva.example/"),
        ("http://[2606:4700:0::1]:81/", "http://[2606:4700::1]:81/"),
        ("http://1.1.1.1/", "http://1.1.1.1/"),
        ("http://\uff11.1.1.1/", "http://1.1.1.1/"),
        ("https://example.org?q=1", "https://example.org/?q=1"),
    ],
)
def test_a_url_has_one_form(url: str, understood: str) -> None:
    """Case, default ports, fragments and other alphabets make no second way to write a place."""
    assert str(place_of(url)) == understood


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.org",
        "//example.org/",
        "ftp://example.org/",
        "file:///etc/passwd",
        "gopher://example.org/",
        "data:text/plain,hi",
        "javascript:alert(1)",
        "http://",
        "http:///etc/passwd",
        "http://user:password@example.org/",
        "http://example.org@evil.test/",
        "http://evil.test\\@example.org/",
        "http://example.org\\.evil.test/",
        "http://example.org\r\nX-Evil: 1/",
        "http://example.org/a b",
        "http://exam\tple.org/",
        "http://example.org:99999/",
        "http://example.org:port/",
        "http://2130706433/",
        "http://0x7f000001/",
        "http://0x7f.0.0.1/",
        "http://0177.0.0.1/",
        "http://127.1/",
        "http://127.0.0.1.5/",
        "http://[fe80::1%25eth0]/",
        "http://[::1/",
        "http://-example.org/",
        "http://exam%70le.org/",
        "http://a..b/",
        "http://" + "a" * 64 + ".org/",
        "http://example.org/" + "a" * 9000,
    ],
)
def test_what_readers_of_urls_disagree_about_is_refused(url: str) -> None:
    """In one line that says how to write it."""
    with pytest.raises(ToolFailed) as refused:
        place_of(url)
    assert len(str(refused.value).splitlines()) == 1


@given(st.text(alphabet="htps:/\\@.#?[]%:01x-a*\r\n\u3002\uff0e", max_size=40), st.booleans())
def test_a_url_that_passes_names_one_plain_host(text: str, whole: bool) -> None:
    """Whatever is written is refused, or understood in a form that reads back as the same place."""
    try:
        place = place_of(text if whole else "http://" + text)
    except ToolFailed:
        return
    assert place.host.isascii()
    assert not set(place.host) & set("@/\\#?[]%* \r\n")
    assert place_of(str(place)) == place


@pytest.mark.parametrize(
    ("entry", "url", "allowed"),
    [
        ("example.org", "https://example.org/", True),
        ("Example.ORG.", "https://example.org:8443/", True),
        ("example.org", "https://docs.example.org/", False),
        ("example.org", "https://evilexample.org/", False),
        ("example.org", "https://example.org.evil.test/", False),
        ("*.example.org", "https://docs.example.org/", True),
        ("*.example.org", "https://a.docs.example.org/", True),
        ("*.example.org", "https://example.org/", False),
        ("*.example.org", "https://evilexample.org/", False),
        ("example.org:8080", "http://example.org:8080/", True),
        ("example.org:8080", "http://example.org/", False),
        ("[::1]:80", "http://[::1]/", True),
        ("127.0.0.1", "http://127.0.0.1:5000/", True),
        ("*", "https://anything.test/", True),
    ],
)
def test_a_host_is_on_the_list_or_not(entry: str, url: str, allowed: bool) -> None:
    """Exactly, or below a name, and on a port if one is named."""
    assert HostList(entry).allows(place_of(url)) is allowed


@pytest.mark.parametrize(
    "entry", ["", "https://example.org", "*.*.org", "a*b.org", "*.", "127.1", None, 5, "a b"]
)
def test_an_entry_that_names_no_host_is_the_callers_mistake(entry: object) -> None:
    """It says what an entry looks like."""
    with pytest.raises(ConfigurationError, match="write 'example.org'"):
        HostList([entry])  # type: ignore[list-item]


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.255.255.254",
        "0.0.0.0",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "100.100.100.200",
        "169.254.169.254",
        "192.0.2.1",
        "198.18.0.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "168.63.129.16",
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "::127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::1",
        "2002:7f00:1::",
        "2001:0:53aa::1",
        "fe80::1",
        "fe80::1%eth0",
        "fec0::1",
        "3fff::1",
        "fc00::1",
        "fd00:ec2::254",
        "ff02::1",
        "2001:db8::1",
    ],
)
def test_addresses_that_are_not_of_the_open_internet(address: str) -> None:
    """Each is called by its kind, also when it is hidden inside another one."""
    assert why_not_public(address)


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "93.184.216.34", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"]
)
def test_public_addresses(address: str) -> None:
    """The rest may be asked."""
    assert why_not_public(address) is None


@given(st.integers(0, 2**32 - 1))
def test_an_address_is_as_public_as_the_one_inside_it(number: int) -> None:
    """Mapped or translated, it is judged as the IPv4 address it leads to."""
    plain = ipaddress.IPv4Address(number)
    assert why_not_public(f"::ffff:{plain}") == why_not_public(str(plain))
    assert why_not_public(f"64:ff9b::{plain}") == why_not_public(str(plain))
