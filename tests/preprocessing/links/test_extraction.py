"""Links: every obfuscation ends in one address, what is suspicious is said in a sentence, nothing is fetched."""

from __future__ import annotations

import socket

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.corpora.synthetic.links import DOMAINS
from workbench.errors import WorkbenchError
from workbench.preprocessing.links.extraction import FEATURES, MOST, SENTENCES, LinkLists, features, find, findings

LISTS = LinkLists.load()


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """No test of this file can open a connection or ask for a name."""

    def refuse(*_, **__):
        raise AssertionError("a link was looked up")

    for name in ("socket", "create_connection", "getaddrinfo", "gethostbyname"):
        monkeypatch.setattr(socket, name, refuse)


def urls(text: str) -> list[str]:
    return [link.url for link in find(text, LISTS).links]


@pytest.mark.parametrize(
    ("written", "url"),
    [
        ("www.example.com", "http://www.example.com"),  # without a scheme
        ("HTTPS://WWW.Example.COM:443/Path.", "https://www.example.com/Path"),  # a path keeps its case
        ("http://example.com:80/", "http://example.com"),
        ("http://example.com:8080/", "http://example.com:8080"),
        ("(see http://example.com/b_(c))", "http://example.com/b_(c)"),  # the outer bracket is the sentence's
        ("Is it example.org/x?!", "http://example.org/x"),
        ("http://bücher.example/", "http://xn--bcher-kva.example"),
        ("http://XN--BCHER-KVA.example", "http://xn--bcher-kva.example"),
        ("http://ｅｖｉｌ.com/", "http://evil.com"),  # fullwidth letters
        ("hxxps://evil[.]com/a", "https://evil.com/a"),
        ("hxxp[:]//evil(dot)co(.)uk", "http://evil.co.uk"),
        ("evil [.] com", "http://evil.com"),
        ("http:\\\\evil.com\\x", "http://evil.com/x"),  # browsers take a backslash for a slash
        ("https://bank.com@evil.example/x", "https://evil.example/x"),  # what stands before the @ is no host
        ("https://good.com%2f@evil.com/", "https://evil.com"),
        ("http://0x7f.1/a", "http://127.0.0.1/a"),  # hexadecimal, and the last part fills up
        ("http://2130706433/", "http://127.0.0.1"),  # 127 * 2**24 + 1
        ("http://[0:0::1]:80/x", "http://[::1]/x"),
        ("&#104;ttp://evil.com", "http://evil.com"),
    ],
)
def test_one_address_has_one_form(written, url):
    assert urls(f"look {written} now") == [url]


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "no link",
        "e.g. this",
        "v1.2.3 and 1.2.3.4",
        "me@example.com",
        "mailto:me@example.com",
        "data: none",
        "a:b",
    ],
)
def test_what_is_no_link(text):
    assert find(text, LISTS) == ((), False)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("https://bank.com@evil.example/x", "The link to evil.example pretends to be another site before an @ sign."),
        ("http://127.0.0.1/x", "The link to 127.0.0.1 names a number in place of a site."),
        ("http://pаypal.com", "The link to xn--pypal-4ve.com has a name that mixes letters of several scripts."),
        ("hxxp://evil.com", "The link to evil.com is written so that filters overlook it."),
        ("http://a.example/x.EXE".lower(), "The link to a.example leads to a program."),
        ("javascript:alert(1)", "The link to javascript: is no web address."),
    ],
)
def test_a_sketchy_link_is_said_in_a_sentence(text, said):
    assert findings(f"x {text} y", LISTS) == (said,)


@pytest.mark.parametrize(
    "text",
    [
        "http://bit.test/abc",
        "https://youtu.be/x",
        "https://a.b.c.d.example.co.uk",
        "http://bücher.example",
        "x.example:8",
    ],
)
def test_a_shortener_or_an_unusual_name_alone_is_not_sketchy(text):
    assert findings(text, LISTS) == ()


