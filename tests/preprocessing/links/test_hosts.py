"""Hosts are read as a browser reads them, and what was registered follows the bundled public suffix list."""

import pytest

from workbench.preprocessing.links import hosts


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("0x7f.1", "127.0.0.1"),
        ("017700000001", "127.0.0.1"),  # octal
        ("1.2.772", "1.2.3.4"),  # 772 = 3 * 256 + 4
        ("256.1.1.1", None),
        ("1.2.3.4.5", None),
        ("4294967296", None),  # one more than the last address
        ("09", None),  # no octal digit
        ("1.a", None),
        ("9" * 5000, None),
    ],
)
def test_numbers_as_browsers_read_them(host, address):
    assert hosts.host_of(host) == ((address, True) if address else (host, False))


def test_punycode_and_letters_are_two_forms_of_one_host():
    assert hosts.ascii_host("Bücher.Example.") == "xn--bcher-kva.example"
    assert hosts.unicode_host("xn--bcher-kva.example") == "bücher.example"
    assert hosts.unicode_host("xn--\u0000.example") == "xn--\u0000.example"


@pytest.mark.parametrize(
    ("host", "found"),
    [
        ("www.a.b.example.co.uk", ("example.co.uk", 2)),  # www is not counted
        ("harbour-news.example", ("harbour-news.example", 0)),  # a reserved name stands for a suffix
        ("localhost", ("localhost", 0)),
    ],
)
def test_what_was_registered(host, found):
    assert hosts.registered(host) == found


def test_mixed_scripts():
    assert hosts.mixed_scripts(hosts.ascii_host("p\u0430ypal.com"))  # a Cyrillic a
    assert not hosts.mixed_scripts(hosts.ascii_host("bücher.example"))
    assert not hosts.mixed_scripts(hosts.ascii_host("пример.example"))  # one script a label
