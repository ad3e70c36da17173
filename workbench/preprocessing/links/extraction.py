"""Links in a text: found, brought to one form and looked at; no link is ever fetched and nothing is looked up.

linkify-it finds links as a site's own renderer does, `hosts` says what was registered of one. Obfuscations are undone
first (`hxxp`, `[.]`), and a host is read as a browser reads it: after the last `@`, percent signs decoded, fullwidth
letters made plain, `0x7f.1` taken for the number it is. What is known of hosts stands in `data/links.yaml`.

Time is bounded: a text is cut into pieces of at most PIECE characters, as nested brackets cost quadratic time, and
after MOST_CHARACTERS of words that could be links, or MOST links, the rest is not read; that in itself is a sign.

Sources: linkify-it-py; WHATWG URL Standard, section 4 (hosts); RFC 3986, section 6 (normal forms); Unicode Technical
Standard 39 (mixed scripts).
Open doubt: a name in one foreign script that looks like a Latin one (all Cyrillic) is `punycode`, not `mixed_scripts`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

import numpy as np
import regex
from pydantic import Field, field_validator

from workbench.preprocessing.links import hosts
from workbench.preprocessing.text.cleaning import TextOptions, clean
from workbench.schema import ROOT, Options, read_yaml

FILE = ROOT / "data" / "links.yaml"
PIECE = 1024  # characters; an address longer than that is cut
MOST = 1000  # links of a text that are looked at
MOST_CHARACTERS = 40_000  # of words that could be links, as many as a site's longest post has
LONG, DEEP = 200, 3  # characters of an address, and names before the registered one, that are many
SHOWN = 20  # links that an answer names
SENTENCES = 5  # findings that a post's reasons name

Sign = Literal[
    "moderated", "shortener", "ip", "punycode", "mixed_scripts", "userinfo", "defanged", "port", "subdomains", "long",
    "pattern", "too_many",
]  # fmt: skip
SAID = {
    "shortener": "hides where it leads",
    "ip": "names a number in place of a site",
    "punycode": "has a name with letters beyond ASCII",
    "mixed_scripts": "has a name that mixes letters of several scripts",
    "userinfo": "pretends to be another site before an @ sign",
    "defanged": "is written so that filters overlook it",
    "port": "names an unusual port",
    "subdomains": "has many names before the registered one",
    "long": "is very long",
}
_FLAGS = (*SAID, "moderated", "pattern")
FEATURES = ("links", "other", *_FLAGS, "length", "digits", "depth")
"""The columns of `features`: log(1 + links), whether one is to a host of no list, whether one has a sign; then the
largest log(1 + characters), share of digits in the host, and number of names before the registered one."""

_SCHEME = re.compile(r"^([a-z][a-z0-9+.-]*):(?://)?", re.IGNORECASE)
_OBFUSCATED_LINKS = (
    (re.compile(r"\bh(?:xx|\*\*|__)p(s?)(?=\s?[:\[(])", re.IGNORECASE), r"http\1"),
    (re.compile(r"(?<=http)(s?)\s?[\[(]:(//)?[\])](//)?", re.IGNORECASE), r"\1://"),
    (re.compile(r"(?<=https)\s?[\[(]:(?://)?[\])](?://)?", re.IGNORECASE), "://"),
    (re.compile(r"(?<=[\w-])\s?[\[({]\s?(?:\.|dot)\s?[\])}]\s?(?=[\w-])", re.IGNORECASE), "."),
)  # fmt: skip
_COULD_BE = re.compile(r"://|//\w|\w[.\u3002\uff0e\uff61]\w|\b(?:javascript|data|vbscript|file):", re.IGNORECASE)
_ACTIVE = re.compile(r"\b(?:(?:java|vb)script:|data:\w+/\w|file://)[^\s<>\"'\]]+", re.IGNORECASE)
_IPV6 = re.compile(r"\bhttps?://(?:[^\s/@]*@)?\[[0-9a-f:.]{2,45}\](?::\d+)?[^\s<>\"']*", re.IGNORECASE)
_PORTS = {"http": "80", "https": "443", "ftp": "21"}
_WHOLE = TextOptions(max_chars=None, whitespace=False)


class Pattern(Options):
    """Addresses that a person should see."""

    pattern: str = Field(min_length=1, description="A regular expression for the address in its normal form.")
    why: str = Field(min_length=1, description="What is wrong; it ends the sentence `The link to HOST ...`.")

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, value: str) -> str:
        try:
            regex.compile(value)
        except regex.error as error:
            raise ValueError(f"{value!r} is no regular expression ({error})") from None
        return value

    def matches(self, url: str) -> bool:
        """Return whether an address fits; one on which the pattern takes too long counts as if it did."""
        try:
            return regex.search(self.pattern, url, timeout=0.05) is not None
        except TimeoutError:
            return True


class LinkLists(Options):
    """What is known of hosts, and which signs send a post to a person."""

    version: str = Field("", description="When the lists were changed last.")
    moderated: tuple[str, ...] = Field((), description="Hosts that moderate themselves; links to them are embeds.")
    shorteners: tuple[str, ...] = Field((), description="Hosts that hide where a link leads.")
    patterns: tuple[Pattern, ...] = Field((), description="Addresses that a person should see.")
    suspicious: tuple[Sign, ...] = Field((), description="The signs that make a link suspicious.")

    @field_validator("moderated", "shorteners")
    @classmethod
    def _hosts_in_one_form(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        for value in values:
            if re.search(r"[/@:\s]", value) or not value.strip("."):
                raise ValueError(f"{value!r} is no host; write it without scheme and path, as in example.com")
        return tuple(hosts.ascii_host(value) for value in values)

    @classmethod
    def load(cls, path: Path | str | None = None) -> Self:
        """Read the lists from a file, `data/links.yaml` by default; raise WorkbenchError for what is wrong with it."""
        path = Path(path) if path else FILE
        return cls.parse(read_yaml(path), f"links {path}")

    @cached_property
    def _listed(self) -> dict[str, frozenset[str]]:
        return {"moderated": frozenset(self.moderated), "shortener": frozenset(self.shorteners)}

    def known(self, host: str) -> list[str]:
        """Return on which lists a host, or one above it, stands."""
        labels = host.split(".")
        above = {".".join(labels[n:]) for n in range(len(labels))}
        return [name for name, listed in self._listed.items() if above & listed]


class WebLink(NamedTuple):
    """One link: the address in its normal form, its host in ASCII, what was registered of it, and its signs."""

    url: str
    host: str
    domain: str
    depth: int
    signs: tuple[str, ...]
    why: tuple[str, ...] = ()

    @property
    def shown(self) -> str:
        """The host as a sentence names it."""
        return self.host if len(self.host) <= 80 else f"{self.host[:80]}..."


class ShownLink(Options):
    """One link as an answer names it."""

    url: str = Field(description="The address in its normal form.")
    host: str = Field(description="Its host, in ASCII.")
    embed: bool = Field(description="Whether the host moderates what it shows, so that the link is an embed.")
    suspicious: bool = Field(description="Whether it has a sign for which a person looks.")
    signs: tuple[str, ...] = Field((), description="What was found of it.")


class FoundLinks(NamedTuple):
    """The links of a text, each address once, and whether there was more than is looked at."""

    links: tuple[WebLink, ...]
    more: bool


# ----------------------------------------------------------------------------------------------------------- finding


def find(text: str | None, lists: LinkLists) -> FoundLinks:
    """Return the links of a text in their order; nothing raises for any str.

    >>> lists = LinkLists(shorteners=("bit.test",), suspicious=("userinfo",))
    >>> [link.url for link in find("see hxxp://Bit[.]test:80/x, or www.example.com.", lists).links]
    ['http://bit.test/x', 'http://www.example.com']
    """
    links: dict[str, WebLink] = {}
    if not text or not _hint(text):
        return FoundLinks((), False)
    plain = clean(text, _WHOLE)
    undone = plain
    for obfuscation, instead in _OBFUSCATED_LINKS:
        undone = obfuscation.sub(instead, undone)
    defanged, read = undone != plain, 0
    for piece in _pieces(undone):
        if read >= MOST_CHARACTERS or len(links) >= MOST:
            return FoundLinks(tuple(links.values()), True)
        read += len(piece)
        for address, written in _addresses(piece):
            link = look(address, lists, defanged=defanged and written not in plain)
            if link is not None:
                links.setdefault(link.url, link)
    return FoundLinks(tuple(links.values())[:MOST], len(links) > MOST)


def _hint(text: str) -> bool:
    """Whether a text can hold a link at all; most do not, and this is cheap."""
    return any(mark in text for mark in ".:&\u3002\uff0e\uff61") or "dot" in text.lower()


def _pieces(text: str) -> Iterator[str]:
    """Yield the words that could be links, the longer ones cut before a scheme and then at PIECE characters."""
    for word in text.split():
        if not _COULD_BE.search(word):
            continue
        if len(word) <= PIECE:
            yield word
            continue
        for part in re.split(r"(?=https?://)", word):
            yield from (part[start : start + PIECE] for start in range(0, len(part), PIECE))


def _addresses(piece: str) -> list[tuple[str, str]]:
    """Return the links in a piece, each with its scheme and as it is written."""
    unusual = [match.group() for form in (_ACTIVE, _IPV6) for match in form.finditer(piece)]
    if unusual:
        return [(address, address) for address in unusual]
    try:
        matches = _finder().match(piece.replace("\\", "/"))
    except (ValueError, RecursionError, IndexError):  # what breaks the library is no link
        return []
    return [(match.url if match.schema else f"http://{match.text}", match.raw) for match in matches or []]


@cache
def _finder() -> Any:
    from linkify_it import LinkifyIt

    finder = LinkifyIt(options={"fuzzy_email": False, "fuzzy_link": True, "fuzzy_ip": False})
    finder.tlds([name for name in hosts.suffixes().tlds if "." not in name])
    return finder.add("mailto:", None)


# ----------------------------------------------------------------------------------------------------------- looking


def look(raw: str, lists: LinkLists, *, defanged: bool = False) -> WebLink | None:
    """Return an address in its normal form with its signs; None where it has no host."""
    match = _SCHEME.match(raw)
    scheme = match.group(1).lower() if match else "http"
    rest = raw[match.end() :] if match else raw.removeprefix("//")
    if scheme in ("javascript", "data", "vbscript", "file"):
        return _active(scheme, rest, lists)
    rest = rest.replace("\\", "/").rstrip("?!.,;:")  # the end of a sentence
    end = min((at for at in (rest.find(mark) for mark in "/?#") if at >= 0), default=len(rest))
    authority, path = rest[:end], rest[end:]
    _, at, site = authority.rpartition("@")
    name, port = _port(site)
    host, number = hosts.host_of(name)
    if not host:
        return None
    port = "" if port == _PORTS.get(scheme) else port
    url = f"{scheme}://{host}{':' * bool(port)}{port}{'' if path == '/' else path}"
    domain, depth = (host, 0) if number else hosts.registered(host)
    signs = {
        "ip": number,
        "punycode": "xn--" in host,
        "mixed_scripts": hosts.mixed_scripts(host),
        "userinfo": bool(at),
        "defanged": defanged,
        "port": bool(port),
        "subdomains": depth >= DEEP,
        "long": len(url) > LONG,
    }
    why = tuple(pattern.why for pattern in lists.patterns if pattern.matches(url))
    there = [name for name, holds in signs.items() if holds]
    return WebLink(url, host, domain, depth, (*lists.known(host), *there, *(["pattern"] * bool(why))), why)


def _active(scheme: str, rest: str, lists: LinkLists) -> WebLink | None:
    """Return a link that runs or shows what it holds, if a pattern knows it; else it is a word with a colon."""
    url = f"{scheme}:{rest}"
    why = tuple(pattern.why for pattern in lists.patterns if pattern.matches(url))
    return WebLink(url, f"{scheme}:", "", 0, ("pattern",), why) if why else None


def _port(site: str) -> tuple[str, str]:
    """Return host and port, either of which may be empty."""
    if site.startswith("["):
        name, _, port = site.partition("]")
        return f"{name}]", port.removeprefix(":")
    name, _, port = site.partition(":")
    return name, port.lstrip("0") if port.isdecimal() else ""


# ---------------------------------------------------------------------------------------------- findings and features


def findings(text: str | None, lists: LinkLists) -> tuple[str, ...]:
    """Return one plain sentence for each suspicious link of a text, at most SENTENCES."""
    extracted, sentences = find(text, lists), []
    for link in extracted.links:
        signs = [sign for sign in link.signs if sign in lists.suspicious]
        if signs and len(sentences) < SENTENCES:
            whys = [why for sign in signs for why in (link.why[:1] if sign == "pattern" else [SAID.get(sign)]) if why]
            sentences.append(f"The link to {link.shown} {' and '.join(whys)}.")
    if extracted.more and "too_many" in lists.suspicious:
        sentences.append("The post has more links, or words like links, than are looked at.")
    return tuple(sentences)


def shown(text: str | None, lists: LinkLists, most: int = SHOWN) -> tuple[ShownLink, ...]:
    """Return the first links of a text as an answer names them.

    >>> shown("https://youtu.be/x", LinkLists(moderated=("youtu.be",)))[0].embed
    True
    """
    return tuple(
        ShownLink(
            url=link.url,
            host=link.host,
            embed="moderated" in link.signs,
            suspicious=any(sign in lists.suspicious for sign in link.signs),
            signs=link.signs,
        )
        for link in find(text, lists).links[:most]
    )


def features(texts: Sequence[str | None], lists: LinkLists) -> np.ndarray:
    """Return what the links of each text are like, (n_texts, len(FEATURES)) float64; zeros where there is none."""
    rows = np.zeros((len(texts), len(FEATURES)))
    for row, text in zip(rows, texts, strict=True):
        links = find(text, lists).links
        if links:
            signs = {sign for link in links for sign in link.signs}
            other = any(not {"moderated", "shortener"} & set(link.signs) for link in links)
            flags = [float(flag in signs) for flag in _FLAGS]
            digits = max(sum(mark.isdigit() for mark in link.host) / len(link.host) for link in links)
            length, depth = max(len(link.url) for link in links), max(link.depth for link in links)
            row[:] = [np.log1p(len(links)), float(other), *flags, np.log1p(length), digits, depth]
    return rows


def place(path: str) -> Path:
    """Return where lists of links lie: a path from the repository's root, unless it is absolute."""
    return ROOT / path
