"""What samples of the synthetic world say about labels: what their truth says, and not a bit more."""

from __future__ import annotations

import math
import re

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from world_samples import DRIFT, INFORMATION, TAXONOMY, build, firsts, has, media_bytes, taxonomy, truth

from workbench.corpora import synthetic
from workbench.corpora.synthetic import SourceOptions, site
from workbench.corpora.synthetic.causes import INTENTS, LABELS, PATTERNS, PERIODS, RECORDS
from workbench.corpora.synthetic.exact import Exact
from workbench.preprocessing.context import COUNTS
from workbench.schema import label_matrix

# ------------------------------------------------------------------------------------------------ labels and weights


@pytest.mark.parametrize(
    ("oversample", "harm", "paired"),
    [({}, 0.03, 0.11), ({"paired": 0.7, "harm": 0.25}, 0.25, 0.7)],
    ids=["site", "study"],
)
def test_harm_and_pairs_are_as_frequent_as_asked_and_weights_give_the_site(quick, oversample, harm, paired):
    table = build(posts=30_000, prevalence=0.03, oversample=oversample)
    table = table.take(firsts(table))  # independent posts
    n, weight, any_label = len(table), table["weight"].to_numpy(), label_matrix(table, TAXONOMY)[0].any(1)
    there = has(table)
    pair = there["text"] & (there["image"] | there["video"])
    assert any_label.mean() == pytest.approx(harm, abs=4 * math.sqrt(harm * (1 - harm) / n))
    assert pair.mean() == pytest.approx(paired, abs=4 * math.sqrt(paired * (1 - paired) / n))
    for f, at_site in ((any_label, 0.03), (pair, 0.11), (~pair, 0.89), (there["video"], 0.05)):
        assert (weight * f).mean() == pytest.approx(at_site, abs=4 * np.std(weight * f) / math.sqrt(n))


def test_labels_of_posts_are_as_frequent_as_their_truth_says(quick):
    table = build(posts=30_000, oversample={"paired": 0.6, "harm": 0.3}, reposts=0.2)
    first = np.zeros(len(table), bool)
    first[firsts(table)] = True
    last = np.r_[first[1:], True] & ~first  # of the reposts, one of each family: posts of a family are not independent
    y = label_matrix(table, taxonomy(*LABELS))[0]
    for information in INFORMATION:
        for rows in (first, last):
            for k in range(4):
                p = truth(table, information)[rows, k]
                value, cell = np.unique(np.round(p, 6), return_inverse=True)
                n, hits = np.bincount(cell), np.bincount(cell, y[rows, k])
                z = (hits - n * value) / np.sqrt(n * value * (1 - value))
                enough = n * np.minimum(value, 1 - value) > 20
                assert np.abs(z[enough]).max(initial=0) < 4.2, (information, LABELS[k])
                assert enough.any() or rows is last  # where signals are seen too, reposts are too few for any cell


def scores_against(residual: np.ndarray, variance: np.ndarray, x: np.ndarray) -> np.ndarray:
    """How many standard errors (n_labels,) the residuals (n_posts, n_labels) lean towards an observation (n_posts,)."""
    x = (x - x.mean()) / x.std()
    return x @ residual / np.sqrt(np.square(x) @ variance)


