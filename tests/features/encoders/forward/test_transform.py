"""Pictures: open_clip's own fit, without Pillow; reasons and notes pass through."""

import io
from dataclasses import asdict

import numpy as np
import pytest
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image

from workbench.features import TransientError
from workbench.features.encoders.forward import transform
from workbench.features.encoders.forward.transform import Transform


def scene(height, width, seed=0):
    """A smooth random picture, uint8 (h, w, 3)."""
    small = np.random.default_rng(seed).integers(0, 256, (height // 7 + 2, width // 7 + 2, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC))


def png(array):
    out = io.BytesIO()
    Image.fromarray(array).save(out, "PNG")
    return out.getvalue()


@pytest.mark.parametrize("size", [32, (24, 48)])
@pytest.mark.parametrize("mode", ["shortest", "longest", "squash"])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize("shape", [(50, 80), (301, 90), (32, 32), (9, 20), (600, 60)])
def test_the_fit_is_open_clips_own_within_two_grey_levels(size, mode, interpolation, shape):
    settings = PreprocessCfg(
        size, mean=(0,) * 3, std=(1,) * 3, interpolation=interpolation, resize_mode=mode, fill_color=9
    )
    expected = image_transform_v2(settings, is_train=False)(Image.fromarray(scene(*shape))) * 255
    fitted = Transform.of(asdict(settings))(scene(*shape))
    assert fitted.dtype == transform.torch.uint8
    assert (fitted.float() - expected).abs().max() <= 2


def test_a_strip_one_pixel_wide_is_padded_not_lost():
    fitted = Transform(size=(32, 32), mean=(0,) * 3, std=(1,) * 3, resize_mode="longest")(
        np.full((4000, 1, 3), 200, np.uint8)
    )
    assert fitted.shape == (3, 32, 32)
    assert fitted.max() == 200  # one column of the picture is left, the rest is padding


def test_a_read_only_array_is_taken():
    array = scene(40, 40)
    array.setflags(write=False)
    assert Transform(size=(32, 32), mean=(0,) * 3, std=(1,) * 3)(array).shape == (3, 32, 32)


def test_what_cannot_be_read_has_the_reason_of_preprocessing_and_no_readings():
    transformed = Transform(size=(32, 32), mean=(0,) * 3, std=(1,) * 3).read(b"")
    assert transformed.variants is None
    assert transformed.reason
    assert not isinstance(transformed.reason, TransientError)


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("a bug")])
def test_a_failure_that_is_not_the_pictures_passes(error, monkeypatch):
    def fail(data, options):
        raise error

    monkeypatch.setattr(transform.image, "decode", fail)
    assert isinstance(Transform(size=(32, 32), mean=(0,) * 3, std=(1,) * 3).read(b"x").reason, TransientError)


def test_a_note_says_when_the_centre_is_less_than_half_of_the_picture():
    fit = Transform(size=(32, 32), mean=(0,) * 3, std=(1,) * 3)
    assert fit.read(png(scene(60, 40))).note is None  # 40 of 60 rows are seen
    assert fit.read(png(scene(120, 40))).note == "the encoder saw the middle 33% of the picture"
    whole = Transform(size=(32, 32), mean=(0,) * 3, std=(1,) * 3, resize_mode="squash")
    assert whole.read(png(scene(120, 40))).note is None


def test_the_recipe_holds_everything_that_the_pixels_depend_on():
    base = Transform(size=(32, 32), mean=(0,) * 3, std=(1,) * 3)
    recipe = base.recipe
    others = [
        Transform(size=(32, 48), mean=(0,) * 3, std=(1,) * 3),
        Transform(size=(32, 32), mean=(0.1,) * 3, std=(1,) * 3),
        Transform(size=(32, 32), mean=(0,) * 3, std=(2,) * 3),
        Transform(size=(32, 32), mean=(0,) * 3, std=(1,) * 3, resize_mode="squash"),
        Transform(size=(32, 32), mean=(0,) * 3, std=(1,) * 3, interpolation="bilinear"),
        Transform(size=(32, 32), mean=(0,) * 3, std=(1,) * 3, fill_color=1),
        Transform(size=(32, 32), mean=(0,) * 3, std=(1,) * 3, options=transform.ImageOptions(frames=2)),
    ]
    assert all(other.recipe != recipe for other in others)
    assert Transform(size=(32, 32), mean=(0,) * 3, std=(1,) * 3).recipe == recipe
