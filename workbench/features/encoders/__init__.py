"""Content to vectors: what a name means, the models, and the vectors' identity. Importing this needs no torch."""

from __future__ import annotations

import logging
import threading
from functools import lru_cache
from typing import TYPE_CHECKING

from workbench import device as devices
from workbench.features.encoders.names import TIMM, TRANSFORMER, encoder_files

if TYPE_CHECKING:
    import torch

    from workbench.features.encoders.open_clip import Encoder

log = logging.getLogger(__name__)
_LOADING = threading.Lock()


def load_encoder(name: str, device: torch.device | str = "cpu", dtype: torch.dtype | None = None) -> Encoder:
    """Return the encoder of that name on a device, loaded once in this process while its files stay as they are.

    Names: `tiny`; a folder in open_clip's `local-dir:` layout; `ViT-B-32@openai` (a tag of open_clip's, fetched where
    there is a network), `ViT-B-32@weights.safetensors` (a file) or `ViT-B-32@random`; `hf-hub:organisation/repository`
    with or without `@revision`; `timm:` and a backbone; `transformer:` and one that reads texts (see `names`). A name
    without weights is refused: a result from random weights must be asked for.

    `dtype` is the number format, by default what `device.dtype` says. A GPU without room for the model leaves the CPU.
    Raises WorkbenchError for an unknown name, missing or unusable weights, and a hub that cannot be reached.
    """
    import torch

    where = torch.device(device)
    files = tuple((str(path), path.stat().st_mtime_ns, path.stat().st_size) for path in encoder_files(name))
    with _LOADING:
        return _load(name, str(where), dtype or devices.dtype(where), files)


def forget() -> None:
    """Let go of the encoders that this process has loaded, and of their memory where nothing else holds them."""
    with _LOADING:
        _load.cache_clear()
    devices.release()


@lru_cache(maxsize=8)  # a study or a server uses a few; each that falls out is read and hashed again
def _load(name: str, where: str, dtype: torch.dtype, _files: tuple) -> Encoder:
    import torch

    from workbench.features.encoders import loading, open_clip, text, timm

    kinds = {TRANSFORMER: (text.TextEncoder, text.load), TIMM: (open_clip.Backbone, timm.load)}
    prefix = next((prefix for prefix in kinds if name.startswith(prefix)), None)
    kind, load = kinds.get(prefix, (open_clip.Encoder, loading.load))
    parts = load(name)
    try:
        return kind(name, *parts, torch.device(where), dtype)
    except torch.OutOfMemoryError:
        log.warning("encoder %r does not fit in the memory of %s; the CPU computes", name, where)
        return kind(name, *parts, torch.device("cpu"))
