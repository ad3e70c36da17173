"""The tokenization study: numbers by hand, claims that come out of their numbers either way."""

import numpy as np
import pyarrow as pa
import pytest

from tests import made_ranks
from workbench import models
from workbench.errors import WorkbenchError
from workbench.questions import tokenization
from workbench.questions.tokenization import BOTH, NONE, RIGHT, SCHEMES, WRONG, Measured, available, claims, tokens
from workbench.schema import Taxonomy, corpus_schema
from workbench.studies.steps.training import Material

TAXONOMY = Taxonomy.load()


def posts(texts, rude="stupid"):
    rows = [
        {"post_id": f"p{i}", "group": f"g{i}", "text": text, "weight": 1.0}
        | {"labels": {name: rude in (text or "") if name == "abuse" else None for name in TAXONOMY.names}}
        for i, text in enumerate(texts)
    ]
    return pa.Table.from_pylist(rows, schema=corpus_schema(TAXONOMY))


def test_what_a_scheme_makes_of_posts_by_hand():
    # a is in both posts, b in one (too few): ids are padding, unknown and a. Of 2 x 3 counts three are not zero.
    found = tokens(posts(["a a b", "a", None]), {"scheme": "words", "dim": 10})
    assert found["vocabulary"] == 3
    assert np.isnan(found["published"])
    assert found["tokens"] == 2  # three and one; the post without text is none
    assert found["p95"] == pytest.approx(1 + 0.95 * 2)
    assert found["unknown"] == 1 / 4
    assert found["zeros"] == pytest.approx(1 - 3 / 6)
    assert found["table MB"] == 3 * 10 * 4 / 1e6


def test_schemes_are_known_models_and_what_lacks_is_said(monkeypatch, tmp_path):
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    there, lacking = available(list(SCHEMES), {"dim": 7})
    assert [*there, *lacking] == list(SCHEMES)
    assert list(lacking) == ["tiktoken"]
    assert "tiktoken" in lacking["tiktoken"]
    assert models.parse("text-tokens", there["bpe 500"]).dim == 7
    named, lacking = available(["words"], {}, {"o200k_base": made_ranks.write(tmp_path / "made"), "r50k_base": "none"})
    assert list(named) == ["words", "tiktoken o200k_base"]
    assert "none, which is not there" in lacking["tiktoken r50k_base"]
    assert tokens(posts(["the stupid"] * 2), named["tiktoken o200k_base"])["published"] == 256 + len(made_ranks.PIECES)
    with pytest.raises(WorkbenchError, match="did you mean 'words'"):
        available(["word"])


def test_a_study_of_two_schemes_measures_what_it_says():
    rng = np.random.default_rng(0)
    texts = [f"w{rng.integers(9)} w{rng.integers(9)} {'stupid' if rng.random() < 0.4 else 'new'}" for _ in range(160)]
    material = Material(TAXONOMY, dict(zip(("train", "validation", "test"), map(posts, (texts[:80], texts[80:110],
                        texts[110:])), strict=True)), {}, {})  # fmt: skip
    quick = {"dim": 4, "epochs": 1}
    there, _ = available(["words", "2-4 words"], quick)
    found = tokenization.measure(material, there, "abuse", seeds=[0], pairs=20)
    wide = tokenization.measure(material, tokenization.widths([2, 6], quick), "abuse", seeds=[0], pairs=20,
                                networks=["conv"])  # fmt: skip
    assert [run.row["width"] for run in wide] == [2, 6]
    assert wide[1].row["table MB"] == 3 * wide[0].row["table MB"]
    table = tokenization.summary(found)
    assert list(table.index) == [(name, network) for name in there for network in ("linear", "conv")]
    assert table.loc[("words", "linear"), "AP"] == 1  # one word tells the label
    assert table.loc[("words", "conv"), "tokens"] == 3
    assert table.notna().drop(columns="published").all().all()
    assert (table[["fit s", "read ms", "cut ms", "training MB"]] > 0).all().all()
    assert table.loc[("words", "linear"), "same words"] == 0.5
    assert set(claims([*found, *wide])["verdict"]) <= {RIGHT, WRONG, BOTH, NONE}
    assert tokenization.bars(found, "abuse", "conv")[0].model.startswith("2-4 words")
    with pytest.raises(WorkbenchError, match="unknown label"):
        tokenization.measure(material, there, "abusive", seeds=[0], pairs=20)


