"""The page in a real browser: a post goes in, the verdict comes out, and nothing else happens.

Engine, decoders and policy are the real ones; the model is a stand-in that says "harm" is harm.
"""

from __future__ import annotations

import re
import tempfile
import threading
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from urllib.error import HTTPError

import made_clips
import pytest
from browser import chromium, needs_chromium
from demo_site import Site, check, on_a_port, picture, put, verdict
from oracles import counts

from workbench.preprocessing.video import reader
from workbench.serving.demo import host
from workbench.serving.demo.page import AROUND
from workbench.serving.demo.startup import Startup

pytestmark = [
    pytest.mark.slow,
    needs_chromium,
    pytest.mark.filterwarnings("ignore:'future.no_silent_downcasting'"),  # Gradio's count of events, and this one
    pytest.mark.filterwarnings("ignore:The copy keyword is deprecated"),
]
THANKS = "have a nice day"


# ---------------------------------------------------------------------------------------------------- a page to ask


@pytest.fixture
def stand_in(stand_in):
    """A stand-in that looks at clips too, and scores every label 0.6 where it can read one."""

    class Watching(type(stand_in)):
        def _one(self, post):
            found = super()._one(post)
            if post.video is None:
                return found
            clip = reader.decode(post.video.bytes)
            if clip.reason:
                return found.model_copy(update={"unread": {**found.unread, "video": clip.reason}})
            return found.model_copy(update={"scores": dict.fromkeys(self.labels, 0.6), "missing": ()})

    return Watching(("text", "image", "video"))


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture
def serve_page(make_engine, browser, monkeypatch, tmp_path):
    """The function that serves the page; its engine is there once `wait` returns."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for name in ("GRADIO_TEMP_DIR", "GRADIO_ANALYTICS_ENABLED"):
        monkeypatch.setenv(name, "")  # so that what is set for the page is undone
    with ExitStack() as stack:

        def make(wait=lambda: None):
            engine = make_engine()
            start = Startup(lambda: (wait(), engine)[1])
            given = (start, engine.config, host.private_folder())
            with ThreadPoolExecutor(1) as thread:  # the browser's driver keeps a loop running in this one
                app = thread.submit(host.assemble, *given, users=None, local=True).result()
            start.start()
            site = Site(stack.enter_context(on_a_port(app)), browser)
            stack.callback(site.close)
            return site

        yield make


@pytest.fixture
def site(serve_page):
    return serve_page()


# ------------------------------------------------------------------------------------------------------------ the doors


def test_a_text(site, records):
    page = site.visit()
    assert check(page, "this is harm") == "Remove: abuse 0.95 is at or above the removal threshold 0.90."
    rows = page.locator("#answer table tbody tr")
    assert rows.count() == 4
    assert "0.95" in rows.nth(0).inner_text()
    assert "review from 0.50 · remove from 0.90" in rows.nth(0).inner_text()
    assert "Below" in rows.nth(1).inner_text()
    shown = page.locator("#answer").inner_text()
    assert "stand-in-000000000000" in shown
    assert re.search(r"house@1-[0-9a-f]{8} of 2026-01-01", shown)
    assert check(page, THANKS) == "Allow: every score is below its thresholds."
    assert sum(counts(records).values()) == 0  # nothing of this is on record
    assert site.complaints == []


def test_numbers_that_nobody_has_filled_in_are_unknown_and_not_nought(site):
    page = site.visit()
    page.get_by_text("More about the post (optional)").click()
    for label in AROUND.values():
        assert page.get_by_label(label, exact=True).input_value() == ""


def test_a_picture_is_blurred_until_asked(site):
    page = site.visit()
    photo = picture("JPEG", comment=b"a secret comment")
    assert check(page, picture=photo).startswith("Allow")
    assert "Picture read" in page.locator("#answer").inner_text()
    shown = page.locator("#preview img")
    assert shown.count() == 1
    assert shown.get_attribute("src").startswith("data:image/jpeg;base64,")
    assert "blur" in shown.evaluate("one => getComputedStyle(one).filter")
    switch = page.get_by_label("Show without blur")
    switch.focus()
    page.keyboard.press("Space")
    assert shown.evaluate("one => getComputedStyle(one).filter") == "none"
    # The next picture is blurred again, without anyone asking for it.
    page.get_by_role("button", name="Start over").click()
    page.locator("#preview img").wait_for(state="detached")
    check(page, picture=picture("JPEG", size=(100, 300)))
    assert "blur" in page.locator("#preview img").evaluate("one => getComputedStyle(one).filter")
    assert not [url for url in site.asked if "/file=" in url]
    assert site.complaints == []


@pytest.mark.parametrize("kind", ["mp4", "webm"])
def test_a_clip_is_shown_as_frames(site, kind):
    page = site.visit()
    clip = made_clips.clip(24, kind=kind, codec={"mp4": "libx264", "webm": "libvpx"}[kind])
    assert check(page, clip=clip).startswith(
        "Review by a person within 1 hour: violence 0.60 is at or above the review"
    )
    frames = page.locator("#preview figure")
    assert frames.count() == reader.DEFAULT.frames
    assert re.fullmatch(r"Clip at \d\.\d s", frames.first.inner_text().strip())
    assert page.locator("video").count() == 0
    assert "Clip read" in page.locator("#answer").inner_text()
    assert site.complaints == []


BROKEN = {
    "empty picture": (0, lambda: b""),
    "text as picture": (0, lambda: b"this is no picture"),
    "SVG": (0, lambda: b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>'),
    "cut picture": (0, lambda: picture("JPEG")[:700]),
    "sound": (1, made_clips.sound),
    "cut clip": (1, lambda: made_clips.clip(24)[:200]),
    "playlist as clip": (1, lambda: b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:1/x.ts\n"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_for_review_in_one_sentence(site, name):
    page = site.visit()
    number, make = BROKEN[name]
    kind = ("picture", "clip")[number]
    said = check(page, THANKS, **{kind: make()})
    assert re.fullmatch(rf"Review by a person within 1 hour: the {kind} could not be read: .+\.", said), said
    everything = page.locator("body").inner_text()
    assert "Traceback" not in everything
    assert "Error" not in everything
    assert page.locator("#preview img").count() == 0
    assert f"{kind.title()} could not be read" in page.locator("#answer").inner_text()
    assert site.dialogs == site.complaints == []


# ---------------------------------------------------------------------------------------------------- what can go wrong


def test_nothing_to_check_and_what_a_service_needs_are_told(site):
    page = site.visit()
    assert check(page).startswith("Write a text, or choose a picture or a clip")
    assert check(page, THANKS).startswith("Allow")
    assert check(page, " \u200b ").startswith("Write a text")
    page.get_by_role("radio", name="Picture", exact=True).check()
    assert check(page, THANKS).startswith("This service looks at a picture, and the post has none")


def test_a_fault_is_told_with_an_id_that_the_log_has_too(site, caplog):
    page = site.visit()
    said = check(page, "poison")
    found = re.fullmatch(r"Something failed on our side and nothing was decided\. .* fault's id ([0-9a-f]{8})\.", said)
    assert found, said
    assert f"fault {found[1]} while a post was tried" in caplog.text
    assert "the model broke" not in page.locator("body").inner_text()
    assert check(page, THANKS).startswith("Allow")  # and the page goes on


def test_a_file_over_the_limit_is_told(site):
    page = site.visit()
    with page.expect_file_chooser() as chooser:
        page.locator(".upload").first.get_by_role("button").first.click()
    chooser.value.set_files({"name": "a.png", "mimeType": "image/png", "buffer": b"x" * (7 * 2**20)})
    page.get_by_text(re.compile("exceeds|too large|maximum", re.IGNORECASE)).first.wait_for()
    assert check(page, THANKS).startswith("Allow")


def test_a_file_that_is_gone_is_told(site):
    from pathlib import Path

    page = site.visit()
    with page.expect_response(re.compile("/gradio_api/upload[?]")) as answer:
        put(page, 0, picture())
    Path(answer.value.json()[0]).unlink()  # as the hourly cleaning does
    assert check(page) == "The picture has been deleted from this machine meanwhile; choose it again."


HOSTILE = """<img src=x onerror=alert(1)><script>alert(2)</script> [a](javascript:alert(3)) ${alert(4)} {{7*7}}
<iframe src="//evil.example"></iframe> \u202e\u0634\u0643\u0631\u0627 👩‍👩‍👧 """


@pytest.mark.parametrize("text", [HOSTILE, "שלום עולם " * 1000, "🙂" * 10_000, "a" * 10_000, "a\0b"])
def test_odd_texts_are_scored_and_do_nothing(site, text):
    page = site.visit(viewport={"width": 390, "height": 844})
    page.get_by_text("More about the post").click()
    for label in ("Language", "Region", "Community"):
        page.get_by_label(label).fill(text[:90].replace("\n", " "))
    assert check(page, text).startswith("Allow")
    assert site.dialogs == site.complaints == []
    assert page.locator("#results img, #results iframe, #results script").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert not [url for url in site.asked if not url.startswith((site.url, "data:", "blob:"))]


# ---------------------------------------------------------------------------------------------------------- privacy


def test_no_request_leaves_and_a_reload_leaves_nothing(site):
    page = site.visit()
    check(page, "my very secret words", picture=picture(), clip=made_clips.clip(6))
    page.get_by_label("Show without blur").check()
    page.reload()
    page.locator("button:enabled", has_text="Check the post").wait_for()
    assert "secret" not in page.content()
    assert page.get_by_label("Text", exact=True).first.input_value() == ""
    assert page.locator("#preview img").count() == 0
    kept = page.evaluate(
        """async () => ({
            local: Object.entries(localStorage), session: Object.entries(sessionStorage), cookies: document.cookie,
            databases: (await indexedDB.databases()).map(one => one.name), caches: await caches.keys()})"""
    )
    assert {name: value for name, value in kept.items() if value} == {}
    assert len(site.asked) > 30  # what the page loads was seen
    assert not [url for url in site.asked if not url.startswith((site.url, "data:", "blob:"))]
    assert site.complaints == []


def test_two_at_once_see_their_own_post_only(site, stand_in):
    first, second = site.visit(), site.visit()
    stand_in.gate.clear()
    for page, text in ((first, "harm by the first"), (second, THANKS)):
        page.get_by_label("Text", exact=True).first.fill(text)
        page.get_by_role("button", name="Check the post").click()
    for page in (first, second):
        page.evaluate("document.querySelector('#verdict h2')?.setAttribute('data-old', '')")
    stand_in.gate.set()
    assert verdict(first).startswith("Remove: abuse 0.95")
    assert verdict(second).startswith("Allow")
    assert THANKS not in first.content()
    assert "by the first" not in second.content()


# ----------------------------------------------------------------------------------------------------- getting ready


def test_the_page_is_there_before_the_engine_and_opens_by_itself(serve_page):
    go = threading.Event()
    site = serve_page(lambda: go.wait(60))
    page = site.visit(ready=False)
    page.get_by_text(re.compile(r"Loading the models\. \d+ seconds so far\.")).wait_for()
    assert page.get_by_role("button", name="Check the post").is_disabled()
    assert [status(f"{site.url}/{path}") for path in ("readyz", "healthz")] == [503, 200]
    go.set()
    page.locator("button:enabled", has_text="Check the post").wait_for()
    assert page.locator("#standing").inner_text().strip() == ""
    assert status(f"{site.url}/readyz") == 200
    assert check(page, THANKS).startswith("Allow")


def status(url) -> int:
    try:
        with urllib.request.urlopen(url, timeout=20) as answer:
            return answer.status
    except HTTPError as error:
        with error:
            return error.code


# ------------------------------------------------------------------------------------------------ looks, keys, access


def test_an_example_is_one_click(site):
    page = site.visit()
    page.evaluate("document.querySelector('#verdict h2').setAttribute('data-old', '')")
    page.get_by_role("button", name="Text and picture: violence").click()
    assert verdict(page)
    assert page.get_by_label("Text", exact=True).first.input_value()
    assert page.locator("#preview img").count() == 1


def test_the_whole_way_by_keyboard(site):
    page = site.visit()
    focused = "document.activeElement.innerText || document.activeElement.getAttribute('aria-label') || ''"
    page.get_by_label("Text", exact=True).first.focus()
    page.keyboard.type("this is harm")
    passed = []
    while "Check the post" not in passed:
        page.keyboard.press("Tab")
        passed.append(page.evaluate(focused).strip())
        assert len(passed) < 20, passed
    page.evaluate("document.querySelector('#verdict h2').setAttribute('data-old', '')")
    page.keyboard.press("Enter")
    assert verdict(page).startswith("Remove")
    assert any("Upload" in label for label in passed)


def violations(page) -> list[tuple[str, str]]:
    from axe_playwright_python.sync_playwright import Axe

    # a colour on its way from one to the next is nobody's choice
    page.evaluate("""() => Promise.all(document.getAnimations()
        .filter(one => one.effect.getComputedTiming().iterations !== Infinity)
        .map(one => one.finished.catch(() => null)))""")
    found = Axe().run(page).response["violations"]
    return [(one["id"], node["html"][:200]) for one in found for node in one["nodes"]]


@pytest.mark.parametrize("width", [1440, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_read_it(site, tmp_path, scheme, width):
    page = site.visit(viewport={"width": width, "height": 900}, color_scheme=scheme)
    assert violations(page) == []
    clip = made_clips.clip(24)
    for name, content in {
        "remove": {"text": "this is harm"},
        "allow": {"text": THANKS, "picture": picture()},
        "review": {"clip": clip},
    }.items():
        check(page, **content)
        page.locator("#answer summary").first.click()
        assert page.locator(f".verdict.{name}").count() == 1
        assert violations(page) == [], name
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name
        page.screenshot(path=tmp_path / f"{scheme}-{width}-{name}.png", full_page=True)
        page.get_by_role("button", name="Start over").click()
        page.get_by_text("The verdict appears here.").wait_for()
    check(page, picture=b"no picture")
    assert violations(page) == []
    page.screenshot(path=tmp_path / f"{scheme}-{width}-unread.png", full_page=True)
    assert site.complaints == []
