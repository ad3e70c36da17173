"""What the page says of a model that would answer if its extra were installed."""

from __future__ import annotations

import pytest
from demo_site import picture

from workbench.serving.demo import page

pytestmark = [
    pytest.mark.filterwarnings("ignore:'future.no_silent_downcasting'"),  # as in tests/serving/test_demo.py
    pytest.mark.filterwarnings("ignore:The copy keyword is deprecated"),
]


def test_a_verdict_says_what_is_missing_for_another_model_to_answer(engine):
    answer = page._answering(engine, {"image": "x is not installed"})
    said = {
        service: answer(*given, None, *[None] * len((*page.ABOUT, *page.AROUND)), service)[0]
        for service, given in {"image": (None, picture()), "text": ("hello", None)}.items()
    }
    assert "<p>Another model would answer: x is not installed.</p>" in said["image"]
    assert "Another model" not in said["text"]
