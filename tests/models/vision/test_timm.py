"""`image-timm` on real pictures: frozen and fine-tuned, by the names that users write."""

import io

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image
from random_backbone import write_backbone

from workbench import models
from workbench.errors import WorkbenchError
from workbench.features import FeatureStore
from workbench.features.encoders import load_encoder
from workbench.models.vision.timm import ImageTimm, finetuning
from workbench.preprocessing.image import augmentation

WAYS = ("frozen", "fine-tuned")
COLOURS = {"abuse": 0, "nudity": 2}  # a label tints the picture in its channel


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_backbone(tmp_path_factory.mktemp("timm") / "backbone")


@pytest.fixture
def store():
    return FeatureStore(None, "cpu", load=lambda name, device: load_encoder(name, device))


def picture(held, rng):
    pixels = rng.integers(0, 120, (40, 40, 3))
    for name in held:
        pixels[8:32, 8:32, COLOURS[name]] += 130
    file = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


def posts(n, seed, make, taxonomy, share=0.4):
    """n posts, a tenth without a picture, a tenth with one that cannot be read."""
    rng = np.random.default_rng(seed)
    rows, files = [], []
    for number in range(n):
        labels = {name: bool(rng.random() < share) for name in taxonomy.names}
        file = picture([name for name, holds in labels.items() if holds], rng)
        files.append(None if number % 10 == 3 else b"no picture" if number % 10 == 7 else file)
        rows.append({"labels": labels, "text": "words", "post_id": f"p{seed}-{number}"})
    table = make(rows, taxonomy)
    column = pa.array([None if file is None else {"bytes": file, "path": None} for file in files], table["image"].type)
    return table.set_column(table.schema.get_field_index("image"), "image", column)


def options(way, folder, **more):
    head = {"head": "mlp", "epochs": 5, "batch_size": 16}
    learn = {"finetune": True, "epochs": 2, "batch_size": 16} if way == "fine-tuned" else {"head": head}
    return {"encoder": f"timm:{folder}", **learn, **more}


def fit(way, folder, store, table, taxonomy, seed=0, train=None, **more):
    model = models.create("image-timm", options(way, folder, **more), taxonomy=taxonomy, store=store)
    train = posts(40, 1, table, taxonomy) if train is None else train
    return model.fit(train, posts(20, 2, table, taxonomy), seed=seed)


@pytest.mark.parametrize("way", WAYS)
def test_the_contract_holds_on_pictures(way, folder, store, table, taxonomy, tmp_path):
    torch.manual_seed(1)
    before = torch.random.get_rng_state().clone()
    model, test = fit(way, folder, store, table, taxonomy), posts(20, 3, table, taxonomy)
    logits = model.logits(test)
    assert torch.equal(before, torch.random.get_rng_state())
    assert (logits.dtype, logits.shape) == (np.float32, (20, 2))
    unread = np.arange(20) % 10 == 7
    assert (np.isnan(logits).all(axis=1) == (unread | (np.arange(20) % 10 == 3))).all()
    reasons = model.predict(test).unread["image"]
    assert [reason is not None for reason in reasons] == unread.tolist()
    order = np.random.default_rng(0).permutation(20)
    np.testing.assert_allclose(model.logits(test.take(order)), logits[order], rtol=0, atol=1e-5)
    np.testing.assert_allclose(model.logits(test.slice(5, 1)), logits[5:6], rtol=0, atol=1e-5)
    torch.manual_seed(2)
    assert np.array_equal(fit(way, folder, store, table, taxonomy).logits(test), logits, equal_nan=True)
    assert not np.array_equal(fit(way, folder, store, table, taxonomy, seed=1).logits(test), logits, equal_nan=True)
    model.save(tmp_path / "model")
    again = models.load(tmp_path / "model", taxonomy=taxonomy, store=store)
    assert np.array_equal(again.logits(test), logits, equal_nan=True)


def test_fine_tuning_learns_what_the_pictures_show(folder, store, table, taxonomy):
    more = {"epochs": 12, "lr": 0.002, "patience": 12}
    train, test = posts(120, 5, table, taxonomy), posts(60, 6, table, taxonomy)
    model = fit("fine-tuned", folder, store, table, taxonomy, train=train, **more)
    logits = model.logits(test)
    seen = ~np.isnan(logits[:, 0])
    for k, name in enumerate(taxonomy.names):
        y = np.array([row[name] for row in test["labels"].to_pylist()])
        high, low = logits[seen & y, k], logits[seen & ~y, k]
        assert np.mean(high[:, None] > low[None, :]) > 0.9  # an ROC AUC
    assert 1 <= model.record["best_epoch"] <= model.record["epochs"] <= 12
    assert model.record["at_once"] == 16  # the size of a batch, which the memory held


def test_an_unknown_label_and_another_s_pictures_teach_nothing(folder, store, table, taxonomy):
    train = posts(40, 1, table, taxonomy)
    rows = [{"abuse": None, "nudity": row["nudity"]} for row in train["labels"].to_pylist()]
    labels = pa.array(rows, train["labels"].type)
    train = train.set_column(train.schema.get_field_index("labels"), "labels", labels)
    model = fit("fine-tuned", folder, store, table, taxonomy, train=train)
    logits = model.logits(posts(20, 3, table, taxonomy))
    assert np.isnan(logits[:, 0]).all()
    assert np.isfinite(logits[:, 1]).any()
    assert np.isnan(model.constants).tolist() == [True, False]


