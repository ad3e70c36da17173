"""Vision-language models of the hub that answer a prompt about a text and pictures, by transformers' own classes.

Safetensors only, no code of a repository, one commit: as in `repositories`. Answers are greedy, so the same post always
gets the same one. A prompt is formatted by the checkpoint's own chat template; in the user's words its special tokens
are broken up first, so that a post cannot end its turn and speak as the system.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from PIL import Image

from workbench import device as devices
from workbench.errors import WorkbenchError
from workbench.features.encoders import hub
from workbench.fingerprint import of_bytes, of_file

log = logging.getLogger(__name__)
YES, NO = (" yes", "yes", " Yes", "Yes", "YES"), (" no", "no", " No", "No", "NO")
SMALLEST = 32  # pixels: a picture is not halved further


class VisionLanguage:
    """One model with its processor on one device; make it with `load_vision_language`.

    Attributes:
        fingerprint: 64 hex digits over weights, configuration and the processor's settings.
    """

    def __init__(self, name: str, model: Any, processor: Any, where: torch.device) -> None:
        self.name, self.processor, self.device = name, processor, where
        self.model = model.to(where).eval().requires_grad_(False)
        tokenizer = processor.tokenizer
        self.yes, self.no = (_first_tokens(tokenizer, words) for words in (YES, NO))
        if not self.yes or not self.no or set(self.yes) & set(self.no):
            raise WorkbenchError(f"model {name!r} has no tokens that tell yes from no; choose another")
        special = {*tokenizer.all_special_tokens, *tokenizer.get_added_vocab()}
        self._special = sorted((token for token in special if len(token) > 1), key=len, reverse=True)

    def odds(self, question: str, pictures: Sequence[np.ndarray]) -> float:
        """Return the log-odds that the next token is a yes rather than a no; raises WorkbenchError without memory."""

        def odds(inputs: dict[str, torch.Tensor]) -> float:
            last = self.model(**inputs).logits[0, -1].float()
            yes, no = (torch.logsumexp(last[ids], dim=0) for ids in (self.yes, self.no))
            return float(yes - no)

        return self._with_room(odds, question, pictures)

    def answer(self, question: str, pictures: Sequence[np.ndarray], most: int) -> str:
        """Return a greedy answer of at most `most` tokens; raises WorkbenchError without memory."""

        def answer(inputs: dict[str, torch.Tensor]) -> str:
            pad = self.processor.tokenizer.pad_token_id
            ids = self.model.generate(**inputs, max_new_tokens=most, do_sample=False, pad_token_id=pad)
            return self.processor.tokenizer.decode(ids[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)

        return self._with_room(answer, question, pictures)

    def plain(self, text: str) -> str:
        """Return a text in which the checkpoint's special tokens are only characters."""
        for token in self._special:
            text = text.replace(token, f"{token[0]} {token[1:]}")
        return text

    def _inputs(self, question: str, pictures: Sequence[np.ndarray]) -> dict[str, torch.Tensor]:
        content = [*({"type": "image"} for _ in pictures), {"type": "text", "text": question}]
        prompt = self.processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
        more: dict[str, Any] = {"images": [Image.fromarray(pixels) for pixels in pictures]} if len(pictures) else {}
        first = self.processor.tokenizer.bos_token
        if first and prompt.startswith(first):
            more["add_special_tokens"] = False  # the template has begun the sequence; twice would be another prompt
        inputs = self.processor(text=[prompt], return_tensors="pt", **more).to(self.device)
        floats = self.model.dtype
        return {key: value.to(floats) if value.is_floating_point() else value for key, value in inputs.items()}

    def _with_room(self, ask: Callable[[dict[str, torch.Tensor]], Any], question: str, pictures: Sequence) -> Any:
        """Ask about the pictures; in half their size, and half again, where the memory does not suffice.

        The size that fitted is not kept: a post's score must not depend on the posts before it.
        """
        while True:
            try:
                with torch.inference_mode():
                    return ask(self._inputs(question, pictures))
            except (RuntimeError, MemoryError) as error:  # torch.OutOfMemoryError is a RuntimeError
                if not devices.out_of_memory(error):
                    raise
            devices.release()
            if not len(pictures) or max(max(pixels.shape[:2]) for pixels in pictures) <= SMALLEST:
                raise WorkbenchError(
                    f"one post does not fit into the memory of {self.device} beside model {self.name!r}; "
                    "take a smaller model, fewer frames or fewer characters"
                )
            log.warning("a post's pictures do not fit into the memory of %s; they are halved", self.device)
            pictures = [np.ascontiguousarray(pixels[::2, ::2]) for pixels in pictures]


def load_vision_language(name: str, device: torch.device | str = "cpu") -> VisionLanguage:
    """Return the model of a repository or folder on a device, loaded once while its files stay as they are.

    Raises WorkbenchError, in one sentence, for a model that cannot be had or is of no use here.
    """
    files = tuple((str(p), p.stat().st_mtime_ns, p.stat().st_size) for p in hub.files(name, "model"))
    with _LOADING:
        return _load(name, str(torch.device(device)), devices.dtype(torch.device(device)), files)


def fingerprint(name: str) -> str:
    """Return 64 hex digits over the content of all files of a model, which is had for it; loads nothing."""
    folder = hub.obtain(name, "model")
    paths = sorted(path for path in folder.iterdir() if path.suffix in hub.SUFFIXES and path.is_file())
    lines = "".join(f"{path.name} {of_file(path)}\n" for path in paths)
    return of_bytes(lines.encode())


_LOADING = threading.Lock()


@lru_cache(maxsize=1)
def _load(name: str, where: str, dtype: torch.dtype, _files: tuple) -> VisionLanguage:
    from transformers import AutoModelForImageTextToText, AutoProcessor

    folder, place = hub.obtain(name, "model"), torch.device(where)
    safe = {"local_files_only": True, "trust_remote_code": False}
    with hub.explained(f"model {name!r}", hub.locate(name, "model")):
        with torch.random.fork_rng(devices=[]), hub.quietly():
            processor = AutoProcessor.from_pretrained(folder, **safe)
            model, report = AutoModelForImageTextToText.from_pretrained(
                folder, use_safetensors=True, dtype=dtype, output_loading_info=True, **safe
            )
        if report["missing_keys"]:
            missing = sorted(report["missing_keys"])
            raise WorkbenchError(f"model {name!r} lacks {len(missing)} of its weights ({missing[0]}); save it again")
        if not getattr(processor, "chat_template", None):
            raise WorkbenchError(f"model {name!r} has no chat template; name one that was trained to follow prompts")
        return VisionLanguage(name, model, processor, place)


def _first_tokens(tokenizer: Any, words: Sequence[str]) -> list[int]:
    """Return the ids of the words that are a single token, each once."""
    rows = [tokenizer.encode(word, add_special_tokens=False) for word in words]
    return list(dict.fromkeys(row[0] for row in rows if len(row) == 1))
