"""Content as vectors: encoders turn texts and pictures into blocks of vectors, the store computes each only once.

Importing this package imports no torch; `workbench.features.encoders.open_clip` does.
"""

from workbench.features.blocks import Blocks, TransientError, Truncated
from workbench.features.encoders.names import encoder_files
from workbench.features.store import FeatureStore

__all__ = ["Blocks", "FeatureStore", "TransientError", "Truncated", "encoder_files"]