def test_the_highest_variant_counts(folder, store, table, taxonomy):
    model = fit("fine-tuned", folder, store, table, taxonomy)
    frames = [Image.open(io.BytesIO(picture(held, np.random.default_rng(n)))) for n, held in enumerate(([], ["abuse"]))]
    files = [io.BytesIO() for _ in range(3)]
    frames[0].save(files[0], "PNG", save_all=True, append_images=frames[1:])
    for frame, file in zip(frames, files[1:], strict=True):
        frame.save(file, "PNG")
    given = table([{}, {}, {}], taxonomy)
    column = pa.array([{"bytes": file.getvalue(), "path": None} for file in files], given["image"].type)
    logits = model.logits(given.set_column(given.schema.get_field_index("image"), "image", column))
    np.testing.assert_allclose(logits[0], logits[1:].max(axis=0), atol=1e-5)


@pytest.mark.parametrize("way", WAYS)
def test_a_rare_label_is_seen_more_often_and_in_changed_pictures(way, folder, store, table, taxonomy, monkeypatch):
    train = posts(40, 1, table, taxonomy, share=0.5)
    rows = [{"abuse": number == 0, "nudity": row["nudity"]} for number, row in enumerate(train["labels"].to_pylist())]
    labels = pa.array(rows, train["labels"].type)
    train = train.set_column(train.schema.get_field_index("labels"), "labels", labels)
    changed = []
    plain = augmentation.augment
    record = lambda pixels, *rest: changed.append(pixels.shape) or plain(pixels, *rest)  # noqa: E731
    monkeypatch.setattr(augmentation, "augment", record)
    monkeypatch.setattr(finetuning, "augment", record)
    more = {"copies": 3, "augment": {"rotation": 20, "lightness": 0.3}}
    model = fit(way, folder, store, table, taxonomy, train=train, **more)
    if way == "frozen":
        assert model.record["copies"] == 3
        assert len(changed) == 3  # before the encoder sees them, at the picture's own size
        assert changed[0] == (3, 40, 40)
    else:
        # 32 pictures of 40 can be read, and three more of the rare one, each anew in both epochs
        assert len(changed) == 2 * (32 + 3)
    repeats = fit(way, folder, store, table, taxonomy, train=train, copies=3)
    test = posts(20, 3, table, taxonomy)
    assert not np.array_equal(repeats.logits(test), model.logits(test), equal_nan=True)


def test_a_step_that_does_not_fit_is_done_in_parts_with_the_same_gradient(folder, store, table, taxonomy, monkeypatch):
    whole = fit("fine-tuned", folder, store, table, taxonomy).logits(posts(20, 3, table, taxonomy))
    plain, sizes = finetuning.Network.forward, []

    def forward(self, pixels):
        if self.training and len(pixels) > 4:
            raise torch.OutOfMemoryError("CUDA out of memory")
        sizes.append(len(pixels))
        return plain(self, pixels)

    monkeypatch.setattr(finetuning.Network, "forward", forward)
    model = fit("fine-tuned", folder, store, table, taxonomy)
    assert model.record["at_once"] == 4  # of batches of 16: 8, then 4
    assert min(sizes) <= 4
    parts = model.logits(posts(20, 3, table, taxonomy))
    np.testing.assert_allclose(parts, whole, atol=2e-2)


@pytest.mark.parametrize("way", WAYS)
def test_a_fit_is_an_option_of_the_model_and_a_part_of_its_encoder(way, folder, store, table, taxonomy, tmp_path):
    test = posts(20, 3, table, taxonomy)
    wide = [None if cell is None else {**cell, "bytes": stretched(cell["bytes"])} for cell in test["image"].to_pylist()]
    test = test.set_column(test.schema.get_field_index("image"), "image", pa.array(wide, test["image"].type))
    ways = ({}, {"fit": "crop"}, {"fit": "squash"})
    own, cropped, whole = (fit(way, folder, store, table, taxonomy, **more) for more in ways)
    assert np.array_equal(cropped.logits(test), own.logits(test), equal_nan=True)
    assert not np.array_equal(cropped.logits(test), whole.logits(test), equal_nan=True)
    whole.save(tmp_path / "model")
    again = models.load(tmp_path / "model", taxonomy=taxonomy, store=store)
    assert np.array_equal(again.logits(test), whole.logits(test), equal_nan=True)
    whole.options = whole.options.model_copy(update={"fit": "pad"})
    whole.save(tmp_path / "changed")
    with pytest.raises(WorkbenchError, match="another encoder than"):
        models.load(tmp_path / "changed", taxonomy=taxonomy, store=store)


def stretched(data):
    """A picture file three times as wide; what is no picture stays."""
    try:
        picture = Image.open(io.BytesIO(data))
    except OSError:
        return data
    file = io.BytesIO()
    picture.resize((120, 40)).save(file, "PNG")
    return file.getvalue()


def test_wrong_options_are_told_before_anything_is_loaded():
    for wrong, said in [
        ({"head": {"hiden": 3}}, "unknown key 'hiden'"),
        ({"head": {"encoder": "tiny"}}, "stands beside `head`"),
        ({"augment": {"flip": True}}, "unknown key"),
    ]:
        with pytest.raises(WorkbenchError, match=said):
            models.check("image-timm", wrong)
    assert ImageTimm.members(ImageTimm.options_class(finetune=True)) == []
    assert models.entries("image-timm") == [models.MODELS["image-timm"], models.MODELS["image-clip"]]
