"""A real study on real files: what a change concerns would run again, with the reason named, and nothing else."""

from __future__ import annotations

import os
import shutil

import pytest
import yaml
from checkout import Checkout
from PIL import Image

MODELS = ["image-clip", "prior", "text-tfidf"]
ALL = set(MODELS)


def stale(house: Checkout) -> dict[str, str]:
    """Return, for each model that would run again, why."""
    lines = dict(line.split(": ", 1) for line in house.call("--dry-run").splitlines() if ": " in line)
    assert set(lines) == ALL
    return {name: said for name, said in lines.items() if said != "up to date"}


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    made = Checkout(tmp_path_factory.mktemp("house"), MODELS)
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


def swap(*pairs: tuple[str, str]):
    """Return a change of a file's text; each of the old words must be there."""

    def change(content: bytes) -> bytes:
        text = content.decode()
        for old, new in pairs:
            assert old in text
            text = text.replace(old, new)
        return text.encode()

    return change


def test_what_changes_no_number_runs_nothing_again(house, edit):
    for path in house.folder.rglob("*"):
        if path.is_file():
            os.utime(path, (1.9e9, 1.9e9))
    remark, docstring = ("class Ngrams:", "# a remark\nclass Ngrams:"), ("Counts of one kind", "How often one kind")
    described = ("An n-gram counts if", "A run of words counts if")
    local = ('pattern = {"token', 'how = {"token'), ("**pattern", "**how")
    edit("workbench/models/text/ngrams.py", swap(remark, docstring, *local))
    edit("workbench/models/text/tfidf.py", swap(described))
    edit("workbench/models/__init__.py", swap(("is not trained yet; call fit first", "must be trained: call fit")))
    tier = ("class MemoryTier:", "class Remote:\n    def look(self):\n        return 1\n\n\nclass MemoryTier:")
    edit("workbench/features/store/__init__.py", swap(tier, ("TIERS = (", 'TIERS = ("remote", ')))
    edit("workbench/evidence/audit/exact.py", swap(("lower=True", "lower=False")))
    assert stale(house) == {}


def test_a_moved_module_and_another_clone_run_nothing_again(house, tmp_path):
    clone = Checkout.at(shutil.copytree(house.folder, tmp_path / "clone"))
    assert stale(clone) == {}
    (clone.folder / "workbench/models/words").mkdir()
    (clone.folder / "workbench/models/words/__init__.py").write_text('"""Models of words."""\n')
    (clone.folder / "workbench/models/text/tfidf.py").rename(clone.folder / "workbench/models/words/ngrams.py")
    for path in [*clone.folder.rglob("*.py"), *clone.folder.rglob("*.ipynb")]:
        source = path.read_text()
        path.write_text(source.replace("models.text.tfidf", "models.words.ngrams"))
        assert "text import tfidf" not in source
    assert stale(clone) == {}
    path = clone.folder / "workbench/models/words/ngrams.py"
    path.write_text(path.read_text().replace("max_iter=10_000", "max_iter=9_999"))
    assert set(stale(clone)) == {"text-tfidf"}


def test_other_minor_versions_of_libraries_are_told_and_the_runs_kept(house):
    names = ("ftfy", "pillow", "transformers")
    for name in names:  # found first by Python, as a newly installed one would be
        folder = house.folder / f"{name}-98.7.6.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 98.7.6\n")
    try:
        lines, redone = house.call("--dry-run").splitlines(), house.call("--dry-run", "--stale-libraries").splitlines()
    finally:
        for name in names:
            shutil.rmtree(house.folder / f"{name}-98.7.6.dist-info")
    assert [line.split(":")[0] for line in lines] == [line.split(":")[0] for line in redone] == MODELS
    for line, again in zip(lines, redone, strict=True):
        assert ": up to date, but made with " in line
        assert all(f"made with {name} " in line and "(now 98.7)" in line for name in names)
        assert line.endswith("; --stale-libraries redoes it")
        assert ": would run (made with ftfy " in again


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
