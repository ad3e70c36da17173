"""Encoders: open_clip's numbers, whatever the batch; keys that change when a vector would; names in one sentence."""

import io
import json
import shutil
import socket

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from random_clip import CONFIG, WORDS, write_encoder

from workbench import device
from workbench.errors import WorkbenchError
from workbench.features import FeatureStore, TransientError, encoder_files
from workbench.features.encoders import load_encoder, loading, names
from workbench.features.encoders import open_clip as encoders
from workbench.features.encoders.forward import towers, windows

TEXTS = ["the quick brown fox", "cats", None, "1 2 3 4 5 6 7 8", "  ", WORDS, "rude words " * 40, "Cats!"]


@pytest.fixture(scope="module")
def encoder(random_clip):
    return load_encoder(str(random_clip))


@pytest.fixture
def folder(random_clip, tmp_path):
    """A copy of the random CLIP that a test may change."""
    return shutil.copytree(random_clip, tmp_path / "copy")


def picture(seed, size=(40, 30), **options):
    """A PNG file of random colours; size is (width, height)."""
    pixels = np.random.default_rng(seed).integers(0, 256, (5, 4, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC).save(out, "PNG", **options)
    return out.getvalue()


def half_transparent():
    out = io.BytesIO()
    image = Image.open(io.BytesIO(picture(1))).convert("RGBA")
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    image.save(out, "PNG")
    return out.getvalue()


def animation(frames):
    out = io.BytesIO()
    first, *rest = (Image.open(io.BytesIO(picture(seed))) for seed in range(frames))
    first.save(out, "GIF", save_all=True, append_images=rest)
    return out.getvalue()


# ------------------------------------------------------------------------------------------------------------ vectors


@pytest.mark.parametrize(
    "change",
    [{}, {"pool_type": "eos", "eos_id": 299}, {"proj_bias": True}, {"proj_type": "none"}, {"custom_text": True}],
)
def test_the_short_forward_equals_open_clips_own(change):
    config = json.loads(json.dumps(CONFIG))
    config["model_cfg"]["text_cfg"].update({key: value for key, value in change.items() if key != "custom_text"})
    config["model_cfg"]["text_cfg"]["vocab_size"] = 300
    kind = open_clip.CustomTextCLIP if "custom_text" in change else open_clip.CLIP
    model = kind(**config["model_cfg"]).eval()
    rows = [[1, 5, 9, 299], [1, 7, 299], [1, *range(10, 30), 299]]
    ids = torch.zeros(3, 24, dtype=torch.long)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = torch.tensor(row)
    tower = getattr(model, "text", model)
    fast = windows.Tokens(None, None, 24, (1,), (299,), 0, True, {})
    assert towers.causal_tower(model, fast) is tower
    with torch.inference_mode():
        short = towers.short_forward(tower, ids[:, :22], torch.tensor([3, 2, 21]))
        torch.testing.assert_close(short, model.encode_text(ids), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    "change", [{"no_causal_mask": True}, {"pool_type": "last"}, {"embed_cls": True}, {"pool_type": "eos", "eos_id": 5}]
)
def test_towers_that_look_at_the_padding_get_the_full_context(change):
    config = json.loads(json.dumps(CONFIG["model_cfg"]))
    config["text_cfg"] |= {"vocab_size": 300} | change
    fast = windows.Tokens(None, None, 24, (1,), (299,), 0, True, {})
    assert towers.causal_tower(open_clip.CustomTextCLIP(**config), fast) is None


def test_texts_come_back_in_order_normalised_and_as_open_clip_has_them(encoder, random_clip):
    blocks = encoder.encode_text(TEXTS)
    assert blocks.counts[[0, 1, 2, 3, 4, 7]].tolist() == [1, 1, 0, 1, 0, 1]
    assert (blocks.counts[[5, 6]] > 1).all()
    assert blocks.reasons == [None] * 8
    plain = [0, 1, 3, 7]
    ids = open_clip.get_tokenizer(f"local-dir:{random_clip}")([TEXTS[i] for i in plain])
    with torch.inference_mode():
        expected = encoder.model.encode_text(ids, normalize=True).numpy()
    np.testing.assert_allclose(blocks.first()[plain], expected, atol=1e-3)  # float16 below 1: half a step is 2.4e-4
    np.testing.assert_allclose(np.linalg.norm(blocks.values, axis=1), 1, atol=2e-3)
    np.testing.assert_array_equal(blocks.values, blocks.values.astype(np.float16))


def test_without_the_short_forward_the_vectors_are_the_same(encoder, monkeypatch):
    short = encoder.encode_text(TEXTS)
    monkeypatch.setattr(encoder.towers, "causal", None)
    np.testing.assert_allclose(encoder.encode_text(TEXTS).values, short.values, atol=1e-3)


def test_pictures_are_as_open_clip_has_them(encoder, random_clip):
    _, _, transform = open_clip.create_model_and_transforms(f"local-dir:{random_clip}")
    files = [picture(seed, (40 + seed, 90 - seed)) for seed in range(3)]
    inputs = torch.stack([transform(Image.open(io.BytesIO(data))) for data in files])
    with torch.inference_mode():
        expected = encoder.model.encode_image(inputs, normalize=True).numpy()
    # the resize may differ by a grey level or two of 255
    np.testing.assert_allclose(encoder.encode_image(files).values, expected, atol=0.02)


def test_neighbours_in_the_batch_and_its_size_do_not_matter(encoder, monkeypatch):
    files = [picture(seed, (40 + seed, 30)) for seed in range(5)] + [half_transparent()]
    texts, images = encoder.encode_text(TEXTS), encoder.encode_image(files)
    for i, text in enumerate(TEXTS):
        np.testing.assert_allclose(encoder.encode_text([text]).values, texts.take([i]).values, atol=1e-3)
    for i, data in enumerate(files):
        np.testing.assert_allclose(encoder.encode_image([data]).values, images.take([i]).values, atol=1e-3)
    monkeypatch.setattr(encoders, "TEXT_CHUNK", 2)
    monkeypatch.setitem(encoders.AHEAD, "image", 2)
    monkeypatch.setattr(encoder.towers.pictures_room, "at_once", 2)
    np.testing.assert_allclose(encoder.encode_text(TEXTS).values, texts.values, atol=1e-3)
    np.testing.assert_allclose(encoder.encode_image(files).values, images.values, atol=1e-3)
    np.testing.assert_array_equal(encoder.encode_text(TEXTS * 2).offsets[:9], texts.offsets)


def test_the_same_call_gives_the_same_bits(encoder):
    files = [picture(0), half_transparent()]
    assert encoder.encode_text(TEXTS).values.tobytes() == encoder.encode_text(TEXTS).values.tobytes()
    assert encoder.encode_image(files).values.tobytes() == encoder.encode_image(files).values.tobytes()


def test_absent_unreadable_and_several_readings(encoder):
    blocks = encoder.encode_image([picture(0), None, b"garbage", b"", half_transparent(), animation(3)])
    assert blocks.counts.tolist() == [1, 0, 1, 1, 3, 3]  # raw, on white, on black; three frames
    assert [reason is not None for reason in blocks.reasons] == [False, False, True, True, False, False]
    assert blocks.readable.tolist() == [True, False, False, False, True, True]
    assert np.isnan(blocks.take([2, 3]).values).all()
    raw = encoder.encode_image([picture(1)])
    np.testing.assert_allclose(blocks.take([4]).values[0], raw.values[0], atol=1e-3)  # the first reading is the raw one
    assert np.abs(blocks.take([4]).values[1] - blocks.take([4]).values[2]).max() > 0.01


def test_nothing_to_encode(encoder):
    for blocks in (encoder.encode_text([]), encoder.encode_image([])):
        assert blocks.values.shape == (0, 32)
    assert encoder.encode_text([None, ""]).counts.tolist() == [0, 0]
    assert encoder.encode_image([None]).counts.tolist() == [0]


def test_abuse_at_the_end_of_a_long_post_has_a_window(encoder):
    harmless = "the quick brown fox jumps over a lazy dog " * 30
    plain, marked = (encoder.encode_text([harmless + end]) for end in ("the quick", "rude cats"))
    assert plain.counts[0] > 1
    np.testing.assert_array_equal(plain.values[0], marked.values[0])
    assert np.abs(plain.values[-1] - marked.values[-1]).max() > 0.01


def test_a_batch_that_does_not_fit_is_halved_and_one_item_that_does_not_is_an_error(encoder, monkeypatch):
    expected = encoder.encode_text(TEXTS)
    embed, sizes = encoder.towers.embed_texts, []

    def tight(rows, room=3):
        sizes.append(len(rows))
        if len(rows) > room:
            raise torch.OutOfMemoryError("no room")
        return embed(rows)

    monkeypatch.setattr(encoder.towers, "embed_texts", tight)
    np.testing.assert_allclose(encoder.encode_text(TEXTS).values, expected.values, atol=1e-3)
    assert max(sizes) > 3
    monkeypatch.setattr(encoder.towers, "embed_texts", lambda rows: tight(rows, 0))
    with pytest.raises(WorkbenchError, match="does not fit in the memory of cpu"):
        encoder.encode_text(["cats"])


def test_a_value_that_is_no_number_is_unread_and_may_pass(encoder, monkeypatch):
    embed = encoder.towers.embed_texts

    def broken(rows):
        vectors = embed(rows).clone()
        vectors[[i for i, row in enumerate(rows) if len(row) == max(map(len, rows))]] = float("inf")
        return vectors

    monkeypatch.setattr(encoder.towers, "embed_texts", broken)
    blocks = encoder.encode_text(["cats", WORDS[:30], None])
    assert blocks.readable.tolist() == [True, False, False]
    assert isinstance(blocks.reasons[1], TransientError)
    assert np.isnan(blocks.values[1]).all()


@pytest.mark.gpu
def test_cuda_agrees_with_the_cpu(encoder, random_clip):
    there = load_encoder(str(random_clip), "cuda")
    assert there.dtype == device.dtype(torch.device("cuda"))
    files = [picture(seed) for seed in range(4)]
    # bfloat16 has 8 bits: about 0.4 % of a value, a few times over through the layers
    np.testing.assert_allclose(there.encode_text(TEXTS).values, encoder.encode_text(TEXTS).values, atol=0.03)
    np.testing.assert_allclose(there.encode_image(files).values, encoder.encode_image(files).values, atol=0.03)


# ----------------------------------------------------------------------------------------------------------- identity


def edit(path, change):
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))


