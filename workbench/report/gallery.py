"""Posts that a model got most wrong, shown so that a reader can bear it: media as patches of colour, text folded.

The blur happens before the picture enters the page, from 14 x 14 pixels, so nothing in the page can undo it. It hides
details and faces; the outline of one large, plain shape stays.
"""

from __future__ import annotations

import base64
import html
import io
import itertools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image, ImageFilter

from workbench.comparison.options import MAIN
from workbench.comparison.predictions import Run
from workbench.preprocessing.media import clip, picture
from workbench.preprocessing.video.reader import Clip
from workbench.schema import visible

SIDE = 112  # pixels of a thumbnail
GRAIN = 14  # pixels that are left of a blurred picture


class Error(NamedTuple):
    """A post on the wrong side: its confidence for a label it has (a miss) or has not (a false alarm)."""

    post_id: str
    label: str
    prob: float


def worst_errors(run: Run, test: str = MAIN, *, n: int = 4) -> tuple[list[Error], list[Error]]:
    """Return the n worst misses and the n worst false alarms of a run over all labels, mean confidence over seeds.

    A post counts as flagged when more than half of the seeds flag it at their thresholds. What the model could not see
    and labels without a threshold are left out: there is no confidence to order them by.
    """
    scores = run.sets[test]
    cuts = run.cuts(test)
    scored = ~np.isnan(scores.prob) & ~np.isnan(cuts)
    seen, seeds = scored.any(axis=0), np.maximum(scored.sum(axis=0), 1)
    prob = np.where(scored, scores.prob, 0).sum(axis=0) / seeds
    flagged = (scored & (scores.prob >= cuts)).sum(axis=0) / seeds > 0.5
    sides = []
    for wrong, sign in ((scores.y & ~flagged, 1), (~scores.y & flagged, -1)):
        rows, columns = np.nonzero(wrong & scores.known & seen)
        order = np.argsort(sign * prob[rows, columns], kind="stable")[:n]
        picks = zip(rows[order], columns[order], strict=True)
        sides.append([Error(str(scores.post_id[i]), run.labels[k], float(prob[i, k])) for i, k in picks])
    return sides[0], sides[1]


def style() -> str:
    """Return the style sheet that fragments of this module need in a notebook."""
    return (
        "<style>.gallery{display:flex;flex-wrap:wrap;gap:.75rem}.gallery .card{width:11rem;padding:.6rem;"
        "border:1px solid #8886;border-radius:.5rem;overflow-wrap:anywhere}.gallery p{margin:.3rem 0}"
        ".words.words{text-align:left;white-space:normal}</style>"
    )


def sheet(posts: pa.Table, n: int) -> str:
    """Return a page fragment with the first n pictures of a table that can be read, blurred."""
    cells = (media for batch in posts.select(["image"]).to_batches(256) for media in batch["image"].to_pylist())
    shown = (picture(media) for media in cells if media)
    readable = itertools.islice((image.variants[0] for image in shown if image is not None and image.variants), n)
    return f'<div class="gallery">{"".join(map(_image, readable))}</div>'


def clips(posts: pa.Table, n: int, frames: int = 6) -> str:
    """Return a page fragment with the first n clips of a table that can be read, each as a row of blurred frames."""
    cells = (media for batch in posts.select(["video"]).to_batches(16) for media in batch["video"].to_pylist())
    shown = (clip(media) for media in cells if media)
    readable = itertools.islice((video for video in shown if video is not None and video.frames), n)
    return "".join(f'<div class="gallery">{_strip(video, frames)}</div>' for video in readable)


def _strip(shown: Clip, most: int) -> str:
    """Return up to `most` frames of a clip, evenly chosen, each with its time."""
    chosen = np.unique(np.linspace(0, len(shown.frames) - 1, most).round().astype(int))
    return "".join(f"<div>{_image(shown.frames[at])}<p>{shown.times[at]:.1f} s</p></div>" for at in chosen)


def gallery(posts: pa.Table, errors: list[Error]) -> str:
    """Return a page fragment with one card per error, from the corpus table that holds the posts."""
    wanted = posts.filter(pc.is_in(posts["post_id"], pa.array([error.post_id for error in errors], pa.string())))
    rows = {row["post_id"]: row for row in wanted.select(["post_id", "text", "image"]).to_pylist()}
    return '<div class="gallery">' + "".join(_card(rows[e.post_id], e) for e in errors if e.post_id in rows) + "</div>"


def side_by_side(
    sets: Mapping[str, pa.Table], columns: Sequence[str], pairs: Sequence[tuple[str, Sequence[tuple[str, str]]]]
) -> str:
    """Return a page fragment with one card for each pair of posts: what both show, and what is said of them.

    sets: posts by the name of their set; columns: `image` and `video`, of which the first that a post has is shown;
    pairs: words, and (set, post_id) of the posts. Posts that no set holds are left out, and so are pairs of which less
    than two can be shown.
    """
    rows = {}
    for name, posts in sets.items():
        ids = pa.array([post_id for _, of in pairs for place, post_id in of if place == name], pa.string())
        wanted = posts.select(["post_id", *columns]).filter(pc.is_in(posts["post_id"], ids))
        rows |= {(name, row["post_id"]): row for row in wanted.to_pylist()}
    cards = []
    for words, of in pairs:
        shown = [_first_shown(rows[tuple(post)], columns) for post in of if tuple(post) in rows]
        if len(shown) > 1 and all(shown):
            media = "".join(f"<div>{one}</div>" for one in shown)
            cards.append(f'<div class="card"><div class="gallery">{media}</div><p>{html.escape(words)}</p></div>')
    return f'<div class="gallery pairs">{"".join(cards)}</div>' if cards else ""


def _first_shown(row: Mapping[str, Any], columns: Sequence[str]) -> str:
    column = next((column for column in columns if row[column]), None)
    if column == "video":
        shown = clip(row["video"])
        return _image(shown.frames[0]) if shown and shown.frames else ""
    return thumbnail(row[column]) if column else ""


def _card(row: dict, error: Error) -> str:
    media = thumbnail(row["image"])
    text = html.escape(row["text"].strip()[:400]) if visible(row["text"]) else ""
    words = f'<details><summary>text</summary><p dir="auto">{text}</p></details>' if text else "<p>no text</p>"
    return f'<div class="card">{media}<p><b>{html.escape(error.label)}</b> {error.prob:.3f}</p>{words}</div>'


def thumbnail(media: dict | None) -> str:
    """Return a page fragment with a picture, blurred, or why it cannot be read; empty where there is none."""
    shown = picture(media)
    if shown is None:
        return ""
    return _image(shown.variants[0]) if shown.variants else f"<p>{html.escape(shown.reason or '')}</p>"


def _image(reading: np.ndarray) -> str:
    return f'<img alt="blurred picture" width="{SIDE}" height="{SIDE}" src="{blurred(reading)}">'


def blurred(reading: np.ndarray) -> str:
    """Return a picture uint8 (h, w, 3) as a small blurred JPEG in a data address."""
    small = Image.fromarray(reading).resize((GRAIN, GRAIN), Image.Resampling.BOX)
    soft = small.resize((SIDE, SIDE), Image.Resampling.BICUBIC).filter(ImageFilter.GaussianBlur(3))
    buffer = io.BytesIO()
    soft.save(buffer, "JPEG", quality=70)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
