"""What an encoder's vectors depend on, and whether it is the one that something was trained on."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from workbench import fingerprint
from workbench.errors import WorkbenchError
from workbench.features.items import ITEMS
from workbench.fingerprint import closure
from workbench.schema import MODALITIES

READ_BY = {"text": {"text"}, "image": {"image"}, "video": {"image", "video"}}
"""Modality -> the parts of an encoder's recipe that it goes by; what belongs to no modality counts for all."""
# Numbers that stand in the digests of saved bundles and never change again.
_ALWAYS = {"version": 1}
_ALWAYS_OF = {
    "text": {"readings": "readings 1"},
    "image": {"decoding": "image 1"},
    "video": {"decoding": "video 1"},
}


def reads(encoder: Any, modality: str) -> bool:
    """Return whether an encoder has vectors of a modality: those that its recipe names, all where it names none."""
    named = set(MODALITIES) & getattr(encoder, "recipe", {}).keys()
    return not named or modality in named


def depends(encoder: Any, modality: str) -> dict[str, Any]:
    """Return what the vectors of a modality depend on, by content: weights, options, code and libraries."""
    others = set(MODALITIES) - {modality}
    options = {key: value for key, value in encoder.recipe.items() if key not in others or key in READ_BY[modality]}
    elsewhere = [function for other in sorted(others) for function in encoder.alone(other)]
    fetched = ITEMS[modality]
    entries = (*encoder.entries(modality), fetched, fetched.fetch)
    code = closure.of_code(*entries, without=elsewhere)
    return {"weights": encoder.weights, "options": fingerprint.of_json(options), **code}


def of_vectors(depends: dict[str, Any]) -> str:
    """Return 64 hex digits over what vectors depend on: the name that the feature store finds them by."""
    return hashlib.sha256(json.dumps(depends, sort_keys=True).encode()).hexdigest()


def encoder_digest(encoder: Any, **own: Any) -> str:
    """Return a digest of an encoder that is the same on every device: its number format is left out.

    A bundle trained where the encoder computes in bfloat16 must serve where it computes in float32, and one that was
    saved by an earlier version of the code goes on serving. own: what counts of the encoder beside its preprocessing;
    its weights, if nothing is given.
    """
    recipe = _ALWAYS | {key: value for key, value in encoder.recipe.items() if key != "dtype"}
    for part in _ALWAYS_OF.keys() & recipe.keys():
        recipe[part] = {**recipe[part], **_ALWAYS_OF[part]}
    return fingerprint.of_json({"recipe": recipe, **(own or {"weights": encoder.weights})})


def same_encoder(what: str, trained: str, now: str, name: str) -> None:
    """Raise WorkbenchError where an encoder of a name is not the one that something was trained on, by their digests.

    what: such as "the model in FOLDER"; name: what the encoder is asked for by.
    """
    if trained != now:
        raise WorkbenchError(
            f"{what} was trained on another encoder than {name!r} is now; put back that encoder's files or train again"
        )