def config(part, **values):
    """Change a part of an encoder's configuration."""
    return lambda folder: edit(folder / "open_clip_config.json", lambda v: v[part].update(values))


def identities(encoder):
    return {modality: encoder.identity(modality) for modality in ("text", "image", "video")}


def changed(encoder, other):
    """The modalities whose vectors another encoder would give anew."""
    own, theirs = identities(encoder), identities(other)
    return [modality for modality in own if own[modality] != theirs[modality]]


def test_the_identity_is_of_the_content_not_of_name_place_or_format(folder, encoder, tmp_path):
    assert changed(encoder, load_encoder(str(folder))) == []
    edit(folder / "open_clip_config.json", lambda values: None)  # other white space
    (folder / "README.md").write_text("a card")
    assert changed(encoder, load_encoder(f"local-dir:{folder}")) == []
    assert (len(encoder.identity("text")), encoder.dim, encoder.dtype) == (64, 32, torch.float32)
    assert len(set(identities(encoder).values())) == 3


@pytest.mark.parametrize(
    ("change", "which"),
    [
        (lambda folder: write_encoder(folder, seed=1), ["text", "image", "video"]),
        (config("preprocess_cfg", resize_mode="squash"), ["image", "video"]),
        (config("preprocess_cfg", mean=[0.4, 0.5, 0.5]), ["image", "video"]),
        (config("model_cfg", quick_gelu=True), ["text", "image", "video"]),
        (
            lambda folder: edit(folder / "open_clip_config.json", lambda v: v["model_cfg"]["text_cfg"].update(heads=4)),
            ["text", "image", "video"],
        ),
        (
            lambda folder: edit(folder / "tokenizer.json", lambda v: v.update(normalizer={"type": "Lowercase"})),
            ["text"],
        ),
    ],
    ids=["weights", "fit", "mean", "activation", "heads", "tokenizer"],
)
def test_what_changes_a_vector_changes_the_identity_of_its_modality(change, which, folder, encoder):
    change(folder)
    assert changed(encoder, load_encoder(str(folder))) == which


