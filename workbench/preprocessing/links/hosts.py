"""Hosts of links in one form: lower-case ASCII, numbers as a browser reads them, what of a name was registered.

What is registered follows the public suffix list that comes with tldextract; nothing is fetched and no cache written.

Sources: WHATWG URL Standard, section 3 (hosts); Unicode Technical Standards 46 (names in ASCII) and 39 (mixed scripts);
https://publicsuffix.org.
"""

from __future__ import annotations

import ipaddress
import re
import socket
import unicodedata
from functools import cache
from typing import Any
from urllib.parse import unquote

RESERVED = ("example", "test", "invalid", "localhost")  # names that lead nowhere (RFC 6761)
_NUMBER = re.compile(r"0x[0-9a-f]*|[0-9]+")


@cache
def suffixes() -> Any:
    """The public suffix list that comes with the library; nothing is fetched and nothing written."""
    from tldextract import TLDExtract

    return TLDExtract(cache_dir=None, suffix_list_urls=(), extra_suffixes=RESERVED)


def host_of(name: str) -> tuple[str, bool]:
    """Return a host in its normal form and whether it is a number."""
    if name.startswith("["):
        try:
            return f"[{ipaddress.IPv6Address(name.strip('[]').partition('%')[0])}]", True
        except ValueError:
            return "", False
    host = ascii_host(unquote(name))
    address = _ipv4(host)
    return (address, True) if address else (host, False)


def ascii_host(name: str) -> str:
    """Return a host in lower-case ASCII, other letters as punycode, without the dot at its end.

    >>> ascii_host("B\u00fccher.Example.")
    'xn--bcher-kva.example'
    """
    import idna

    host = unicodedata.normalize("NFKC", name).replace("\u3002", ".").strip(".").lower()
    if host.isascii():
        return host
    try:
        return idna.encode(host, uts46=True, transitional=False).decode()
    except (idna.IDNAError, UnicodeError, IndexError):  # names that nobody can register
        return ".".join(_punycode(label) for label in host.split("."))


def _punycode(label: str) -> str:
    return label if label.isascii() else f"xn--{label.encode('punycode', 'replace').decode('ascii', 'replace')}"


def unicode_host(host: str) -> str:
    """Return a host with punycode shown as the letters that it stands for."""
    return ".".join(_letters(label) for label in host.split("."))


def _letters(label: str) -> str:
    if not label.startswith("xn--"):
        return label
    try:
        return label[4:].encode().decode("punycode")
    except (UnicodeError, ValueError, OverflowError):
        return label


def _ipv4(host: str) -> str | None:
    """Return the address that a browser makes of a host of numbers (one to four; decimal, octal or hexadecimal).

    The C library reads them alike, but for "0x", which browsers take for 0.
    """
    parts = ["0" if part == "0x" else part for part in host.split(".")]
    try:
        return socket.inet_ntoa(socket.inet_aton(".".join(parts))) if all(map(_NUMBER.fullmatch, parts)) else None
    except OSError:
        return None


def registered(host: str) -> tuple[str, int]:
    """Return the name that somebody registered and how many names stand before it, `www` aside."""
    split = suffixes()(host)
    before = [name for name in split.subdomain.split(".") if name and name != "www"]
    return split.top_domain_under_public_suffix or host, len(before)


def mixed_scripts(host: str) -> bool:
    """Whether a name mixes Latin, Greek and Cyrillic letters, which look alike."""
    for label in unicode_host(host).split("."):
        scripts = {unicodedata.name(mark, "").partition(" ")[0] for mark in label if mark.isalpha()}
        if len(scripts & {"LATIN", "GREEK", "CYRILLIC"}) > 1:
            return True
    return False
