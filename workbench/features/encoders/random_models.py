"""Untrained models in the hub's own formats, for where no pretrained one can be had: text encoders and VLMs.

They take the very path that real ones take, so a study of every model runs without a network. Two sizes: tiny ones, to
see that everything works, and those of full size, as fast and as large in memory as the models whose shape they have.
What they score says nothing about models of their kind: the vision-language model knows nothing, and the text encoder
only what fine-tuning teaches it. Importing this needs neither torch nor transformers.

Sources of the shapes: the configurations of sentence-transformers/all-MiniLM-L6-v2, BAAI/bge-large-en-v1.5 and
Qwen/Qwen2-VL-2B-Instruct on the hub. Their tokenizers are not here: texts are cut by the shipped CLIP's and by one of
bytes, so a text has somewhat other numbers of tokens.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from workbench.errors import WorkbenchError
from workbench.schema import ROOT

FOLDER = ROOT / "data" / "cache" / "tiny-random"
FULL_FOLDER = ROOT / "data" / "cache" / "full-random"
TOKENIZER = ROOT / "data" / "weights" / "tiny-clip" / "tokenizer.json"
TAXONOMY = ROOT / "data" / "taxonomy.yaml"  # whose wording fills most of a prompt
_CHAT = (
    "{% for message in messages %}{{ message['role'] }} : "
    "{% for part in message['content'] %}{% if part['type'] == 'image' %}<image> "
    "{% else %}{{ part['text'] }}{% endif %}{% endfor %} {% endfor %}"
    "{% if add_generation_prompt %}assistant :{% endif %}"
)
_QWEN_CHAT = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% for part in message['content'] %}{% if part['type'] == 'image' %}"
    "<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ part['text'] }}{% endif %}{% endfor %}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_QWEN_MARKS = {
    "image_token": "<|image_pad|>",
    "video_token": "<|video_pad|>",
    "vision_start_token": "<|vision_start|>",
    "vision_end_token": "<|vision_end|>",
}
_QWEN_PIXELS = 28 * 28  # of a picture that become one token
_TINY = {"hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 256}
_MINILM = {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 1536}
_LARGE = {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096}
_QWEN = {  # of Qwen2-VL-2B: the language model, the tower of pictures, and the fewest tokens of a picture
    "text": {
        "vocab_size": 151_936,
        "hidden_size": 1536,
        "intermediate_size": 8960,
        "num_hidden_layers": 28,
        "num_attention_heads": 12,
        "num_key_value_heads": 2,
    },
    "vision": {"depth": 32, "embed_dim": 1280, "num_heads": 16},
    "sections": [16, 24, 24],
    "tokens": 256,
}
_TINY_QWEN = {
    "text": {
        "vocab_size": 1600,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
    },
    "vision": {"depth": 2, "embed_dim": 64, "num_heads": 4},
    "sections": [2, 3, 3],
    "tokens": 4,
}


def write(folder: Path | str = FOLDER) -> dict[str, Path]:
    """Save tiny models below a folder and return kind -> folder; raises WorkbenchError where it cannot be written."""
    return _written(Path(folder), {"text-encoder": write_text_encoder, "vlm": write_vlm})


def write_full(folder: Path | str = FULL_FOLDER, *, tiny: bool = False) -> dict[str, Path]:
    """Save models of full size (6 GB) below a folder, or tiny ones by the same names; return kind -> folder.

    Those that are there stay. Raises WorkbenchError where the folder cannot be written.
    """
    folder = Path(folder)
    ways: dict[str, Callable[[Path], Path]] = {
        "minilm": lambda path: write_text_encoder(path, sizes=_TINY if tiny else _MINILM),
        "bge-large": lambda path: write_text_encoder(path, sizes=_TINY if tiny else _LARGE),
        "qwen2-vl-2b": lambda path: write_qwen(path, _TINY_QWEN if tiny else _QWEN),
    }
    draft = folder / "draft"  # what was interrupted there is no model yet
    made = _written(draft, {kind: way for kind, way in ways.items() if not (folder / kind).exists()})
    for kind, path in made.items():
        path.rename(folder / kind)
    shutil.rmtree(draft)
    return {kind: folder / kind for kind in ways}


def _written(folder: Path, ways: Mapping[str, Callable[[Path], Path]]) -> dict[str, Path]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return {kind: way(folder / kind) for kind, way in ways.items()}
    except OSError as error:
        raise WorkbenchError(f"cannot write {folder}: {error.strerror or error}; name another folder") from None


def write_text_encoder(folder: Path, seed: int = 0, sizes: Mapping[str, int] = _TINY) -> Path:
    """Save a BERT with random weights, on the tokenizer of the shipped CLIP; return the folder.

    sizes: of its configuration; the smallest has a row for each token and 160 places, others as many as a BERT has.
    """
    from tokenizers import Tokenizer
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    tokenizer = Tokenizer.from_file(str(TOKENIZER))
    end = tokenizer.get_vocab_size() - 1
    mark = tokenizer.id_to_token(end)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token=mark, cls_token=mark, sep_token=mark)
    fast.save_pretrained(folder)
    rows, places = (len(fast), 160) if sizes is _TINY else (30_522, 512)
    config = BertConfig(vocab_size=rows, max_position_embeddings=places, pad_token_id=end, **sizes)
    return _save(BertModel, config, folder, seed)


def write_vlm(folder: Path, seed: int = 0) -> Path:
    """Save a LLaVA with random weights (a CLIP and a LLaMA of two layers each) that reads bytes; return the folder."""
    from transformers import CLIPImageProcessor, LlavaForConditionalGeneration, LlavaProcessor, PreTrainedTokenizerFast

    tokenizer = _bytes_tokenizer(["<pad>", "<s>", "</s>", "<image>"])
    marks = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>"}
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, extra_special_tokens={"image_token": "<image>"}, **marks)
    processor = LlavaProcessor(
        image_processor=CLIPImageProcessor(size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16}),
        tokenizer=fast,
        patch_size=8,
        vision_feature_select_strategy="default",
        chat_template=_CHAT,
        image_token="<image>",
        num_additional_image_tokens=1,
    )
    processor.save_pretrained(folder)
    return _save(LlavaForConditionalGeneration, _llava(len(fast)), folder, seed)


def write_qwen(folder: Path, shape: Mapping[str, Any], seed: int = 0) -> Path:
    """Save a Qwen2-VL with random weights that reads bytes, in bfloat16 as the real one is; return the folder.

    shape: `text`, `vision` (parts of the configuration), `sections` of the rotary places, fewest `tokens` of a picture.
    """
    import torch
    from transformers import (
        PreTrainedTokenizerFast,
        Qwen2VLForConditionalGeneration,
        Qwen2VLImageProcessor,
        Qwen2VLProcessor,
        Qwen2VLVideoProcessor,
    )

    end, pad = "<|im_end|>", "<|endoftext|>"
    tokenizer = _bytes_tokenizer([pad, "<|im_start|>", end, *_QWEN_MARKS.values()])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=pad,
        eos_token=end,
        extra_special_tokens={**_QWEN_MARKS, "start_token": "<|im_start|>"},
    )
    pixels = {"min_pixels": shape["tokens"] * _QWEN_PIXELS, "max_pixels": 1280 * _QWEN_PIXELS}
    pictures, clips = Qwen2VLImageProcessor(**pixels), Qwen2VLVideoProcessor()
    Qwen2VLProcessor(pictures, fast, clips, chat_template=_QWEN_CHAT).save_pretrained(folder)
    config = _qwen(shape, {f"{mark}_id": fast.convert_tokens_to_ids(token) for mark, token in _QWEN_MARKS.items()})
    return _save(Qwen2VLForConditionalGeneration, config, folder, seed, torch.bfloat16)


def _bytes_tokenizer(special: list[str]) -> Any:
    """Return a tokenizer of bytes and their most frequent pairs in what prompts say, special tokens first."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    letters = pre_tokenizers.ByteLevel.alphabet()
    sizes = {"vocab_size": 1500, "special_tokens": special, "initial_alphabet": letters}
    words = ["yes no Yes No rules post text label answer " * 20, TAXONOMY.read_text(encoding="utf-8")]
    tokenizer.train_from_iterator(words, trainers.BpeTrainer(**sizes, show_progress=False))
    return tokenizer


