"""Whether an encoder is the one that something was trained on, by digests that are the same on every device."""

from __future__ import annotations

from typing import Any

from workbench import fingerprint
from workbench.errors import WorkbenchError


def encoder_digest(encoder: Any, **own: Any) -> str:
    """Return a digest of an encoder that is the same on every device: its number format is left out.

    A bundle trained where the encoder computes in bfloat16 must serve where it computes in float32. own: what counts
    of the encoder beside its preprocessing; its weights, if nothing is given.
    """
    recipe = {key: value for key, value in encoder.recipe.items() if key != "dtype"}
    return fingerprint.of_json({"recipe": recipe, **(own or {"weights": encoder.weights})})


def same_encoder(what: str, trained: str, now: str, name: str) -> None:
    """Raise WorkbenchError where an encoder of a name is not the one that something was trained on, by their digests.

    what: such as "the model in FOLDER"; name: what the encoder is asked for by.
    """
    if trained != now:
        raise WorkbenchError(
            f"{what} was trained on another encoder than {name!r} is now; put back that encoder's files or train again"
        )
