"""Augmentation: each change does what it says, chance is the generator's alone, and rare rows are found."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from workbench.errors import WorkbenchError
from workbench.preprocessing.image.augmentation import AugmentOptions, augment, copies, generator, rare_rows

EACH = {"rotation": 90, "hue": 0.5, "saturation": 1, "lightness": 0.9, "contrast": 0.9, "crop": 0.6, "jpeg": 5}


def picture() -> torch.Tensor:
    """A red square on green noise, (3, 24, 32)."""
    pixels = torch.from_numpy(np.random.default_rng(0).integers(90, 160, (3, 24, 32), dtype=np.uint8))
    pixels[1] = 200
    pixels[:, 6:12, 6:12] = torch.tensor([250, 20, 20], dtype=torch.uint8)[:, None, None]
    return pixels


@pytest.mark.parametrize("name", EACH)
def test_each_change_alone_keeps_size_and_type_and_depends_on_the_generator_alone(name):
    options, before = AugmentOptions(**{name: EACH[name]}), picture()
    torch.manual_seed(1)
    state = torch.random.get_rng_state().clone(), np.random.get_state()[1].copy()
    changed = [augment(before, options, generator(3, epoch, 7)) for epoch in (0, 0, 1)]
    assert torch.equal(state[0], torch.random.get_rng_state())
    assert (state[1] == np.random.get_state()[1]).all()
    assert torch.equal(before, picture())
    assert all(one.shape == before.shape and one.dtype == torch.uint8 for one in changed)
    assert torch.equal(changed[0], changed[1])
    assert not torch.equal(changed[0], changed[2])
    assert not torch.equal(changed[0], before)
    assert options.changes == (name,)


def test_nothing_switched_on_changes_nothing():
    before = picture()
    assert augment(before, AugmentOptions(), generator(0)) is before


def test_lightness_scales_grey_between_its_bounds():
    grey = torch.full((3, 8, 8), 100, dtype=torch.uint8)
    seen = [int(augment(grey, AugmentOptions(lightness=0.3), generator(0, n))[0, 0, 0]) for n in range(200)]
    # evenly between 0.7 and 1.3 times 100
    assert 70 <= min(seen) < 75
    assert 125 < max(seen) <= 130
    assert abs(np.mean(seen) - 100) < 4


def test_a_crop_shows_a_part_of_the_picture_at_the_size_of_the_whole():
    ramp = torch.arange(100, dtype=torch.uint8).repeat(3, 100, 1)  # its columns tell where they were
    spans = []
    for n in range(100):
        row = augment(ramp, AugmentOptions(crop=0.75), generator(0, n))[0, 50].int()
        spans.append(int(row[-1] - row[0]))
    # at least a quarter of the area, so half of each side, is left
    assert 45 <= min(spans) < 65
    assert max(spans) > 90


def test_copies_are_png_files_of_the_first_reading_and_none_of_what_cannot_be_read():
    file = io.BytesIO()
    Image.fromarray(picture().permute(1, 2, 0).numpy()).save(file, "PNG")
    options = AugmentOptions(rotation=20, jpeg=40)
    made = copies(file.getvalue(), options, [generator(0, n) for n in range(3)])
    assert len(set(made)) == 3
    expected = augment(picture(), options, generator(0, 1)).permute(1, 2, 0).numpy()
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(made[1]))), expected)
    assert copies(b"no picture", options, [generator(0)]) == []


def test_a_row_is_rare_by_its_rarest_known_label():
    y = np.array([[1, 1, 1], [1, 0, 0], [0, 0, 0], [0, 0, 1.0]])
    known = np.array([[True, True, False], [True, True, True], [True, True, True], [True, True, False]])
    # label 0: 2 of 4; label 1: 1 of 4; label 2: its positives are unknown
    assert rare_rows(y, known, 0.3).tolist() == [0]
    assert rare_rows(y, known, 0.25).tolist() == []  # a quarter is not under a quarter
    assert rare_rows(y, known, 1.0).tolist() == [0, 1]


@pytest.mark.parametrize("wrong", [{"hue": 0.6}, {"crop": 1.0}, {"jpeg": 0}, {"flip": True}])
def test_unknown_changes_and_values_are_refused(wrong):
    with pytest.raises(WorkbenchError):
        AugmentOptions.parse(wrong, "augment")
