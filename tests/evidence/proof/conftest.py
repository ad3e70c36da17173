"""What the tests of simulated worlds share."""

from __future__ import annotations

import pytest


@pytest.fixture
def heard(monkeypatch):
    """Return a function that lets a call go on as it is and keeps what it was given and what it gave back."""

    def listen(owner, name):
        kept, call = [], getattr(owner, name)

        def heard_call(*args, **about):
            kept.append((args, about, call(*args, **about)))
            return kept[-1][2]

        monkeypatch.setattr(owner, name, heard_call)
        return kept

    return listen
