"""Which models fit what a file holds, so that a first report says something after seconds on a CPU."""

from __future__ import annotations

from typing import Any

from workbench.studies.init.draft import Draft

_TINY = {"encoder": "tiny"}
_REAL = "`tiny` knows the synthetic world only: name a real encoder, such as ViT-B-32@laion2b_s34b_b79k"


def choose(draft: Draft) -> None:
    """Fill in models and what is compared: never a model with the floor, which nearly any model beats.

    Words alone: the words themselves against what they mean. With pictures or clips: each alone, their scores added
    up, and both seen together. Pictures alone: a head on their vectors against the pictures they are most like.
    """
    media = [f"{kind}-clip" for kind in ("image", "video") if kind in draft.corpus]
    single = [*(["text-tfidf"] if "text" in draft.corpus else []), *media]
    why = {"text-tfidf": "the words and letters of a post", next(iter(media), ""): _REAL}
    draft.models = [_entry("prior", "the floor: what looking at no post reaches")]
    draft.models += [_entry(name, why.get(name), **(_TINY if name in media else {})) for name in single]
    if len(single) > 1:
        draft.models.append(_entry("ensemble", "adds up what each says alone", members=single, **_TINY))
        draft.pairs = [["ensemble", "best-unimodal"]]
    if len(single) > 1 and "text" in draft.corpus:
        draft.models.append(_entry("clip-cross", "sees words and pictures together", **_TINY))
        draft.pairs.append(["clip-cross", "ensemble"])
    if single == ["text-tfidf"]:
        draft.models.append(_entry("text-vectors", "what words mean, as learnt from these posts alone"))
        draft.pairs = [["text-tfidf", "text-vectors"]]
    elif len(single) == 1:
        draft.models.append(
            _entry("clip-retrieval", "the training posts that look most alike", space="whitened", **_TINY)
        )
        draft.pairs = [[single[0], "clip-retrieval"]]


def _entry(name: str, why: str | None, **options: Any) -> dict[str, Any]:
    """Return a model as a study has it, with the reason for it."""
    return {"name": name, **({"options": options} if options else {}), **({"why": why} if why else {})}