@pytest.mark.parametrize(("name", "value"), [("WINDOWS", 3), ("CHARACTERS", 9999)])
def test_a_changed_recipe_changes_the_identity(name, value, folder, encoder, monkeypatch):
    monkeypatch.setattr(windows, name, value)
    (folder / "merges.txt").write_text("")  # a new file: else this would be the encoder already loaded
    assert changed(encoder, load_encoder(str(folder))) == ["text"]


def test_how_clips_are_read_is_no_matter_of_texts_and_pictures(encoder, folder):
    assert changed(encoder, load_encoder(f"{folder}?frames=5")) == ["video"]


def test_an_encoder_is_loaded_once_until_its_files_change(folder):
    first = load_encoder(str(folder))
    assert load_encoder(str(folder)) is first
    write_encoder(folder, seed=3)
    assert load_encoder(str(folder)).identity("text") != first.identity("text")


def test_the_store_gives_what_the_encoder_gives(encoder, random_clip, tmp_path):
    import pyarrow as pa

    table = pa.table({"text": pa.array(TEXTS)})
    by, one_digit = encoder.encode_text(TEXTS).values, 2**-10  # of float16: other batches, other rounding
    found = [
        FeatureStore(at, torch.device("cpu")).text(str(random_clip), table).values for at in (None, tmp_path, tmp_path)
    ]
    for values in found:
        np.testing.assert_allclose(values, by, rtol=1.01 * one_digit, atol=1e-7)
    assert found[1].tobytes() == found[2].tobytes()  # what was kept is given back as it was


