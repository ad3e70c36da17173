"""Backbones of timm: random tiny ones saved in the hub's own layout, loaded by the names that users write."""

import io
import shutil

import numpy as np
import pyarrow as pa
import pytest
import torch
from huggingface_hub import constants
from PIL import Image
from random_backbone import NAME, write_backbone
from random_clip import write_hub

from workbench.errors import WorkbenchError
from workbench.features import FeatureStore, encoder_files
from workbench.features.encoders import load_encoder
from workbench.features.encoders import timm as backbones
from workbench.features.encoders.names import check, clip_options, of_pictures, of_texts, with_fit
from workbench.features.encoders.open_clip import weights_digest

COMMIT = "d" * 40


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_backbone(tmp_path_factory.mktemp("timm") / "backbone")


def png(size=(80, 60), seed=0):
    file = io.BytesIO()
    low = Image.fromarray(np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8))
    low.resize(size, Image.Resampling.BICUBIC).save(file, "PNG")
    return file.getvalue()


def test_features_are_those_of_timm_s_own_transform_and_network(folder):
    import timm

    encoder = load_encoder(f"timm:{folder}")
    model = timm.create_model(f"local-dir:{folder}", pretrained=True, num_classes=0).eval()
    transform = timm.data.create_transform(**timm.data.resolve_data_config({}, model=model), is_training=False)
    pictures = [png(seed=0), png((48, 100), seed=1)]
    with torch.inference_mode():
        theirs = torch.cat([model(transform(Image.open(io.BytesIO(data)))[None]) for data in pictures])
    theirs = torch.nn.functional.normalize(theirs).numpy()
    mine = encoder.encode_image([*pictures, None, b"no picture"])
    assert mine.counts.tolist() == [1, 1, 0, 1]
    assert encoder.dim == mine.dim == theirs.shape[1]
    # torch's resize differs from Pillow's by a grey level here and there
    assert (mine.values[:2] * theirs).sum(axis=1).min() > 0.9999
    assert mine.reasons[3].startswith("This is a text file")
    assert np.isnan(mine.values[2]).all()


def test_a_folder_a_file_and_the_hub_are_one_encoder(folder, tmp_path, monkeypatch):
    cache = write_hub(tmp_path / "hub", f"timm/{NAME}.a_tag", {COMMIT: folder}, main=COMMIT)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    whole = load_encoder(f"timm:{folder}")
    names = [f"timm:hf-hub:timm/{NAME}.a_tag@{COMMIT}", f"timm:hf-hub:timm/{NAME}.a_tag", f"timm:{NAME}@a_tag"]
    assert {load_encoder(name).identity("video") for name in names} == {whole.identity("video")}
    assert encoder_files(f"timm:{folder}") == [folder / "config.json", folder / "model.safetensors"]
    assert encoder_files(names[0]) == []
    weights = folder / "model.safetensors"
    assert encoder_files(f"timm:{NAME}@{weights}") == [weights]
    file = load_encoder(f"timm:{NAME}@{weights}")
    state = whole.model.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in file.model.state_dict().items())


def test_random_weights_are_the_same_each_time_and_leave_global_chance_alone():
    torch.manual_seed(5)
    before = torch.random.get_rng_state().clone()
    first, second = (backbones.load(f"timm:{NAME}@random")[0].state_dict() for _ in range(2))
    assert torch.equal(before, torch.random.get_rng_state())
    assert all(torch.equal(value, second[name]) for name, value in first.items())


def test_the_identity_follows_weights_preprocessing_and_how_clips_are_read(folder, tmp_path):
    import json

    other = write_backbone(tmp_path / "other", seed=1)
    cropped = shutil.copytree(folder, tmp_path / "cropped")
    about = json.loads((cropped / "config.json").read_text())
    about["pretrained_cfg"]["crop_pct"] = 0.5
    (cropped / "config.json").write_text(json.dumps(about))
    names = [f"timm:{folder}", f"timm:{other}", f"timm:{cropped}", f"timm:{folder}?sampling=keyframe"]
    assert len({load_encoder(name).identity("video") for name in names}) == 4
    assert load_encoder(f"timm:{folder}").identity("video") == load_encoder(f"timm:{folder}?frames=12").identity(
        "video"
    )
    assert "saw the middle" in load_encoder(f"timm:{cropped}").encode_image([png()]).notes[0]


def test_a_text_is_refused_in_a_sentence_and_pictures_come_from_the_store(folder):
    encoder = load_encoder(f"timm:{folder}")
    with pytest.raises(WorkbenchError, match="reads pictures and clips only; name a CLIP for texts"):
        encoder.encode_text(["words"])
    store = FeatureStore(None, "cpu")
    table = pa.table({"image": [{"bytes": png(), "path": None}] * 2})
    values = store.image(f"timm:{folder}", table).values
    np.testing.assert_array_equal(values[0], encoder.encode_image([png()]).values[0])
    assert store.hits["repeated"] == 1


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("timm:resnet18", "names no backbone with weights"),
        ("timm:resnet18@", "names no backbone with weights"),
        ("timm:resnet18@weights.bin.gz/x", "no tag of timm's and no .safetensors file"),
        ("timm:resnet18@gone.safetensors", "there is no file"),
        ("timm:./no/such/folder", "has no config.json"),
        ("timm:hf-hub:nothing", "names no repository"),
        ("timm:resnet18@a1_in1k", "not in the local cache, and HF_HUB_OFFLINE"),
        ("tiny?sampling=often", "sampling"),
        ("tiny?frame=3", "unknown key 'frame'"),
        ("tiny?fit=stretch", "'crop', 'squash' or 'pad'"),
    ],
)
def test_a_wrong_name_is_told_in_one_sentence(name, said):
    with pytest.raises(WorkbenchError, match=said) as caught:
        check(name)
    assert "\n" not in str(caught.value)


