"""A small random CLIP in open_clip's `local-dir:` layout, made here: no network, no shipped weights."""

import pytest
from random_clip import write_encoder


@pytest.fixture(scope="session")
def random_clip(tmp_path_factory):
    """The folder of a random CLIP: 32 dimensions, pictures of 32 pixels, 24 tokens."""
    return write_encoder(tmp_path_factory.mktemp("encoder") / "random-clip")
