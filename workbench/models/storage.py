"""A fitted model on disk: a sealed folder with `model.json` and its arrays as safetensors; loading runs no code."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as parse_tensors
from safetensors.numpy import save as dump_tensors

from workbench import fingerprint
from workbench.models import sealed
from workbench.schema import WorkbenchError

MODEL = sealed.Kind("model", "model.json", "train the model again or fetch the folder again")
ARRAYS = "arrays.safetensors"


def write(
    folder: Path | str,
    head: dict[str, Any],
    arrays: dict[str, np.ndarray],
    parts: Callable[[Path], None] = lambda _: None,
) -> None:
    """Write a model folder in one step, in the place of an earlier model if there is one.

    head: plain JSON; arrays: by name; parts: called with the folder being written, to add folders of member models.
    Raises WorkbenchError where `folder` holds something that is no model, and for a disk that does not take it.
    """

    def everything(fresh: Path) -> None:
        (fresh / ARRAYS).write_bytes(dump_tensors({name: np.ascontiguousarray(a) for name, a in arrays.items()}))
        parts(fresh)

    sealed.write(folder, MODEL, head, everything)


def read(folder: Path | str) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return the head and the arrays of a model folder; raises WorkbenchError as `sealed.read`, and without arrays."""
    head, path = sealed.read(folder, MODEL), Path(folder) / ARRAYS
    if ARRAYS not in head["files"]:
        raise WorkbenchError(f"{folder} lists no {ARRAYS!r} in its manifest; {MODEL.again}")
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != head["files"][ARRAYS]:  # the very bytes that are parsed
        raise WorkbenchError(f"{path} changed while it was read; load it again")
    try:
        return head, parse_tensors(data)
    except SafetensorError as error:
        raise WorkbenchError(f"{path} is no readable safetensors file ({error}); {MODEL.again}") from None


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
