"""A real study on real files: what a change concerns would run again, with the reason named, and nothing else."""

from __future__ import annotations

import os

import pytest
import yaml
from house import House
from PIL import Image

ALL = {"prior", "text-tfidf", "image-clip"}


def stale(house: House) -> dict[str, str]:
    """Return, for each model that would run again, why."""
    lines = dict(line.split(": ", 1) for line in house.call("--dry-run").splitlines() if ": " in line)
    assert set(lines) == ALL
    return {name: said for name, said in lines.items() if said != "up to date"}


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    made = House(tmp_path_factory.mktemp("house"), sorted(ALL))
    made.call("--jobs", "2")
    return made


@pytest.fixture
def edit(house):
    """Change a file for one test; afterwards it is as it was."""
    kept = {}

    def change(name: str, change) -> None:
        path = house.folder / name
        kept[path] = path.read_bytes()
        path.write_bytes(change(kept[path]))

    yield change
    for path, content in kept.items():
        path.write_bytes(content)


def test_a_second_run_does_nothing(house):
    assert stale(house) == {}
    assert "0 of 3 runs to do" in house.call()


def test_touched_files_and_edited_comments_run_nothing_again(house, edit):
    for path in house.folder.rglob("*"):
        if path.is_file():
            os.utime(path, (1.9e9, 1.9e9))
    edit("workbench/models/text/tfidf.py", lambda source: b"# a remark\n" + source)
    assert stale(house) == {}


def test_an_edited_line_concerns_the_models_that_reach_it(house, edit):
    edit("workbench/models/text/tfidf.py", lambda source: source + b"\nEDITED = 1\n")
    assert stale(house) == {"text-tfidf": "would run (module workbench/models/text/tfidf.py changed)"}


def test_a_changed_parameter_concerns_its_model(house, edit):
    def strengthen(content: bytes) -> bytes:
        study = yaml.safe_load(content)
        next(m for m in study["models"] if m["name"] == "text-tfidf")["options"] = {"min_df": 1}
        return yaml.safe_dump(study).encode()

    edit("experiments/mini.yaml", strengthen)
    (name, reason), *others = stale(house).items()
    assert (name, others) == ("text-tfidf", [])
    assert "parameter options.min_df" in reason


def test_a_changed_picture_concerns_all_that_were_trained_on_its_corpus(house, edit):
    picture = sorted((house.folder / "data" / "sample" / "images").iterdir())[0]

    def repaint(_: bytes) -> bytes:
        Image.new("RGB", (64, 64), "teal").save(house.folder / "teal.jpg")
        return (house.folder / "teal.jpg").read_bytes()

    edit(str(picture.relative_to(house.folder)), repaint)
    reasons = stale(house)
    assert set(reasons) == ALL
    assert all(reason == "would run (data corpus changed)" for reason in reasons.values())
