"""Which models fit what a file holds: words, pictures, clips, or several of them."""

from __future__ import annotations

from workbench.studies.init.draft import Draft

_TINY = {"encoder": "tiny"}
_REAL = "`tiny` knows the synthetic world only: name a real encoder, such as ViT-B-32@laion2b_s34b_b79k"


def choose(draft: Draft) -> None:
    """Fill in models and what is compared: a floor, one model for each modality that there is, and the fusions."""
    text, image, video = (name in draft.corpus for name in ("text", "image", "video"))
    draft.models = [{"name": "prior", "why": "the floor: what looking at no post reaches"}]
    if text:
        own = (
            "words; an encoder of your own goes beside it: text-transformer" if not (image or video) else "words alone"
        )
        draft.models.append({"name": "text-tfidf", "why": own})
    if image:
        draft.models.append({"name": "image-clip", "options": _TINY, "why": _REAL})
    if video:
        draft.models.append({"name": "video-clip", "options": _TINY, **({} if image else {"why": _REAL})})
    single = draft.models[-1]["name"]
    draft.pairs = [[single, "prior"]]
    if text and (image or video):
        draft.models.append({"name": "late-fusion", "options": _TINY, "why": "adds up what each modality says"})
        draft.models.append({"name": "clip-cross", "options": _TINY, "why": "sees words and pictures together"})
        draft.pairs = [["clip-cross", "best-unimodal"], ["clip-cross", "late-fusion"]]
