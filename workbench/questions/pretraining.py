"""Train a small CLIP from scratch, without labels, on pairs: the encoder that ships with the workbench.

Two symmetric contrastive losses (Radford et al. 2021, https://arxiv.org/abs/2103.00020) share one text tower: a picture
against its caption, a text against its paraphrase. The result is a folder in open_clip's `local-dir:` layout.
Doubt: with a few dozen meanings many pairs of a batch mean the same; they are counted as negatives all the same, which
bounds the loss from below but, as measured in notebook 00, not the recognition.
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch
from jinja2 import Template
from PIL import Image
from safetensors.torch import save_file
from torch.nn import functional as F  # noqa: N812, the field's name

from workbench.corpora.synthetic.pairs import Pairs

CONTEXT = 48  # tokens
CONFIG = {
    "model_cfg": {
        "embed_dim": 128,
        "vision_cfg": {"image_size": 64, "layers": [1, 1, 1, 1], "width": 16, "head_width": 64},
        "text_cfg": {
            "context_length": CONTEXT,
            "vocab_size": 0,  # filled in by the tokenizer
            "hf_tokenizer_name": ".",  # the tokenizer beside the weights
            "width": 128,
            "heads": 4,
            "layers": 2,
        },
    },
    "preprocess_cfg": {
        "mean": [0.5, 0.5, 0.5],
        "std": [0.25, 0.25, 0.25],
        "interpolation": "bicubic",
        "resize_mode": "shortest",
    },
}


def train_tokenizer(texts: Iterable[str], folder: Path, size: int = 3000) -> int:
    """Learn a byte-level BPE of at most `size` ids, save it in transformers' format, return its number of ids.

    Padding is id 0 and end-of-text the highest id, where CLIP's pooling looks for it.
    """
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=size - 1, special_tokens=["<pad>", "<start>"], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_special_tokens(["<end>"])
    ids = {name: tokenizer.token_to_id(name) for name in ("<pad>", "<start>", "<end>")}
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<start> $A <end>", special_tokens=[(name, ids[name]) for name in ("<start>", "<end>")]
    )
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<start>", eos_token="<end>", model_max_length=CONTEXT
    )
    wrapped.save_pretrained(folder)
    return tokenizer.get_vocab_size()


def new_clip(folder: Path, vocabulary: int, seed: int = 0) -> torch.nn.Module:
    """Write the model's configuration into a folder and return the model with fresh weights drawn by the seed."""
    import open_clip

    config = json.loads(json.dumps(CONFIG))
    config["model_cfg"]["text_cfg"]["vocab_size"] = vocabulary
    (folder / "open_clip_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    with torch.random.fork_rng():
        torch.manual_seed(seed)  # open_clip draws its weights from the global generator
        return open_clip.CLIP(**config["model_cfg"])


def save_clip(model: torch.nn.Module, folder: Path) -> Path:
    """Save weights as fp16 safetensors; buffers that open_clip rebuilds are left out."""
    weights = {name: value.half().contiguous() for name, value in model.state_dict().items() if name != "attn_mask"}
    path = folder / "open_clip_model.safetensors"
    save_file(weights, path)
    return path


def pixels(images: list[bytes]) -> torch.Tensor:
    """Return JPEG pictures as uint8 (n, 3, height, width); all have one size."""
    arrays = [np.asarray(Image.open(io.BytesIO(data)).convert("RGB")) for data in images]
    return torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2).contiguous()


def normalised(images: torch.Tensor) -> torch.Tensor:
    """Return uint8 pictures (n, 3, h, w) as the floats that the model takes, channels last in memory."""
    mean, std = (torch.tensor(CONFIG["preprocess_cfg"][name]).view(1, 3, 1, 1) for name in ("mean", "std"))
    return ((images.float() / 255 - mean) / std).to(memory_format=torch.channels_last)


def load_clip(folder: Path) -> torch.nn.Module:
    """Return the model that a folder in open_clip's `local-dir:` layout holds, ready to encode."""
    import open_clip

    return open_clip.create_model(f"local-dir:{folder}").eval()


def tensors(pairs: Pairs, folder: Path) -> dict[str, torch.Tensor]:
    """Return pairs as `train_clip` takes them, tokenized by the tokenizer in a folder."""
    import open_clip

    tokenize = open_clip.get_tokenizer(f"local-dir:{folder}")
    words = {name: tokenize(getattr(pairs, name)) for name in ("captions", "texts", "paraphrases")}
    return {"images": pixels(pairs.images), **words}


