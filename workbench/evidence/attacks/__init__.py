"""Evasion: posts written, drawn and cut so that people understand the same and a model may not.

`evade` changes a table of posts by one attack, or several at once ("leet+blur"), at a strength from 0 to 1. Labels
stay: every attack keeps what a person reads and sees. Chance is each post's own (of its id, the attack and the seed):
neither the order of posts nor the other posts change anything, and a stronger attack of the same seed hits the same
words and more.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa

from workbench.errors import WorkbenchError, unknown
from workbench.evidence.attacks import clips, pictures, texts
from workbench.preprocessing import media
from workbench.schema import INPUTS, MODALITIES, declared

ATTACKS: dict[str, str] = {
    **dict.fromkeys(texts.REWRITES, "text"),
    **dict.fromkeys(pictures.EDITS, "image"),
    **dict.fromkeys(clips.CUTS, "video"),
}
"""What one attack changes."""


def parts(attack: str) -> tuple[str, ...]:
    """Return the attacks that a name is made of; raises WorkbenchError for an unknown one and for two of a modality.

    >>> parts("leet+blur")
    ('leet', 'blur')
    """
    names = tuple(attack.split("+"))
    for name in names:
        if name not in ATTACKS:
            raise WorkbenchError(f"{unknown('attack', name, ATTACKS)} (several at once: leet+blur)")
    kinds = [ATTACKS[name] for name in names]
    if len(set(kinds)) < len(kinds):
        raise WorkbenchError(f"attack {attack!r} changes one modality twice; name one attack for each")
    return names


def touched(posts: pa.Table, attack: str) -> np.ndarray:
    """Return which posts (n_posts,) bring every modality that an attack changes."""
    there = declared(posts)
    return np.logical_and.reduce([there[ATTACKS[name]] for name in parts(attack)])


def evade(posts: pa.Table, attack: str, strength: float, *, seed: int = 0) -> pa.Table:
    """Return posts with their content changed by an attack; other columns, labels too, stay as they are.

    posts: a table with `post_id` and the modalities; strength: 0 (hardly anything) to 1. Content that a post does not
    bring or that cannot be read stays as it is; a changed picture or clip has its bytes in the table. Raises
    WorkbenchError for an unknown attack and a strength outside of 0 to 1.
    """
    names = parts(attack)
    if not 0 <= strength <= 1:
        raise WorkbenchError(f"the strength of an attack is from 0 to 1, not {strength:g}")
    ids, there = posts["post_id"].to_pylist(), declared(posts)
    for name in names:
        kind = ATTACKS[name]
        change, cells = _CHANGES[kind], posts[kind].to_pylist()
        changed = [
            change(cell, name, strength, _chance(post_id, name, seed)) if has else cell
            for cell, post_id, has in zip(cells, ids, there[kind].tolist(), strict=True)
        ]
        column = pa.array(changed, INPUTS.field(kind).type)
        posts = posts.set_column(posts.column_names.index(kind), kind, column)
    return posts


def _chance(post_id: str, name: str, seed: int) -> np.random.Generator:
    digest = hashlib.sha256(f"{seed}\0{name}\0{post_id}".encode("utf-8", "surrogatepass")).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "big"))


def _text(cell: str, name: str, strength: float, rng: np.random.Generator) -> str:
    return texts.REWRITES[name](cell, strength, rng)


def _image(cell: dict[str, Any], name: str, strength: float, rng: np.random.Generator) -> dict[str, Any]:
    picture = media.picture(cell)
    if picture is None or not picture.variants:
        return cell
    return {"bytes": pictures.EDITS[name](picture.variants[0], strength, rng), "path": None}


def _video(cell: dict[str, Any], name: str, strength: float, rng: np.random.Generator) -> dict[str, Any]:
    try:
        data = media.content(cell, "video")
    except OSError:
        return cell
    clip = clips.read(data) if data is not None else None
    if clip is None:
        return cell
    return {"bytes": clips.write(*clips.CUTS[name](*clip, strength, rng)), "path": None}


_CHANGES: dict[str, Callable[..., Any]] = {"text": _text, "image": _image, "video": _video}
assert tuple(_CHANGES) == MODALITIES
