"""Models of the hub from its local cache: pinned, offline, and every failure in one sentence."""

import logging
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import huggingface_hub
import numpy as np
import open_clip
import pytest
import torch
from huggingface_hub import constants, errors
from open_clip.transformer import Transformer
from random_clip import write_encoder, write_hub

from workbench.errors import WorkbenchError
from workbench.features import encoder_files
from workbench.features.encoders import load_encoder, loading
from workbench.features.encoders.names import check

OLD, NEW, BARE = "a" * 40, "b" * 40, "c" * 40
NAME = "hf-hub:an-organisation/a-clip"


@pytest.fixture
def hub(random_clip, tmp_path, monkeypatch):
    """A cache with a repository at three commits, of which the last lacks its weights."""
    new = write_encoder(tmp_path / "new", seed=1)
    bare = shutil.copytree(new, tmp_path / "bare")
    (bare / "open_clip_model.safetensors").unlink()
    folders = {OLD: random_clip, NEW: new, BARE: bare}
    cache = write_hub(tmp_path / "hub", "an-organisation/a-clip", folders, main=NEW)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    return cache


@pytest.fixture(autouse=True)
def _forget():
    """Load afresh: another test's repository has the same name."""
    from workbench.features import encoders

    encoders._load.cache_clear()


def test_a_pinned_repository_is_that_commit_and_an_unpinned_one_what_main_is(hub, random_clip, tmp_path, caplog):
    old, new = load_encoder(f"{NAME}@{OLD}"), load_encoder(str(tmp_path / "new"))
    assert old.identity("text") == load_encoder(str(random_clip)).identity("text")
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
    for name in (NAME, f"{NAME}@main"):
        assert load_encoder(name).identity("text") == new.identity("text") != old.identity("text")
        assert f"encoder {name!r} may change on the hub; write '{NAME}@{NEW}' to pin it" in caplog.text
    texts = ["rude words about cats"]
    np.testing.assert_array_equal(load_encoder(NAME).encode_text(texts).values, new.encode_text(texts).values)


def test_layers_work_on_tokens_first_and_give_what_open_clip_gives(random_clip):
    plain, (model, _, _) = open_clip.create_model(f"local-dir:{random_clip}").eval(), loading.load(str(random_clip))
    model.eval()
    layers = [part for part in model.modules() if isinstance(part, Transformer)]
    assert layers
    assert not any(part.batch_first for part in layers)
    assert not any(block.attn.batch_first for part in layers for block in part.resblocks)
    generator = torch.Generator().manual_seed(0)
    pictures, ids = torch.rand(3, 3, 32, 32, generator=generator), torch.randint(3, 250, (5, 24), generator=generator)
    ids[:, 7] = plain.vocab_size - 1  # the end of the text
    with torch.inference_mode():
        torch.testing.assert_close(model.encode_image(pictures), plain.encode_image(pictures), atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(model.encode_text(ids), plain.encode_text(ids), atol=1e-5, rtol=1e-5)


def test_a_name_pins_what_no_local_file_need_be_watched_for(hub):
    assert encoder_files(f"{NAME}@{OLD}") == []
    assert check(f"{NAME}@{OLD}").weights == OLD


def test_a_tokenizer_that_the_repository_leaves_to_another_is_asked_for_there(hub, random_clip, monkeypatch):
    asked = []
    for path in (hub / "models--an-organisation--a-clip" / "snapshots" / OLD).glob("tokenizer*"):
        path.unlink()
    get = loading.open_clip.get_tokenizer

    def elsewhere(name):
        asked.append(name)
        return get(f"local-dir:{random_clip}")

    monkeypatch.setattr(loading.open_clip, "get_tokenizer", elsewhere)
    assert load_encoder(f"{NAME}@{OLD}").identity("text") == load_encoder(str(random_clip)).identity("text")
    assert asked == [NAME, f"local-dir:{random_clip}"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("hf-hub:an-organisation/another", r"is not in the local cache, and HF_HUB_OFFLINE switches the hub off"),
        (f"{NAME}@{'d' * 40}", r"is not in the local cache, and HF_HUB_OFFLINE switches the hub off; unset that"),
        (f"{NAME}@{BARE}", r"cannot be loaded \(it is not whole in the local cache, and HF_HUB_OFFLINE"),
        ("hf-hub:a-clip", r"names no repository; write 'hf-hub:organisation/repository@commit'"),
        ("hf-hub:a/b/c", r"names no repository"),
        ("hf-hub:a/b@", r"names no repository"),
    ],
)
def test_what_the_cache_lacks_while_the_hub_is_off_is_one_sentence(hub, name, message):
    with pytest.raises(WorkbenchError, match=message) as raised:
        load_encoder(name)
    assert "\n" not in str(raised.value)


