"""The report as a page: it stands alone, asks for nothing, shows hostile words as words, and can be read by anyone."""

from __future__ import annotations

import base64
import itertools
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from workbench.comparison.rows import Comparison
from workbench.report import page as report

VOID = {"meta", "img", "source", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """A page taken apart; every tag must close the one that was opened last."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.headings: list[tuple[int, str]] = []
        self.cells: list[str] = []
        self.words = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        assert len({name for name, _ in attributes}) == len(attributes), f"<{tag}> repeats an attribute"
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)
        if re.fullmatch("h[1-6]", tag):
            self.headings.append((int(tag[1]), ""))
        if tag == "td" and "tbody" in self.open:
            self.cells.append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, f"</{tag}> closes another"

    def handle_data(self, data):
        if re.fullmatch("h[1-6]", "".join(self.open[-1:])):
            self.headings[-1] = (self.headings[-1][0], self.headings[-1][1] + data)
        if self.open[-1:] == ["td"] and "tbody" in self.open:
            self.cells[-1] += data
        if not {"style", "script"} & set(self.open):
            self.words += data

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def written(small, tmp_path_factory, comparison, runs, posts) -> Path:
    """The report of the whole comparison, with a hostile question."""
    hostile = Comparison.model_validate(comparison | {"question": small.HOSTILE})
    return report.write(tmp_path_factory.mktemp("page"), hostile, runs, posts)


@pytest.fixture(scope="module")
def page(written) -> Page:
    return Page(written.read_text(encoding="utf-8"))


def test_the_page_is_whole_and_named_as_documented(written, page):
    assert written.name == "report.html"
    assert [path.name for path in written.parent.iterdir()] == ["report.html"]  # no draft is left beside it
    assert written.read_text(encoding="utf-8").lower().startswith("<!doctype html>")
    assert page.all("html") == [{"lang": "en"}]
    assert [page.tags[0][0], len(page.all("main")), len(page.all("title"))] == ["html", 1, 1]


def test_the_page_asks_for_nothing_from_anywhere(written, page):
    text = written.read_text(encoding="utf-8")
    assert not re.search(r"https?:|//[a-z]|url\(|@import", re.sub(r"base64,[A-Za-z0-9+/=]+", "", text))
    assert {tag for tag, _ in page.tags}.isdisjoint({"script", "link", "iframe", "object", "embed", "form", "base"})
    addresses = [
        value for _, attributes in page.tags for name, value in attributes.items() if name in ("src", "srcset")
    ]
    assert len(addresses) >= 12
    assert all(re.fullmatch(r"data:image/(png|jpeg);base64,[A-Za-z0-9+/=]+", address) for address in addresses)
    assert all(link["href"].startswith("#") for link in page.all("a"))
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]


def test_the_page_forbids_what_it_does_not_need(page):
    (policy,) = [meta["content"] for meta in page.all("meta") if meta.get("http-equiv") == "Content-Security-Policy"]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules == {
        "default-src": "'none'",
        "img-src": "data:",
        "style-src": "'unsafe-inline'",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    # a policy counts for what comes after it
    kinds = [tag for tag, _ in page.tags]
    assert page.tags[kinds.index("style") - 2][1].get("http-equiv") == "Content-Security-Policy"


def test_hostile_words_are_words(small, page):
    texts = len([one for one in page.all("details") if one.get("class") != "folded"])
    assert texts >= 2
    assert page.words.count(small.HOSTILE) == 2 + texts  # the title, the heading, and the texts of the worst errors
    assert [heading for level, heading in page.headings if level == 1] == [small.HOSTILE]


def test_a_hostile_alias_and_test_name_are_words(small, tmp_path):
    split = small.SPLIT.copy()
    split[1::12] = '"><script>x</script>'
    runs = [
        small.write(
            tmp_path,
            small.HOSTILE,
            small.good(),
            modalities=small.BOTH,
            split=split,
            record={"model": small.HOSTILE, "device": small.HOSTILE},
        )
    ]
    page = Page(report.write(tmp_path, small.compared(runs, pairs=[]), runs, None).read_text(encoding="utf-8"))
    assert page.all("script") == []
    assert page.words.count(small.HOSTILE) >= 6
    assert "&lt;" not in page.words  # escaped once, not twice


def test_a_command_in_prose_is_code_and_everything_else_words():
    said = report._prose("`workbench audit` does; <b> and `<i>` are words, a lone ` too")
    assert said == "<code>workbench audit</code> does; &lt;b&gt; and <code>&lt;i&gt;</code> are words, a lone ` too"


def test_headings_go_down_one_level_at_a_time(page):
    levels = [level for level, _ in page.headings]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    assert all(words.strip() for _, words in page.headings)
    titles = ["The answer", "Contents", "Does it hold on other posts?", "How good is each model?"]
    assert [words for level, words in page.headings if level == 2][:4] == titles


def test_the_contents_lead_to_each_section(page):
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert [link["href"] for link in page.all("a")] == [f"#{part['id']}" for part in page.all("section")]
    assert len(page.all("section")) == 16


def test_pictures_are_described_and_come_for_light_and_dark(page):
    assert all(image.get("alt") for image in page.all("img"))
    sources = page.all("source")
    assert (
        len(sources) == len(page.all("picture")) == 10
    )  # values, differences, two for each label, two of prevalence, calibration, cost
    assert {source["media"] for source in sources} == {"(prefers-color-scheme: dark)"}
    light = [image["src"] for image in page.all("img") if "png" in image["src"][:20]]
    assert all(source["srcset"] != src for source, src in zip(sources, light, strict=True))
    assert all(base64.b64decode(src.partition(",")[2]).startswith(b"\x89PNG") for src in light)


def test_wide_tables_scroll_in_a_box_that_the_keyboard_reaches(page):
    boxes = [attributes for tag, attributes in page.tags if attributes.get("class") == "wide"]
    assert len(boxes) == len(page.all("table"))
    assert all(box["tabindex"] == "0" and box["aria-label"].startswith("Table: ") for box in boxes)
    assert len({box["aria-label"] for box in boxes}) == len(boxes)


def test_every_cell_of_the_page_says_something(page):
    assert len(page.cells) > 100
    assert not [cell for cell in page.cells if cell.strip() in ("", "None", "nan", "NaN")]
    assert "–" in page.cells


def test_long_cells_are_not_cut(small, tmp_path):
    seeds = tuple(range(40))
    runs = [replace(small.write(tmp_path, "cross", small.good(40), modalities=small.BOTH), seeds=seeds)]
    words = Page(report.write(tmp_path, small.compared(runs, pairs=[]), runs, None).read_text(encoding="utf-8")).words
    assert ", ".join(map(str, seeds)) in words  # 158 characters; pandas would cut at 50


def test_a_page_can_be_drawn_where_nothing_is_defined(small, tmp_path):
    nothing = {"y": np.ones((small.N, 2), bool), "thresholds": None}
    runs = [small.write(tmp_path, name, np.full((1, small.N, 2), np.nan), **nothing) for name in ("a", "b")]
    page = Page(report.write(tmp_path, small.compared(runs, pairs=[("a", "b")]), runs, None).read_text())
    assert page.cells.count("–") > 10


def test_a_report_replaces_the_one_before(small, tmp_path, comparison, runs):
    (tmp_path / "report.html").write_text("old")
    page = Page(report.write(tmp_path, Comparison.model_validate(comparison), runs, None).read_text(encoding="utf-8"))
    assert len(page.all("section")) == 16


def test_a_fragment_is_a_section_with_its_style(comparison, runs):
    (section,) = [one for one in report.sections(Comparison.model_validate(comparison), runs) if one.key == "values"]
    page = Page(report.fragment(section))
    assert [part["id"] for part in page.all("section")] == ["values"]
    assert page.all("source") == []  # a notebook has a light page
    assert len(page.all("img")) == len(page.all("style")) == 1


def test_the_contents_lead_to_the_sections(comparison, runs):
    shown = report.sections(Comparison.model_validate(comparison), runs)
    page = Page(report.contents(shown))
    assert [link["href"] for link in page.all("a")] == [f"#{section.key}" for section in shown]


@pytest.fixture(scope="module")
def browser():
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("needs Chromium, and this machine has none")
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as play:
        chromium = play.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1200])
def test_the_page_fits_and_is_quiet_in_a_browser(browser, written, scheme, width):
    context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 800})
    tab, asked_for, complaints = context.new_page(), [], []
    tab.on("request", lambda request: asked_for.append(request.url.partition(":")[0]))
    tab.on("console", lambda message: complaints.append(message.text))
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    tab.goto(written.as_uri())
    tab.wait_for_load_state("networkidle")
    assert complaints == []
    assert set(asked_for) <= {"file", "data"}
    assert asked_for.count("file") == 1
    assert tab.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    boxes = tab.evaluate("[...document.querySelectorAll('.wide')].map(b => b.scrollWidth > b.clientWidth)")
    assert any(boxes) == (width == 390) or width == 1200  # on a phone some table must scroll in its box
    hints = tab.evaluate(
        "[...document.querySelectorAll('.wide')].map(b => getComputedStyle(b, '::before').height > '0px')"
    )
    shown = tab.evaluate("[...document.querySelectorAll('.wide')].map(b => b.offsetParent !== null)")
    seen = [(wide, hint) for wide, hint, there in zip(boxes, hints, shown, strict=True) if there]
    assert all(wide == hint for wide, hint in seen)  # what scrolls says so, and nothing else does
    assert tab.evaluate("[...document.images].every(i => i.complete && i.naturalWidth > 0)")
    chosen = tab.evaluate(
        "[...document.querySelectorAll('picture')].map("
        "p => p.querySelector('img').currentSrc === p.querySelector('source').srcset)"
    )
    assert set(chosen) == {scheme == "dark"}
    context.close()


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_breaks_no_rule_of_accessibility(browser, written, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    context = browser.new_context(color_scheme=scheme, viewport={"width": 390, "height": 800})
    tab = context.new_page()
    tab.goto(written.as_uri())
    found = axe.Axe().run(tab).response["violations"]
    assert [(rule["id"], [node["html"] for node in rule["nodes"]][:3]) for rule in found] == []
    context.close()