def test_honest_brackets_beside_an_honest_link_make_it_no_disguise():
    (link,) = find("see [.] and http://example.com/x", LISTS).links
    assert "defanged" not in link.signs


@pytest.mark.parametrize("kind", DOMAINS)
def test_links_of_the_synthetic_world_are_of_their_kind(kind):
    wanted = {"host": "moderated", "short": "shortener", "site": None}[kind]
    for form in DOMAINS[kind]:
        (link,) = find(f"see {form.format(code='aB3xY', word='bread', number=1234)}", LISTS).links
        assert (set(link.signs) & {"moderated", "shortener"}) == ({wanted} if wanted else set())
        assert findings(form.format(code="aB3xY", word="bread", number=1234), LISTS) == ()


def test_lists_hold_for_everything_below_a_host_and_nothing_beside_it():
    lists = LinkLists(moderated=("Example.com.",))
    assert lists.known("video.example.com") == lists.known("example.com") == ["moderated"]
    assert lists.known("notexample.com") == lists.known("example.com.evil.org") == []


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"moderated": ["https://example.com"]}, "is no host"),
        ({"patterns": [{"pattern": "(", "why": "x"}]}, "no regular expression"),
        ({"suspicious": ["shorteners"]}, "suspicious"),
        ({"hosts": []}, "unknown key 'hosts'"),
    ],
)
def test_wrong_lists_are_refused_in_a_sentence(changed, said):
    with pytest.raises(WorkbenchError, match=said) as caught:
        LinkLists.parse(changed, "links")
    assert "\n" not in str(caught.value)


def test_a_pattern_that_takes_too_long_counts_as_met(monkeypatch):
    lists = LinkLists(patterns=({"pattern": "x{9}", "why": "is odd"},), suspicious=("pattern",))
    assert findings("http://example.com/a", lists) == ()

    def endless(*_, timeout):
        raise TimeoutError

    monkeypatch.setattr("regex.search", endless)
    assert findings("http://example.com/a", lists) == ("The link to example.com is odd.",)


def test_findings_are_few_and_too_many_links_are_one():
    many = " ".join(f"http://10.0.0.{n}/" for n in range(20))
    assert len(findings(many, LISTS)) == SENTENCES
    found = find(" ".join(f"a{n}.example.com" for n in range(10_000)), LISTS)
    assert (len(found.links), found.more) == (MOST, True)
    assert "more links" in findings(" ".join(["http://a.example/("] * 10_000), LISTS)[-1]


@pytest.mark.slow
@pytest.mark.parametrize(
    "unit",
    ["a.", "http://", "https://a.example.com/x ", "http://a.com/(", "a.com/(", "[.]", "&#46;", "http://a.b/\"'", "#."],
)
def test_a_million_characters_are_looked_at_within_bounds(unit):
    found = find(unit * (1_000_000 // len(unit)), LISTS)
    assert len(found.links) <= MOST


@settings(max_examples=150)
@given(st.text(st.sampled_from("htpx:/.[]()@%#?&;a1-é。\ud800\u202e \n"), max_size=60))
def test_any_text_ends_in_links_of_one_form(text):
    for link in find(f"http://{text} {text}", LISTS).links:
        assert link.host
        assert link.host.isascii()
        assert link.url == link.url.strip()
    assert all(said.endswith(".") and "\n" not in said for said in findings(text, LISTS))


def test_features_by_hand():
    texts = [None, "none", "http://bit.test/abc http://10.0.0.1/ https://x1.a.example.com/"]
    x = features(texts, LISTS)
    assert x.shape == (3, len(FEATURES))
    assert not x[:2].any()
    row = dict(zip(FEATURES, x[2], strict=True))
    assert row["links"] == pytest.approx(np.log(4))  # three links
    assert {name for name in FEATURES[1:-3] if row[name]} == {"other", "shortener", "ip"}
    assert row["length"] == pytest.approx(np.log1p(len("https://x1.a.example.com")))
    assert row["digits"] == pytest.approx(5 / 8)  # 10.0.0.1
    assert row["depth"] == 2  # x1 and a, before example.com
