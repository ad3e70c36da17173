"""A tiny starter from posts of our own: what it learns from, what its card says, and where its posts come from."""

from __future__ import annotations

import csv
import hashlib
import json

import numpy as np
import pytest
import yaml

from workbench.decisions.moderator import Moderator
from workbench.errors import WorkbenchError
from workbench.schema import Post, Taxonomy, label_matrix
from workbench.starter import build
from workbench.starter.posts import drawn, located, read
from workbench.starter.recipe import Origin, Recipe

TAXONOMY = Taxonomy.load()
RUDE = ("go away you idiot", "shut up fool", "nobody likes you", "you are a stupid clown")
KIND = ("thank you so much", "well done friend", "see you at the park", "good luck with the garden")
PLACES = ("the river", "the old mill", "the station", "the harbour", "the market", "the bridge", "the museum")


def write(path, names, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([names, *rows])


def forum(seed, n=120):
    """Rows of nr, text and flag: a third are rude."""
    rng = np.random.default_rng(seed)
    for nr in range(n):
        said = rng.choice(RUDE if nr % 3 == 0 else KIND)
        yield nr, f"{said}, this is about {rng.choice(PLACES)} on day {rng.integers(10_000)}", int(nr % 3 == 0)


@pytest.fixture
def data(tmp_path, monkeypatch):
    """A folder of three sets, and the recipe that reads them."""
    place = tmp_path / "data"
    monkeypatch.setenv("WORKBENCH_DATA", str(place))
    write(place / "one" / "a.csv", ("nr", "body", "flag"), forum(1))
    write(place / "two" / "b.csv", ("nr", "body", "flag"), forum(2, 60))
    spans = [(nr, text, str(list(range(len(text.split(",")[0]))))) for nr, text, rude in forum(3) if rude]
    write(place / "three" / "c.csv", ("nr", "body", "places"), [*spans, (999, "a post without any span at all", "[]")])
    cases = [(text, "rude" if rude else "kind", "said rudely" if rude else "said kindly") for _, text, rude in forum(4)]
    write(place / "cases.csv", ("text", "is", "functionality"), cases)
    about = {"title": "posts", "by": "us", "licence": "CC0-1.0"}
    mapping = {"post_id": "nr", "text": "body"}
    flag = {"labels": {"abuse": "flag"}}
    recipe = {
        "name": "tiny",
        "purpose": "For a test.",
        "label": "abuse",
        "languages": ["en"],
        "options": {"bits": 12, "text": {"lower": True}},
        "posts": 60,
        "validation": 0.25,
        "review": {"precision": 0.7, "mix": "site"},
        "sets": {
            "one": {**about, "files": {"one/a.csv": None}, "corpus": {**mapping, **flag}},
            "two": {**about, "files": {"two/b.csv": None}, "corpus": {**mapping, **flag}},
            "three": {**about, "files": {"three/c.csv": None}, "corpus": mapping, "spans": "places"},
        },
        "unseen": {
            "cases": {
                **about,
                "files": {"cases.csv": None},
                "corpus": {
                    "text": "text",
                    "labels": {"abuse": {"column": "is", "positive": ["rude"]}},
                    "keep": ["functionality"],
                },
            }
        },
    }
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe))
    return path


def tables(path):
    recipe = Recipe.load(path)
    return recipe, {name: read(name, posts, "abuse", TAXONOMY) for name, posts in recipe.sets.items()}


def test_a_bundle_is_made_measured_and_says_what_it_is(data, tmp_path):
    lines = []
    made = build.make(data, tmp_path / "bundle", lines.append)
    loaded = Moderator.load(tmp_path / "bundle")
    assert loaded.model_id == made.model_id
    assert loaded.labels == ("abuse",)
    rude, kind, french = loaded.decide(
        [
            Post(post_id="a", text="you are a stupid idiot, shut up"),
            Post(post_id="b", text="thank you so much, see you at the station"),
            Post(post_id="c", text="Bonjour à tous, merci beaucoup pour votre aide"),
        ]
    )
    assert (rude.action, kind.action, french.action) == ("review", "allow", "review")
    assert french.unread == ("text",)
    found = loaded.card["starter"]
    assert found["unseen"]["cases"]["auroc"][0] > 0.95
    assert found["unseen"]["cases"]["posts"] == 120
    assert found["unseen"]["cases"]["harmful"] == 40
    assert set(found["sets held out"]) == {"one", "two", "three"}
    assert {row["kind"]: row["harmful"] for row in found["kinds"]["cases"]} == {
        "said rudely": True,
        "said kindly": False,
    }
    card = (tmp_path / "bundle" / "README.md").read_text(encoding="utf-8")
    for part in ("**For a test.**", "It says nothing about nudity, violence and misinformation", "CC0-1.0", "held out"):
        assert part in card
    assert lines[-1].endswith("MiB")
    again = build.make(data, tmp_path / "again")
    assert again.model_id == made.model_id  # the same posts give the same scores and the same threshold
    assert again.policy.labels == made.policy.labels


