"""The demo with the starter that ships, in a real browser: real words are judged, another language never is."""

from __future__ import annotations

import tempfile
from concurrent.futures import ThreadPoolExecutor

import pytest
from browser import chromium, needs_chromium
from demo_site import Site, check, on_a_port, picture

from workbench.records import Records
from workbench.serving.config import ServingConfig
from workbench.serving.demo import host
from workbench.serving.demo.startup import Startup
from workbench.serving.engine import Engine

pytestmark = [
    pytest.mark.slow,
    needs_chromium,
    pytest.mark.filterwarnings("ignore:'future.no_silent_downcasting'"),  # Gradio's count of events, and this one
    pytest.mark.filterwarnings("ignore:The copy keyword is deprecated"),
]


@pytest.fixture
def page(tmp_path, monkeypatch):
    """The page of a server whose texts are judged by the starter, and everything else by it too."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for name in ("GRADIO_TEMP_DIR", "GRADIO_ANALYTICS_ENABLED"):
        monkeypatch.setenv(name, "")
    starter = {"bundle": "data/starter"}
    config = ServingConfig.parse({"services": {"text": starter, "post": starter}}, "serving")
    with Records(tmp_path / "records") as records, chromium() as browser:
        engine = Engine(config, records, device="cpu")
        engine.load()
        start = Startup(lambda: engine)
        with ThreadPoolExecutor(1) as thread:  # the browser's driver keeps a loop running in this one
            given = (start, config, host.private_folder())
            app = thread.submit(host.assemble, *given, users=None, local=True).result()
        start.start()
        with on_a_port(app) as url:
            site = Site(url, browser)
            yield site.visit()
            assert site.complaints == []
            site.close()
        engine.close()


def test_words_are_judged_and_other_languages_are_not(page):
    assert check(page, "I will kill you").startswith("Review by a person within 1 hour: abuse 0.")
    assert "not for moderating a site" in page.locator("#verdict").inner_text()
    assert check(page, "Tu es vraiment un imbécile, ferme-la") == (
        "Review by a person within 1 hour: the text could not be read: this model reads English; not judged (it looks "
        "like French)."
    )
    assert page.locator(".verdict.allow").count() == 0
    assert check(page, "Thank you for the lovely evening").startswith("Allow")
    assert "not for moderating a site" in page.locator("#verdict").inner_text()
    page.evaluate("document.querySelector('#verdict h2').setAttribute('data-old', '')")
    page.get_by_role("button", name="Real words: an insult").click()
    page.locator("#verdict h2:not([data-old])").wait_for()
    assert page.locator(".verdict.review").count() == 1
    page.get_by_role("radio", name="Text", exact=True).check()
    page.get_by_role("button", name="Start over").click()
    page.get_by_text("The verdict appears here.").wait_for()
    assert page.get_by_role("radio", name="What fits the post").is_checked()
    assert "does not look at the picture" in check(page, "Thank you for the lovely evening", picture=picture("JPEG"))