def test_unusable_weights_are_told_in_one_sentence(folder, tmp_path):
    torn = shutil.copytree(folder, tmp_path / "torn")
    (torn / "model.safetensors").write_bytes((torn / "model.safetensors").read_bytes()[:100])
    pickled = shutil.copytree(folder, tmp_path / "pickled")
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    for name, said in [
        (f"timm:{torn}", "cannot be loaded"),
        (f"timm:{pickled}", "has no model.safetensors"),
        ("timm:no_such_net@random", "`timm.list_models\\(\\)` has every name"),
    ]:
        with pytest.raises(WorkbenchError, match=said) as caught:
            load_encoder(name)
        assert "\n" not in str(caught.value)


def test_options_of_clips_stand_behind_a_question_mark(random_clip):
    assert clip_options("tiny?sampling=adaptive&frames=5").frames == 5
    assert check(f"{random_clip}?frames=3") == check(str(random_clip))
    assert load_encoder(f"{random_clip}?frames=3").fit.clips.frames == 3
    assert load_encoder(f"{random_clip}?frames=3").weights == load_encoder(str(random_clip)).weights


@pytest.mark.parametrize(("fit", "mode"), [("crop", "center"), ("squash", "squash"), ("pad", "border")])
def test_a_fit_that_is_asked_for_is_timm_s_own_and_shows_the_whole_picture(folder, fit, mode):
    import timm

    encoder = load_encoder(f"timm:{folder}?fit={fit}")
    settings = {"input_size": (3, 32, 32), "mean": (0.0,) * 3, "std": (1.0,) * 3, "crop_mode": mode}
    settings |= {"interpolation": encoder.fit.interpolation}
    settings |= {"crop_pct": 0.875 if fit == "crop" else 1.0}  # the checkpoint's own share cuts edges off
    transform = timm.data.create_transform(**settings, is_training=False)
    theirs = transform(Image.open(io.BytesIO(png((48, 100))))) * 255
    mine = encoder.fit.read(png((48, 100))).variants[0].float()
    assert (mine - theirs).abs().max() <= 2
    assert encoder.fit.seen(100, 48) == (1.0 if fit != "crop" else pytest.approx(0.48 * 0.875**2))
    assert (mine[:, :, 0].max() == 0) == (fit == "pad")  # black edges


def test_a_fit_belongs_to_the_identity_of_pictures_and_clips_and_not_of_texts(folder, random_clip):
    own = load_encoder(f"timm:{folder}")
    fits = [load_encoder(f"timm:{folder}?fit={fit}") for fit in ("crop", "squash", "pad")]
    assert fits[0].identity("image") == own.identity("image")  # what the checkpoint does by itself
    for kind in ("image", "video"):
        assert len({encoder.identity(kind) for encoder in fits}) == 3
    clip, whole = load_encoder(str(random_clip)), load_encoder(f"{random_clip}?fit=squash&frames=3")
    assert clip.identity("text") == whole.identity("text")
    assert clip.identity("image") != whole.identity("image")
    assert whole.fit.clips.frames == 3
    assert whole.tunable().frozen().fit.resize_mode == "squash"  # tuned weights see pictures as the name says


def test_names_of_texts_and_pictures_are_completed(folder, tmp_path):
    assert of_pictures(f"{folder}?fit=pad") == f"timm:{folder}?fit=pad"
    assert of_texts("an-organisation/a-bert") == "transformer:mean:128:an-organisation/a-bert"
    for name in (
        "tiny",
        "ViT-B-32@openai",
        "hf-hub:an-organisation/a-clip@c0ffee",
        f"timm:{folder}",
        "",
        str(tmp_path),
    ):
        assert of_texts(name) == of_pictures(name) == name
    with pytest.raises(WorkbenchError, match="ask for two fits"):
        with_fit("tiny?fit=pad", "crop")
    assert with_fit("tiny?fit=pad", "pad") == with_fit("tiny?fit=pad", None) == "tiny?fit=pad"


@pytest.mark.parametrize("kind", ["image", "video"])
def test_all_real_photos_and_clips_end_in_vectors_or_a_reason(workbench_data, folder, kind):
    files = sorted(
        path for path in (workbench_data / {"image": "photos", "video": "video"}[kind]).rglob("*") if path.is_file()
    )
    media = [path.read_bytes() for path in files if path.suffix not in (".md", ".txt", ".json", ".csv", ".jsonl")]
    assert media
    ways = [""] if kind == "image" else ["", "?sampling=keyframe", "?sampling=adaptive"]
    for name in [f"timm:{folder}{way}" for way in ways]:
        encoder = load_encoder(name)
        blocks = encoder.encode_image(media) if kind == "image" else encoder.encode_video(media)
        assert all(ok != (reason is not None) for ok, reason in zip(blocks.readable, blocks.reasons, strict=True))
        assert np.isfinite(blocks.values).all(axis=1).any()


def test_the_digest_of_weights_that_saved_bundles_hold_does_not_follow_the_name_of_a_class():
    linear = torch.nn.Linear(3, 2)
    linear.load_state_dict({"weight": torch.arange(6.0).reshape(2, 3), "bias": torch.zeros(2)})
    renamed = type("Renamed", (backbones.VisualAdapter,), {})
    # sha256 over '["Sight", {"embed_dim": 2}]' and both tensors, as version 0.1 wrote it
    golden = "2da5e14e2e1ed75ea10296754c59eb3e6c1a8ba18db9a21126efa738220f6480"
    for kind in (backbones.VisualAdapter, renamed):
        assert weights_digest(kind(linear), {"embed_dim": 2}) == golden
