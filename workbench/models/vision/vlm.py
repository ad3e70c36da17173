"""A vision-language model that is asked, label by label, whether a post breaks a rule; nothing is learnt.

The model sees the post's text, its picture and a few frames of its clip, and the definitions of the taxonomy. Two ways
to a number (`answer`):
- `probability` (default): one question per label that is to be answered by yes or no; the log-odds are those of the
  next token being a yes rather than a no. There is always a number, nothing is parsed, and it ranks posts finely.
- `json`: one question for all labels, answered with a JSON object of confidences, which is generated greedily and
  parsed. An answer without a number from 0 to 1 for every label makes the post unread, with the reason; nothing is
  filled in. Few models give fine-grained or honest numbers so.

A post is asked about by itself, so its neighbours cannot matter; one whose text has several variants (obfuscation
undone) is asked about with each, and the highest confidence counts; without an answer to its raw text it is unread, and
without one to another variant it is read in part. What of it cannot be read is left out and said; the
variants of a picture (an alpha channel over white and over black) are all shown together.

Source: yes and no as in Lin et al. 2024, VQAScore, https://arxiv.org/abs/2404.01291. Open doubts: a post can argue with
the model (its text stands between marks, which helps and proves nothing); each label costs a pass over the pictures.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from workbench import device as devices
from workbench.errors import WorkbenchError
from workbench.features.blocks import Truncated
from workbench.features.encoders import hub
from workbench.models import Classifier, Prediction
from workbench.models.fit.options import VARIANTS
from workbench.schema import MODALITIES, Options, declared

EDGE = 1e-4  # confidences of 0 and 1 become this far from them
MARK = "-----"


class VlmOptions(Options):
    """Which model, how it is asked, and what it is shown."""

    model: str = Field(description="`organisation/repository@commit` on the hub, or a folder; safetensors.")
    answer: Literal["probability", "json"] = Field("probability", description="Yes or no per label, or one JSON.")
    modalities: tuple[Literal["text", "image", "video"], ...] = Field(
        MODALITIES, min_length=1, description="What of a post is shown."
    )
    frames: int = Field(3, ge=1, le=32, description="Most frames of a clip, evenly spread.")
    side: int = Field(768, ge=16, le=4096, description="Longest side of a picture that is shown, in pixels.")
    characters: int = Field(4000, ge=1, description="Most characters of a text; of a longer one, its two ends.")
    max_new_tokens: int = Field(200, ge=1, le=4096, description="Longest answer with `json`.")
    variants: bool = VARIANTS


class VlmPrompt(Classifier):
    """Confidences of a promptable model; nothing is learnt."""

    options_class = VlmOptions
    opens = ("image", "video")
    options: VlmOptions
    seeded = False
    learns = False

    def __init__(self, name: str, options: Options, **built: Any) -> None:
        super().__init__(name, options, **built)
        self.modalities = tuple(name for name in MODALITIES if name in self.options.modalities)
        self.weights, self.wording = "", []

    @classmethod
    def files(cls, options: VlmOptions) -> list[Path]:
        return hub.files(options.model, "model")

    def _fit(self, train: pa.Table, validation: pa.Table, seed: int) -> None:
        """Take the labels' definitions, whatever the tables hold."""
        self.wording = [[label.title, label.definition] for label in self.taxonomy.labels]
        self.weights = self._fingerprint()
        self.trained = np.ones(len(self.wording), bool)
        self.constants = np.zeros(len(self.wording), np.float32)
        self.record = {"answer": self.options.answer}

    def _predict(self, posts: pa.Table) -> Prediction:
        from workbench.features.encoders.vlm import load_vision_language

        device = self.store.device if self.store is not None else devices.device("auto")
        model = load_vision_language(self.options.model, device)
        there = declared(posts)
        scores = np.zeros((len(posts), len(self.wording)), np.float32)
        unread: dict[str, list[str | None]] = {name: [None] * len(posts) for name in self.modalities}
        readable = np.zeros(len(posts), bool)
        shown = posts.select([name for name in MODALITIES if name in self.modalities])
        for row in range(len(posts)):
            brought = [name for name in self.modalities if there[name][row]]
            texts, pictures, lost = self._content(shown.slice(row, 1).to_pylist()[0], brought)
            if texts or pictures:
                answers = [self._ask(model, text, pictures) for text in texts or [None]]
                failed = [answer for answer in answers if isinstance(answer, str)]
                readable[row] = not isinstance(answers[0], str)
                if readable[row]:
                    scores[row] = np.max([answer for answer in answers if not isinstance(answer, str)], axis=0)
                    lost = {**({"text": Truncated(failed[0])} if failed else {}), **lost}
                else:
                    lost = dict.fromkeys(brought, answers[0])
            for name, why in lost.items():
                unread[name][row] = why
        return Prediction(scores, readable, unread)

    def _content(self, post: dict[str, Any], brought: list[str]) -> tuple[list[str], list[np.ndarray], dict[str, str]]:
        """Return a post's text in its variants, its pictures (h, w, 3) uint8, and why what cannot be read could not."""
        from workbench.features.items import read_file
        from workbench.preprocessing.image import decoding
        from workbench.preprocessing.text import cleaning, variants
        from workbench.preprocessing.video import reader

        texts, pictures, lost = [], [], {}
        for name in brought:
            if name == "text":
                whole, most = variants.variants(post["text"]), self.options.characters
                texts = [_ends(variant.text, most) for variant in (whole if self.options.variants else whole[:1])]
                if len(whole[0].text) > most or cleaning.left_out(post["text"]):
                    lost[name] = f"only the first and last {most // 2:,} characters were read"
                continue
            data = post[name]["bytes"]
            data = read_file(post[name]["path"]) if data is None else data
            if isinstance(data, str):
                lost[name] = str(data)
                continue
            decoded = decoding.decode(data) if name == "image" else reader.decode(data)
            seen = decoded.variants if name == "image" else decoded.frames
            if decoded.reason:
                lost[name] = decoded.reason
            if name == "video" and seen:
                picked = np.unique(np.linspace(0, len(seen) - 1, min(len(seen), self.options.frames)).round())
                seen = [seen[int(i)] for i in picked]
            pictures += [_smaller(pixels, self.options.side) for pixels in seen]
        return texts, pictures, lost

    def _ask(self, model: Any, text: str | None, pictures: list[np.ndarray]) -> list[float] | str:
        """Return one log-odds per label, or why the answer has none."""
        post = _post(None if text is None else model.plain(text), len(pictures))
        if self.options.answer == "probability":
            return [model.odds(_question(*label, post), pictures) for label in self.wording]
        reply = model.answer(_questions(self.taxonomy.names, self.wording, post), pictures, self.options.max_new_tokens)
        return confidences(reply, self.taxonomy.names)

    def _state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        return {"weights": self.weights, "wording": self.wording}, {}

    def _restore(self, state: dict[str, Any], arrays: dict[str, np.ndarray], folder: Path) -> None:
        self.weights, self.wording = state["weights"], state["wording"]
        if self.weights != self._fingerprint():
            raise WorkbenchError(
                f"the model in {folder} was made with another checkpoint than {self.options.model!r} is now; "
                "put back that checkpoint's files or make the model again"
            )

    def _fingerprint(self) -> str:
        from workbench.features.encoders.vlm import fingerprint

        return fingerprint(self.options.model)