def response(status=404):
    return httpx.Response(status, request=httpx.Request("GET", "https://hub.invalid/a/b"))


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (errors.LocalEntryNotFoundError("several\nlines"), r"the hub cannot be reached and the local cache does not"),
        (
            errors.GatedRepoError("no", response=response()),
            r"its owner lets only some people have it\); ask",
        ),
        (
            errors.RevisionNotFoundError("no", response=response()),
            r"the hub has no revision 'v1' of it\); name a",
        ),
        (errors.RepositoryNotFoundError("no", response=response()), r"the hub has no repository 'a/b', or hides it"),
        (
            errors.EntryNotFoundError("no open_clip_config.json"),
            r"it lacks open_clip_config.json or open_clip's",
        ),
        (ConnectionError("reset\nby peer"), r"\(reset by peer\); check the network, or save the model in a folder"),
    ],
)
def test_each_failure_of_the_hub_is_one_sentence_with_the_next_step(monkeypatch, error, message):
    def fail(*args, **kwargs):
        raise error

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fail)
    monkeypatch.setattr(huggingface_hub, "is_offline_mode", lambda: False)
    with pytest.raises(WorkbenchError, match=message) as raised:
        loading.load("hf-hub:a/b@v1")
    assert "\n" not in str(raised.value)
    assert str(raised.value).startswith("encoder 'hf-hub:a/b@v1' cannot be loaded (")


def test_a_file_of_weights_on_this_machine_is_loaded_into_its_architecture(monkeypatch, random_clip, tmp_path):
    import json

    import open_clip

    config = json.loads((random_clip / "open_clip_config.json").read_text())["model_cfg"]
    config["text_cfg"]["hf_tokenizer_name"] = str(random_clip)
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "a-small-clip", config)
    weights = shutil.copy(random_clip / "open_clip_model.safetensors", tmp_path / "mine.safetensors")
    mine, folder = load_encoder(f"a-small-clip@{weights}"), load_encoder(str(random_clip))
    texts = ["rude words about cats", "the quick brown fox"]
    np.testing.assert_array_equal(mine.encode_text(texts).values, folder.encode_text(texts).values)
    assert encoder_files(f"a-small-clip@{weights}") == [Path(weights)]
    Path(weights).write_bytes(b"torn")
    with pytest.raises(WorkbenchError, match=r"check that .*mine.safetensors holds the weights of a-small-clip"):
        load_encoder(f"a-small-clip@{weights}")


def test_a_name_is_checked_without_torch_and_open_clip():
    code = """
import sys
from workbench.errors import WorkbenchError
from workbench.features.encoders.names import check
check("tiny"), check("ViT-B-32@openai"), check("ViT-B-32-quickgelu@openai"), check("EVA01-g-14@random")
for wrong in ("ViT-B-3", "ViT-B-32", "ViT-B-32@opena", "no/folder", "hf-hub:a/b"):
    try:
        check(wrong)
    except WorkbenchError:
        continue
    sys.exit(f"{wrong} was taken")
sys.exit("torch" in sys.modules or "open_clip" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_tags_read_from_open_clips_text_are_those_it_has():
    import open_clip
    from open_clip.pretrained import list_pretrained_tags_by_model

    from workbench.features.encoders.names import architectures

    found = architectures()
    assert sorted(found) == sorted(
        path.stem for path in (Path(open_clip.__file__).parent / "model_configs").glob("*.json")
    )
    assert all(tags == list_pretrained_tags_by_model(name) for name, tags in found.items())
    assert sum(map(len, found.values())) > 100