def contrastive(a: torch.Tensor, b: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """Return the symmetric InfoNCE loss of row-aligned embeddings a and b (n, d)."""
    logits = scale.exp().clamp(max=100) * F.normalize(a, dim=-1) @ F.normalize(b, dim=-1).T
    target = torch.arange(len(a), device=a.device)
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


def text_embeddings(model: torch.nn.Module, ids: torch.Tensor) -> torch.Tensor:
    """Return text embeddings (n, d) of token ids (n, CONTEXT), computed on as many positions as the longest text has.

    The tower is causal and pools at the end-of-text token, so what follows that token cannot change the result.
    """
    length = int((ids > 0).sum(1).max())
    x = model.token_embedding(ids[:, :length]) + model.positional_embedding[:length]
    x = model.ln_final(model.transformer(x, attn_mask=model.attn_mask[:length, :length]))
    return x[torch.arange(len(ids)), ids.argmax(1)] @ model.text_projection  # end-of-text has the highest id


def train_clip(
    model: torch.nn.Module,
    data: dict[str, torch.Tensor],
    *,
    steps: int,
    batch: int = 128,
    lr: float = 2e-3,
    seed: int = 0,
    report: Callable[[float], None] = lambda loss: None,
) -> None:
    """Train in place. data: `images` uint8 (n, 3, h, w), `captions`, `texts`, `paraphrases` token ids (n, CONTEXT)."""
    generator = torch.Generator().manual_seed(seed)
    decay = [p for p in model.parameters() if p.ndim > 1]
    plain = [p for p in model.parameters() if p.ndim <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": decay, "weight_decay": 0.05}, {"params": plain, "weight_decay": 0.0}], lr=lr
    )
    model.train().to(memory_format=torch.channels_last)
    for step in range(steps):
        warm = min(1.0, (step + 1) / (0.05 * steps + 1))
        for group in optimizer.param_groups:
            group["lr"] = lr * warm * 0.5 * (1 + math.cos(math.pi * step / steps))
        rows = torch.randint(len(data["images"]), (batch,), generator=generator)
        image = model.encode_image(normalised(data["images"][rows]))
        caption = text_embeddings(model, data["captions"][rows])
        text, paraphrase = text_embeddings(model, torch.cat([data["texts"][rows], data["paraphrases"][rows]])).chunk(2)
        loss = contrastive(image, caption, model.logit_scale) + contrastive(text, paraphrase, model.logit_scale)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        report(float(loss.detach()))
    model.eval()


@torch.inference_mode()
def recognition_error(model: torch.nn.Module, pairs: Pairs, folder: Path, batch: int = 500) -> dict[str, float]:
    """Return, for `image` and `text`, how often a linear probe on one half of the pairs misreads the other half.

    The probe is a logistic regression on L2-normalised embeddings; what is read is the scene or the utterance.
    """
    from sklearn.linear_model import LogisticRegression

    model.eval()
    data = tensors(pairs, folder)
    pictures, half = normalised(data["images"]), len(pairs.images) // 2
    embeddings = {
        "image": torch.cat([model.encode_image(pictures[i : i + batch]) for i in range(0, len(pictures), batch)]),
        "text": torch.cat(
            [text_embeddings(model, data["texts"][i : i + batch]) for i in range(0, len(pictures), batch)]
        ),
    }
    errors = {}
    for name, meaning in (("image", pairs.scene), ("text", pairs.utterance)):
        x = F.normalize(embeddings[name], dim=-1).numpy()
        probe = LogisticRegression(C=100, max_iter=2000).fit(x[:half], meaning[:half])
        errors[name] = 1.0 - float(probe.score(x[half:], meaning[half:]))
    return errors


def write_card(folder: Path, errors: dict[str, float], recipe: dict[str, int]) -> None:
    """Write the encoder's card: what it was trained on, how well it reads the world, what it must not be used for."""
    made = ", ".join(f"{name} {value}" for name, value in recipe.items())
    card = Template((Path(__file__).parent / "templates/encoder_card.md").read_text(encoding="utf-8"))
    (folder / "README.md").write_text(card.render(recipe=made, errors=errors), encoding="utf-8")