def test_every_set_and_class_counts_alike_and_no_family_crosses(data):
    recipe, sets = tables(data)
    train, validation = drawn(sets, recipe, TAXONOMY)
    y = label_matrix(train, TAXONOMY)[0][:, 0]
    names = np.array([post_id.split(" ")[0] for post_id in train["post_id"].to_pylist()])
    assert {(str(name), int(side)): int(((names == name) & (y == side)).sum()) for name in sets for side in (0, 1)} == {
        (name, side): 60 for name in sets for side in (0, 1)
    }
    assert not set(train["group"].to_pylist()) & set(validation["group"].to_pylist())
    held = label_matrix(validation, TAXONOMY)[0][:, 0]
    weight, whose = (
        validation["weight"].to_numpy(),
        np.array([x.split(" ")[0] for x in validation["post_id"].to_pylist()]),
    )
    for name in sets:
        for side in (0, 1):
            assert weight[(whose == name) & (held == side)].sum() == pytest.approx(1)


def test_a_post_with_spans_stands_beside_itself_without_them(data):
    three = tables(data)[1]["three"]
    rows = {row["post_id"]: row for row in three.to_pylist()}
    assert len(rows) == 80  # 40 posts twice; the one without spans is left out
    whole, rest = rows["three 0"], rows["three 0 rest"]
    assert (whole["labels"]["abuse"], rest["labels"]["abuse"]) == (True, False)
    assert whole["group"] == rest["group"]
    assert rest["text"] == whole["text"][whole["text"].index(",") :]


def test_halves_of_a_pair_stay_together(data, tmp_path):
    rows = [(nr, f"{'shut up' if nr % 2 else 'well done'} number {nr}", nr % 2, nr ^ 1) for nr in range(40)]
    write(tmp_path / "data" / "pairs.csv", ("nr", "body", "flag", "other"), rows)
    recipe = Recipe.load(data)
    mapping = {"post_id": "nr", "text": "body", "labels": {"abuse": "flag"}}
    changed = {"files": {"pairs.csv": None}, "corpus": mapping, "pair": "other"}
    pairs = read("pairs", recipe.sets["one"].model_copy(update=changed), "abuse", TAXONOMY)
    groups = dict(zip(pairs["post_id"].to_pylist(), pairs["group"].to_pylist(), strict=True))
    assert all(groups[f"pairs {nr}"] == groups[f"pairs {nr ^ 1}"] for nr in range(40))
    assert len(set(groups.values())) == 20


def test_a_file_that_is_not_there_is_fetched_once_and_held_to_its_digest(tmp_path, monkeypatch):
    monkeypatch.delenv("WORKBENCH_DATA", raising=False)
    asked = []

    def get(url):
        asked.append(url)
        return b"nr,body\n1,hello\n"

    origin = Origin(url="https://example.org/a.csv", sha256=hashlib.sha256(b"nr,body\n1,hello\n").hexdigest())
    first = located("one/a.csv", origin, get, tmp_path)
    assert first.read_bytes() == b"nr,body\n1,hello\n"
    assert located("one/a.csv", origin, get, tmp_path) == first
    assert asked == ["https://example.org/a.csv"]
    other = origin.model_copy(update={"sha256": "0" * 64})
    with pytest.raises(WorkbenchError, match=r"a\.csv is not what the recipe names"):
        located("one/a.csv", other, get, tmp_path)
    assert not (tmp_path / "0000000000000000").exists()


def test_without_folder_and_network_one_sentence_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("WORKBENCH_DATA", str(tmp_path))

    def get(url):
        raise OSError("no route to host")

    origin = Origin(url="https://example.org/a.csv", sha256="1" * 64)
    with pytest.raises(
        WorkbenchError, match=r"no one/a\.csv in \$WORKBENCH_DATA .* does not answer .*no route to host"
    ):
        located("one/a.csv", origin, get, tmp_path / "kept")
    with pytest.raises(WorkbenchError, match="no address to fetch"):
        located("one/a.csv", None, get, tmp_path / "kept")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"posts": 0}, "posts"),
        ({"sets": {}}, "sets"),
        ({"review": {}}, "exactly one of"),
        ({"colour": "red"}, "colour"),
        ({"name": "a b"}, "letters, digits and hyphens"),
    ],
)
def test_a_wrong_recipe_is_refused(data, change, problem):
    values = yaml.safe_load(data.read_text()) | change
    data.write_text(json.dumps(values))
    with pytest.raises(WorkbenchError, match=problem):
        Recipe.load(data)