def measured(scheme, network, ap=0.5, **row):
    base = {"tokens": 20, "read ms": 100, "cut ms": 10, "table MB": 1, "training MB": 4, "zeros": 0.99}
    base |= {"vocabulary": 100, "same words": 0.5, "same words lo": 0.4, "same words hi": 0.6}
    return Measured(scheme, network, base | row, np.full(11, ap))


def verdict(claim, *found):
    table = claims(found)
    return table.loc[next(name for name in table.index if claim in name), "verdict"]


@pytest.mark.parametrize(
    ("claim", "scheme", "row", "expected"),
    [
        ("shorten", "2-4 words", {"tokens": 15}, RIGHT),
        ("shorten", "2-4 words", {"tokens": 19.5}, BOTH),
        ("shorten", "2-4 words", {"tokens": 25}, WRONG),
        ("speed", "2-4 words", {"read ms": 80}, RIGHT),
        ("speed", "2-4 words", {"read ms": 100, "cut ms": 40}, BOTH),  # the network is faster, cutting is slower
        ("speed", "2-4 words", {"read ms": 130}, WRONG),
        ("table", "2-4 words", {"table MB": 2}, RIGHT),
        ("table", "2-4 words", {"table MB": 0.5}, WRONG),
        ("memory", "2-4 words", {"training MB": 8}, RIGHT),
        ("memory", "2-4 words", {"training MB": 4.1}, BOTH),
        ("sparse", "2-3 characters", {"zeros": 0.995}, RIGHT),
        ("sparse", "2-3 characters", {"zeros": 0.97}, BOTH),
        ("sparse", "2-3 characters", {"zeros": 0.9}, WRONG),
    ],
)
def test_a_verdict_follows_its_numbers(claim, scheme, row, expected):
    words = [measured("words", network) for network in ("linear", "conv")]
    assert verdict(claim, *words, measured(scheme, "conv", **row)) == expected
    assert verdict(claim, *words) == NONE


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"same words": 0.9, "same words lo": 0.8, "same words hi": 0.95}, RIGHT),
        ({"same words": 0.6, "same words lo": 0.5, "same words hi": 0.7}, BOTH),
        ({}, WRONG),
    ],
)
def test_context_has_to_beat_the_bag_beyond_both_intervals(row, expected):
    assert verdict("what the word cannot", measured("words", "linear"), measured("words", "conv", **row)) == expected


@pytest.mark.parametrize(("ap", "expected"), [(0.6, RIGHT), (0.5, BOTH), (0.4, WRONG)])
def test_more_is_found_where_ap_says_so(ap, expected):
    side = measured("2-4 words", "conv"), measured("2-4 words, overlapping", "conv", ap=ap)
    assert verdict("overlapping", *side) == expected
    assert verdict("overlapping", side[0]) == NONE
    wide = [measured(f"words, {n} wide", "conv", ap=value, width=n) for n, value in ((8, 0.5), (64, 0.1), (128, ap))]
    assert verdict("wider", *wide) == expected
    assert verdict("wider", wide[0]) == NONE


@pytest.mark.parametrize(("ap", "expected"), [(0.6, RIGHT), (0.5, BOTH), (0.4, WRONG)])
def test_context_is_worth_what_it_adds_to_ap(ap, expected):
    assert verdict("worth more", measured("words", "linear"), measured("words", "conv", ap=ap)) == expected
