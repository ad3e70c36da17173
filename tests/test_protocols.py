"""The page of protocols says what the code does: services, rates, limits, and the input of every model of the table."""

from __future__ import annotations

import re

import numpy as np
import pytest

from workbench import models
from workbench.features.encoders import load_encoder
from workbench.features.store import FeatureStore
from workbench.models import MODELS
from workbench.preprocessing import context
from workbench.preprocessing.context import ContextOptions
from workbench.preprocessing.limits import stated
from workbench.preprocessing.links.extraction import FEATURES
from workbench.requirements import Requirements
from workbench.schema import MODALITIES, ROOT, Taxonomy
from workbench.serving.config import ServingConfig

PAGE = (ROOT / "docs" / "protocols.md").read_text(encoding="utf-8")
OF_OTHERS = ("ensemble", "per-group", "scores")  # what they look at is what they are made of
FAKE = "owner/model@" + "0" * 40  # which names a model of the hub and fetches none
NEEDED = {"scores": {"path": "x.csv"}, "text-transformer": {"encoder": FAKE}, "vlm-prompt": {"model": FAKE}}


def rows(head: str) -> dict[str, list[str]]:
    """Return the rows of the table with a head, first cell -> the others."""
    lines = PAGE.partition(f"{head}\n")[2].splitlines()[1:]
    table = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines[: lines.index("")]]
    return {cells[0].strip("`"): cells[1:] for cells in table}


SERVICES = rows("| service | a post a second | of which posts | request | answer | seconds | under way |")
INPUTS = rows("| input | raw | becomes |")
TABLE = rows("| model | text | picture | clip | beside content |")


def test_every_service_stands_there_with_its_rate_and_how_many_are_under_way():
    served, volume = ServingConfig.load().services, Requirements.load().volume
    assert list(SERVICES) == list(served)
    for name, (rate, posts, *_, seconds, concurrent) in SERVICES.items():
        assert float(rate) == served[name].expected_per_second
        share = float(re.search(r"([\d.]+) %", posts).group(1)) / 100
        assert share == {**volume.shares, "post": 1.0, "misinformation": 0.05}[name]
        assert round(volume.per_second * share) == float(rate)
        assert float(concurrent) == pytest.approx(float(rate) * float(seconds), abs=0.05)


def test_limits_of_contents_are_those_of_the_readers():
    said = rows("| content | limits |")
    assert said == {
        name: [str(read)] for name, read in zip(("text", "picture", "clip"), stated().values(), strict=True)
    }


def test_standard_inputs_are_those_of_the_code():
    recipe, encoder = load_encoder("tiny", "cpu").recipe, load_encoder("tiny", "cpu")
    text, image, clip = recipe["text"], recipe["image"], recipe["video"]["options"]
    (height, width), mean, deviation = image["size"], *({*image[name]} for name in ("mean", "std"))
    frames = {"shortest": "the shorter side scaled and the middle kept"}[image["resize_mode"]]
    wanted = {
        "vectors of a text": f"windows of {text['context']}, at most {text['windows']} windows that overlap by "
        f"{text['overlap']}; a vector of {encoder.dim} numbers",
        "vectors of a picture": f"{frames}, {width} x {height} pixels; (value / 255 - {mean.pop()}) / "
        f"{deviation.pop()}; a vector of {encoder.dim} numbers",
        "vectors of a clip": f"at most {clip['frames']} frames",
        "links": f"{len(FEATURES)} numbers",
    }
    for title, group in (("numbers of an author", "author"), ("numbers of engagement", "engagement")):
        counts, rates = len(context.COUNTS[group]), len(context.RATES[group])
        assert len(context.names(ContextOptions(columns=(group,)))) == counts + rates
        wanted[title] = f"{counts + rates} numbers, with {rates} rates"
        assert INPUTS[title][0] == f"{counts} fields"
    assert ContextOptions().scaling == "log"
    assert ContextOptions().nulls
    assert wanted.keys() == INPUTS.keys()
    for title, phrase in wanted.items():
        assert phrase in INPUTS[title][1], title


def test_every_model_of_the_table_stands_there_in_its_order():
    assert list(TABLE) == list(MODELS)


@pytest.mark.parametrize("name", [name for name in MODELS if name not in OF_OTHERS])
def test_a_model_looks_at_what_is_said_and_at_nothing_else(name):
    store = FeatureStore(None, "cpu")
    model = models.create(name, NEEDED.get(name), taxonomy=Taxonomy.load(), store=store)
    *contents, beside = TABLE[name]
    looked_at = {*model.modalities, *model.opens}  # of words in pictures that cannot be read here too
    assert {kind for kind, said in zip(MODALITIES, contents, strict=True) if said != "-"} == looked_at
    others = [column for column in model.columns if column not in MODALITIES]
    assert beside == (" and ".join(f"numbers of the {column}" for column in others) or "-")


@pytest.mark.parametrize(
    ("name", "column", "option", "phrase"),
    [
        ("text-vectors", 0, "dim", "vectors of {} numbers"),
        ("text-tokens", 0, "length", "rows of {}"),
        ("text-transformer", 0, "max_tokens", "windows of {}"),
        ("text-hashing", 0, "bits", "2^{} numbers"),
        ("vlm-prompt", 0, "characters", "at most {:,} characters"),
        ("vlm-prompt", 1, "side", "at most {} pixels"),
        ("vlm-prompt", 2, "frames", "{} frames"),
    ],
)
def test_sizes_are_the_defaults_of_the_options(name, column, option, phrase):
    options = models.parse(name, NEEDED.get(name))
    assert phrase.format(getattr(options, option)) in TABLE[name][column]


def test_the_table_of_repeats_adds_up():
    lines = [line for line in PAGE.splitlines() if re.search(r"\| (PUT|POST) \|", line)]
    assert len(lines) == 4
    for line in lines:
        sent, scored, repeated, refused = np.array([int(cell) for cell in line.split("|")[3:7]])
        assert sent == scored + repeated + refused
