"""A report of 10 models, 4 labels, 3 seeds and 5 slice columns on 1,500 test posts: small and legible."""

from __future__ import annotations

import numpy as np
import pytest
from browser import chromium, needs_chromium
from made_runs import World

from workbench.comparison.compare import CompareOptions, compare
from workbench.comparison.predictions import load_run
from workbench.report import page as report

LABELS = ("abuse", "nudity", "violence", "misinformation")
SLICES = {"community": 40, "language": 6, "region": 5, "length": 4, "month": 12}
SEEN = [(), ("text",), ("image",), ("text", "image")]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Run folders with 1,500 test posts, about one in twenty harmful for each label."""
    place, rng = tmp_path_factory.mktemp("large"), np.random.default_rng(5)
    world = World(2000, labels=LABELS, rate=-3.3)
    for name, values in SLICES.items():
        world.columns[name] = np.array([f"{name}-{value}" for value in rng.integers(0, values, world.n)])
    scores = [world.noise(3, seed=i) if i < 3 else world.good(3, 0.3 + 0.3 * i) for i in range(10)]
    runs = [world.write(place, f"model-{i}", one, modalities=SEEN[min(i, 3)]) for i, one in enumerate(scores)]
    return [run.folder for run in runs]


@pytest.fixture(scope="module")
def written(folders, tmp_path_factory):
    """The page, and the comparison that it tells."""
    runs = [load_run(folder) for folder in folders]
    few = {"resamples": 200, "slice_resamples": 100}  # more of them make no other page
    settings = CompareOptions(pairs=(("model-3", "best-unimodal"), ("model-3", "model-4")), **few)
    found = compare("large", "Does it win?", runs, settings)
    page = report.write(tmp_path_factory.mktemp("page"), found, runs, None)
    return page, found


@pytest.mark.slow
def test_a_large_report_is_small(written):
    page, found = written
    assert found.models[0].n >= 1000
    assert len({row.model for row in found.models}) == 10
    assert page.stat().st_size < 5_000_000


@pytest.mark.slow
@needs_chromium
@pytest.mark.parametrize("width", [390, 1300])
def test_a_large_report_fits_a_phone_and_a_desk(written, width):
    with chromium() as browser:
        tab = browser.new_page(viewport={"width": width, "height": 844})
        tab.goto(written[0].as_uri())
        assert tab.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
        summary, contents = (tab.locator(one).bounding_box() for one in ("#answer", "nav"))
        beside = contents["x"] + contents["width"] <= summary["x"]
        assert beside == (width == 1300)  # contents at the side of a wide page, after the summary on a phone
        assert beside or contents["y"] >= summary["y"] + summary["height"]
        row = tab.locator('tr[id="test/paired/macro/model-3"]')
        assert row.locator('td[title="test/paired/macro/model-3/recall"]').count() == 1
        tab.evaluate("document.querySelector('a[href=\"#checklist\"]').click()")
        assert abs(tab.locator("#checklist").bounding_box()["y"]) < 844