# -------------------------------------------------------------------------------------------------------------- names


def test_nothing_is_asked_of_the_network(folder, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    assert load_encoder(str(folder)).encode_text(["cats"]).readable.all()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ViT-B-3", r"unknown encoder 'ViT-B-3'; did you mean 'ViT-B-32' or .*\? Write 'tiny', a folder"),
        ("ViT-B-32", r"architecture without weights; write 'ViT-B-32@TAG' .*\(openai, .*'ViT-B-32@random'"),
        ("ViT-B-32@opena", r"unknown weights or file for 'ViT-B-32': 'opena'; did you mean 'openai'"),
        ("ViT-B-32@", r"names no weights after its '@'"),
        ("", r"an encoder needs a name"),
        ("no/such/folder", r"'no/such/folder' has no open_clip_config.json in"),
    ],
)
def test_a_wrong_name_is_one_sentence_with_the_choices(name, message):
    with pytest.raises(WorkbenchError, match=message) as raised:
        load_encoder(name)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "open_clip_config.json").unlink(), r"has no open_clip_config.json in"),
        (lambda folder: (folder / "open_clip_config.json").write_text("{"), r"not valid JSON"),
        (lambda folder: (folder / "open_clip_config.json").write_text('{"model_cfg": {}}'), r"lacks 'embed_dim'"),
        (
            lambda folder: (folder / "open_clip_model.safetensors").unlink(),
            r"check .* open_clip's weights",
        ),
        (lambda folder: (folder / "open_clip_model.safetensors").write_bytes(b"torn"), r"cannot be loaded .*header"),
        (lambda folder: (folder / "tokenizer.json").unlink(), r"cannot be loaded .*check .* the tokenizer files"),
    ],
)
def test_a_damaged_folder_is_one_sentence(damage, message, folder):
    damage(folder)
    with pytest.raises(WorkbenchError, match=message) as raised:
        load_encoder(str(folder))
    assert "\n" not in str(raised.value)


def test_an_unreachable_hub_is_one_sentence(monkeypatch):
    def offline(*args, **kwargs):
        raise RuntimeError("Failed to download file\nfor a reason of several lines")

    monkeypatch.setattr(open_clip, "create_model", offline)
    with pytest.raises(WorkbenchError, match=r"cannot be loaded \(Failed to download .*; check the network") as raised:
        load_encoder("ViT-B-32@openai")
    assert "\n" not in str(raised.value)


def test_weights_bring_the_activation_they_were_trained_with():
    assert loading._config(names.parse("ViT-B-32@openai"))["quick_gelu"] is True
    assert "quick_gelu" not in loading._config(names.parse("ViT-B-32@laion2b_s34b_b79k"))


def test_random_weights_are_the_same_every_time_and_leave_the_global_generator_alone(monkeypatch):
    config = json.loads(json.dumps(CONFIG["model_cfg"]))
    config["text_cfg"] |= {"vocab_size": 49408, "hf_tokenizer_name": ""}
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "a-small-clip", config)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first, second = (encoders.Encoder("x", *loading.load("a-small-clip@random"), torch.device("cpu")) for _ in range(2))
    assert torch.equal(torch.rand(3), expected)
    assert first.identity("text") == second.identity("text")
    assert first.encode_text(["cats"]).readable.all()


def test_the_files_of_an_encoder_are_known_without_loading_it(folder, tmp_path):
    (folder / "card.md").write_text("words")
    assert [path.name for path in encoder_files(str(folder))] == [
        "open_clip_config.json",
        "open_clip_model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    weights = folder / "open_clip_model.safetensors"
    assert encoder_files(f"ViT-B-32@{weights}") == [weights]
    assert encoder_files("ViT-B-32@openai") == []


def test_frames_of_an_animation_are_no_variants_and_grounds_are(encoder):
    frames = [Image.open(io.BytesIO(half_transparent())).convert("RGBA") for _ in range(2)]
    frames[1] = frames[1].transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    out = io.BytesIO()
    frames[0].save(out, "PNG", save_all=True, append_images=frames[1:])
    blocks = encoder.encode_image([animation(3), half_transparent(), out.getvalue()])
    assert blocks.counts.tolist() == [3, 3, 6]
    # three frames; raw, on white and on black; both frames raw, then on white, then on black
    assert blocks.variants.tolist() == [0, 0, 0, 0, 1, 2, 0, 0, 1, 1, 2, 2]