def _llava(vocabulary: int) -> Any:
    from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig

    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    vision = CLIPVisionConfig(image_size=16, patch_size=8, projection_dim=16, **sizes)
    text = LlamaConfig(
        vocab_size=vocabulary,
        num_key_value_heads=2,
        max_position_embeddings=2048,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        initializer_range=0.3,
        **sizes,
    )
    return LlavaConfig(vision_config=vision, text_config=text, image_token_id=3, image_seq_length=4)


def _qwen(shape: Mapping[str, Any], ids: Mapping[str, int]) -> Any:
    from transformers import Qwen2VLConfig

    text = {
        **shape["text"],
        "rope_theta": 1e6,
        "rope_scaling": {"type": "mrope", "mrope_section": shape["sections"]},
        "max_position_embeddings": 32_768,
        "tie_word_embeddings": True,
        "pad_token_id": 0,
        "bos_token_id": 0,
        "eos_token_id": 2,
    }
    vision = {**shape["vision"], "hidden_size": text["hidden_size"]}
    return Qwen2VLConfig(text_config=text, vision_config=vision, tie_word_embeddings=True, **ids)


def _save(kind: Any, config: Any, folder: Path, seed: int, dtype: Any = None) -> Path:
    """Save a model whose weights depend on the seed alone, and leave the chance of the process as it was."""
    import torch

    from workbench.features.encoders import hub

    with torch.random.fork_rng(devices=[]), hub.quietly():
        torch.manual_seed(seed)
        model = kind(config)
        model.to(dtype or model.dtype).save_pretrained(folder, max_shard_size="40GB")
    return folder