def observations(table: pa.Table) -> dict[str, dict[str, np.ndarray]]:
    """What can be seen of posts beside their causes, by what it is seen on: the site, the text, the picture or clip."""
    texts = [text or "" for text in table["text"].to_pylist()]
    images, films = ([data or b"" for data in media_bytes(table, name)] for name in ("image", "video"))
    _, of, size = np.unique(table["group"].to_numpy(), return_inverse=True, return_counts=True)
    order, seconds = np.arange(len(table)), table["created_at"].to_numpy().astype("datetime64[s]").astype(np.int64)
    number = people(table) // len(RECORDS)  # the rest is the record
    around = {f"in {name}": np.array(table["community"]) == name for name in site.COMMUNITIES}
    around |= {"author": number, "odd author": number % 2, "order": order, "odd order": order % 2}
    around |= {"family": size[of], "second": seconds, "hour": seconds // 3600 % 24}
    text = {"letters": [len(text) for text in texts], "capitals": [sum(map(str.isupper, text)) for text in texts]}
    text |= {"minute": [int((re.findall(r"(\d\d):\d\d", text) or [12])[0]) for text in texts]}
    text |= {"note first": [bool(re.search(r"\d\d:\d\d.*:", text)) for text in texts]}
    image = {"bytes": [len(data) for data in images]}
    image |= {"quality": [sum(data[25:89]) for data in images]}  # the first table of quantisation
    video = {"bytes": [len(data) for data in films], "mp4": [data[4:8] == b"ftyp" for data in films]}
    return {"none": around, "text": text, "image": image, "video": video}


def leanings(table: pa.Table, information: str, planted: float = 0.0) -> dict[str, float]:
    """How many standard errors each observation leans towards any label; `planted` adds harm to it, in deviations."""
    first, p = firsts(table), truth(table, information)[firsts(table)]
    y, found = label_matrix(table, taxonomy(*LABELS))[0][first], {}
    for name, values in observations(table)[information].items():
        x = np.asarray(values, float)[first]
        found[name] = np.abs(scores_against(y - p, p * (1 - p), x + planted * x.std() * y.any(1))).max()
    return found


def test_nothing_but_the_causes_says_anything_about_labels(sample, quick):
    many = build(posts=30_000, seed=4, oversample={"paired": 0.5, "harm": 0.25})
    for table, information in ((many, "none"), (many, "text"), (sample, "image"), (sample, "video")):
        assert {name: z for name, z in leanings(table, information).items() if z > 4} == {}
        assert min(leanings(table, information, planted=0.5).values()) > 4  # so much would be noticed


def people(table: pa.Table) -> np.ndarray:
    return np.array([int(name[2:]) for name in pc.struct_field(table["author"], "id").to_pylist()])


def count(table: pa.Table, column: str, name: str) -> np.ndarray:
    """A count (n_posts,), NaN where it is not known."""
    return pc.fill_null(pc.cast(pc.struct_field(table[column], name), pa.float64()), np.nan).to_numpy()


def levels(table: pa.Table, column: str, name: str, *edges: int) -> np.ndarray:
    """The kind that a count tells: below each edge, from the last one on, and unknown."""
    values = count(table, column, name)
    return np.where(np.isnan(values), len(edges) + 1, np.digitize(values, edges))


def given(table: pa.Table) -> dict[str, np.ndarray]:
    """The causes that columns other than the contents tell."""
    there = has(table)
    names = ["+".join(name for name in there if there[name][n]) for n in range(len(table))]
    after = table["created_at"].to_numpy() >= DRIFT
    return {
        "pattern": np.array([PATTERNS.index(name) for name in names]),
        "period": np.where(after, PERIODS.index("after"), PERIODS.index("before")),
        "reports": levels(table, "engagement", "reports", 1, site.FEW + 1),
        "record": levels(table, "author", "prior_reports", 1, 10, site.NOTORIOUS),
        "spread": levels(table, "engagement", "impressions", site.FAR, site.VIRAL),
        "author": np.array([name[1] == "p" for name in pc.struct_field(table["author"], "id").to_pylist()]).astype(int),
    }


@pytest.fixture(scope="module")
def many():
    """The options and the table of many posts, each of a family of its own."""
    options = {"posts": 30_000, "reposts": 0, "oversample": {"paired": 0.5, "harm": 0.25}}
    return options, build(**options)


def test_counts_tell_as_much_as_their_fields_may(many, quick):
    options, table = many
    world = synthetic.world_of(SourceOptions.parse(options, "corpus"))
    y, seen = label_matrix(table, taxonomy(*LABELS))[0], given(table)
    np.testing.assert_array_equal(seen["record"], people(table) % len(RECORDS))
    for fields in (("engagement",), ("author",), ("engagement", "author")):
        p = Exact(world, fields).posterior(seen)
        for k in range(4):
            value, cell = np.unique(np.round(p[:, k], 6), return_inverse=True)
            n, hits = np.bincount(cell), np.bincount(cell, y[:, k])
            z = (hits - n * value) / np.sqrt(n * value * (1 - value))
            assert np.abs(z[n * np.minimum(value, 1 - value) > 20]).max() < 4.2
    # beside the levels that they tell, no count says anything: the trait is told by the age
    for name, values in {f"{c} {n}": np.log1p(count(table, c, n)) for c in COUNTS for n in COUNTS[c]}.items():
        there = ~np.isnan(values)
        of = p[there]
        assert np.abs(scores_against(y[there] - of, of * (1 - of), values[there])).max() < 4, name


def test_counts_have_heavy_tails_and_gaps_that_say_something(many):
    table, misleads = many[1], label_matrix(many[1], TAXONOMY)[0][:, TAXONOMY.names.index("misinformation")]
    for column, name in (("author", "prior_reports"), ("author", "posts"), ("engagement", "impressions")):
        values = count(table, column, name)
        assert np.nanmax(values) > 100 * np.nanmean(values) > 300 * np.nanmedian(values), name
    for column, name, more in (("author", "prior_reports", True), ("engagement", "impressions", False)):
        gone = np.isnan(count(table, column, name))
        shares = gone[misleads == 1].mean(), gone[misleads == 0].mean()
        assert max(shares) > 2.5 * min(shares)
        assert (shares[0] > shares[1]) == more
    reactions, impressions = (count(table, "engagement", name) for name in ("reactions", "impressions"))
    np.testing.assert_array_equal(np.isnan(reactions), np.isnan(impressions))
    reports = count(table, "engagement", "reports")
    assert (np.maximum(reactions, 4 * (reports - site.FEW)) <= impressions)[~np.isnan(impressions)].all()


def test_harmless_posts_that_annoy_are_reported_as_harmful_ones_are(many):
    options, table = many
    harmless = label_matrix(table, TAXONOMY)[0].sum(1) == 0
    reported = levels(table, "engagement", "reports", 1, site.FEW + 1) == 2
    draws = synthetic.world_of(SourceOptions.parse(options, "corpus")).draw(200_000, np.random.default_rng(1))
    match = draws["intent"] == INTENTS.index("match")
    assert (draws["reports"][match] == 2).mean() == pytest.approx(0.15, abs=0.01)
    assert reported[harmless].mean() > 0.015  # 0.005 without them
    weight = table["weight"].to_numpy() * reported
    assert weight[harmless].sum() > 0.75 * weight.sum()  # at the site few of the posts with many reports harm
