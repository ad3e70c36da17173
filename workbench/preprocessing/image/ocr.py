"""Words in a picture, read on this machine by RapidOCR, whose models come inside its package; an optional extra.

Nothing is fetched: where the package or its models are missing, reading is off, and `OFF` says so. RapidOCR 3.10
(Apache 2.0, https://github.com/RapidAI/RapidOCR) runs PP-OCR's detector and recogniser on onnxruntime.

Open doubts: its default models know Latin and Chinese script; handwriting, curved and very small words are often
missed; a picture takes tenths of a second, on busy cores seconds, far more than any encoder here.
"""

from __future__ import annotations

import importlib.util
import threading
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from workbench import fingerprint
from workbench.errors import WorkbenchError
from workbench.preprocessing.image import decoding

OFF = "words in pictures are not read here: install the extra `ocr` (pip install 'moderation-workbench[ocr]')"
SURE = 0.5  # a line counts if the recogniser is at least so sure of it
_ONE_AT_A_TIME = threading.Lock()


def available() -> bool:
    """Say whether words can be read here: the package, its engine and its models are installed."""
    names = {path.name for path in models()}
    return all(any(part in name for name in names) for part in ("det", "rec", "cls"))


def models() -> list[Path]:
    """Return the files of the models that read, sorted; none where the package or its engine is not installed."""
    spec = importlib.util.find_spec("rapidocr")
    if spec is None or spec.origin is None or importlib.util.find_spec("onnxruntime") is None:
        return []
    return sorted((Path(spec.origin).parent / "models").glob("*.onnx"))


def weights() -> str:
    """Return 64 hex digits over the models that read, by content."""
    return fingerprint.of_json({path.name: fingerprint.of_file(path) for path in models()})


def words(data: bytes) -> str | None:
    """Return the words in a picture file, one line after the other, "" if there are none; None if it cannot be read.

    Of a picture with several variants (transparency, frames) the lines of all are taken, each once. Raises
    WorkbenchError where the extra is not installed.
    """
    if not available():
        raise WorkbenchError(OFF)
    lines: dict[str, None] = {}
    for variant in decoding.decode(data).variants or (None,):
        if variant is None:
            return None
        lines |= dict.fromkeys(_lines(variant))
    return "\n".join(lines)


def _lines(pixels: np.ndarray) -> list[str]:
    """Return the lines that are recognised in pixels (h, w, 3), from the top."""
    with _ONE_AT_A_TIME:
        result = _engine()(np.ascontiguousarray(pixels[..., ::-1]))  # it expects blue, green, red
    pairs = zip(result.txts or (), result.scores or (), strict=True)
    return [line.strip() for line, score in pairs if score >= SURE and line.strip()]


@lru_cache(maxsize=1)
def _engine() -> Any:
    from rapidocr import RapidOCR

    return RapidOCR(params={"Global.log_level": "error"})
