"""A small CLIP with random weights and a tokenizer trained on a sentence, in open_clip's `local-dir:` layout."""

import json

CONFIG = {
    "model_cfg": {
        "embed_dim": 32,
        "vision_cfg": {"image_size": 32, "layers": [1, 1, 1, 1], "width": 8, "head_width": 16},
        "text_cfg": {
            "context_length": 24,
            "vocab_size": 0,
            "hf_tokenizer_name": "beside",
            "width": 32,
            "heads": 2,
            "layers": 2,
        },
    },
    "preprocess_cfg": {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25], "resize_mode": "shortest"},
}
WORDS = "the quick brown fox jumps over a lazy dog while many people write rude words about pictures of cats"


def write_encoder(folder, seed=0, config=CONFIG):
    """Save a random CLIP with its own byte-level BPE tokenizer; `<end>` has the highest id, `<pad>` id 0."""
    import open_clip
    import torch
    from safetensors.torch import save_file
    from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers

    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    letters = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=["<pad>", "<start>"], initial_alphabet=letters, show_progress=False
    )
    tokenizer.train_from_iterator([WORDS], trainer)
    tokenizer.add_special_tokens(["<end>"])
    ids = [(name, tokenizer.token_to_id(name)) for name in ("<start>", "<end>")]
    tokenizer.post_processor = processors.TemplateProcessing(single="<start> $A <end>", special_tokens=ids)
    tokenizer.save(str(folder / "tokenizer.json"))
    names = {"pad_token": "<pad>", "bos_token": "<start>", "eos_token": "<end>"}
    about = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 24} | names
    (folder / "tokenizer_config.json").write_text(json.dumps(about))
    config = json.loads(json.dumps(config))
    config["model_cfg"]["text_cfg"]["vocab_size"] = tokenizer.get_vocab_size()
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = open_clip.CLIP(**json.loads(json.dumps(config["model_cfg"])))
    save_file(
        {name: value.contiguous() for name, value in model.state_dict().items()}, folder / "open_clip_model.safetensors"
    )
    return folder


def write_hub(cache, repository, revisions, main):
    """Lay a local cache of the hub out: {commit: folder of a model}, the branch `main` being at one of them."""
    import shutil

    root = cache / f"models--{repository.replace('/', '--')}"
    for commit, folder in revisions.items():
        shutil.copytree(folder, root / "snapshots" / commit)
    (root / "refs").mkdir()
    (root / "refs" / "main").write_text(main)
    return cache
