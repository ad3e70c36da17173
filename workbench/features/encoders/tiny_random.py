"""Small untrained models in the hub's own formats, for where no pretrained one can be had: a text encoder and a VLM.

They take the very path that real ones take, so a study of every model runs without a network. What they score says
nothing about models of their kind: the vision-language model knows nothing, and the text encoder only what fine-tuning
teaches it. Importing this needs neither torch nor transformers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from workbench.errors import WorkbenchError
from workbench.schema import ROOT

FOLDER = ROOT / "data" / "cache" / "tiny-random"
TOKENIZER = ROOT / "data" / "weights" / "tiny-clip" / "tokenizer.json"
TAXONOMY = ROOT / "data" / "taxonomy.yaml"  # whose wording fills most of a prompt
_CHAT = (
    "{% for message in messages %}{{ message['role'] }} : "
    "{% for part in message['content'] %}{% if part['type'] == 'image' %}<image> "
    "{% else %}{{ part['text'] }}{% endif %}{% endfor %} {% endfor %}"
    "{% if add_generation_prompt %}assistant :{% endif %}"
)


def write(folder: Path | str = FOLDER) -> dict[str, Path]:
    """Save both models below a folder and return kind -> folder; raises WorkbenchError where it cannot be written."""
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return {"text-encoder": write_text_encoder(folder / "text-encoder"), "vlm": write_vlm(folder / "vlm")}
    except OSError as error:
        raise WorkbenchError(f"cannot write {folder}: {error.strerror or error}; name another folder") from None


def write_text_encoder(folder: Path, seed: int = 0) -> Path:
    """Save a BERT of two layers with random weights, on the tokenizer of the shipped CLIP; return the folder."""
    from tokenizers import Tokenizer
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    tokenizer = Tokenizer.from_file(str(TOKENIZER))
    end = tokenizer.get_vocab_size() - 1
    mark = tokenizer.id_to_token(end)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token=mark, cls_token=mark, sep_token=mark)
    fast.save_pretrained(folder)
    sizes = {"hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 256}
    config = BertConfig(vocab_size=len(fast), max_position_embeddings=160, pad_token_id=end, **sizes)
    return _save(BertModel, config, folder, seed)


def write_vlm(folder: Path, seed: int = 0) -> Path:
    """Save a LLaVA with random weights (a CLIP and a LLaMA of two layers each) that reads bytes; return the folder."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import CLIPImageProcessor, LlavaForConditionalGeneration, LlavaProcessor, PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    letters = pre_tokenizers.ByteLevel.alphabet()
    special = ["<pad>", "<s>", "</s>", "<image>"]
    sizes = {"vocab_size": 1500, "special_tokens": special, "initial_alphabet": letters}
    words = ["yes no Yes No rules post text label answer " * 20, TAXONOMY.read_text(encoding="utf-8")]
    tokenizer.train_from_iterator(words, trainers.BpeTrainer(**sizes, show_progress=False))
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


def _save(kind: Any, config: Any, folder: Path, seed: int) -> Path:
    """Save a model whose weights depend on the seed alone, and leave the chance of the process as it was."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        kind(config).save_pretrained(folder)
    return folder