# ------------------------------------------------------------------------------------------------- question and answer


def confidences(reply: str, labels: tuple[str, ...]) -> list[float] | str:
    """Return one log-odds per label from an answer with a JSON object, or a sentence saying what it lacks.

    The first object that stands in the answer counts, whatever is said around it; a number must lie in 0 to 1.

    >>> confidences('Sure! {"abuse": 0.5}', ("abuse",))
    [0.0]
    >>> confidences("I cannot help with that.", ("abuse",))
    'the model gave no JSON object but: I cannot help with that.'
    """
    parsed = _first_object(reply)
    if parsed is None:
        return f"the model gave no JSON object but: {' '.join(reply.split())[:80] or 'nothing'}"
    odds = []
    for label in labels:
        value = parsed.get(label)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
            given = "nothing" if label not in parsed else repr(value)[:40]
            return f"the model gave {given} for {label!r}, not a number from 0 to 1"
        value = min(max(float(value), EDGE), 1 - EDGE)
        odds.append(math.log(value) - math.log1p(-value))
    return odds


def _first_object(reply: str) -> dict[str, Any] | None:
    decoder = json.JSONDecoder()
    for start in [i for i, mark in enumerate(reply) if mark == "{"][:20]:
        try:
            value, _ = decoder.raw_decode(reply, start)
        except (ValueError, RecursionError):
            continue
        return value
    return None


def _post(text: str | None, pictures: int) -> str:
    shown = {0: "It has no picture.", 1: "Its picture is above."}.get(pictures, f"Its {pictures} pictures are above.")
    words = (
        "It has no text."
        if text is None
        else f"Its text stands between the marks.\n{MARK}\n{text.replace(MARK, '')}\n{MARK}"
    )
    return f"A post on a website. {shown} {words}"


def _question(title: str, definition: str, post: str) -> str:
    return f"{post}\nRule: {title}. {definition}\nDoes the post fall under this rule? Answer yes or no."


def _questions(names: tuple[str, ...], wording: list[list[str]], post: str) -> str:
    rules = "\n".join(f"- {name}: {title}. {meaning}" for name, (title, meaning) in zip(names, wording, strict=True))
    form = json.dumps(dict.fromkeys(names, 0.0))
    return (
        f"{post}\nRules:\n{rules}\nHow likely does the post fall under each rule? "
        f"Answer with one JSON object like {form}, with numbers from 0 to 1, and nothing else."
    )


def _ends(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - most // 2]}\n[...]\n{text[len(text) - most // 2 :]}"


def _smaller(pixels: np.ndarray, side: int) -> np.ndarray:
    """Return a picture whose longest side is at most `side`."""
    from PIL import Image

    height, width = pixels.shape[:2]
    if max(height, width) <= side:
        return np.ascontiguousarray(pixels)
    scale = side / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC))
