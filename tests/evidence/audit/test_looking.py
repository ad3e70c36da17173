"""Findings are looked for once, kept by what they depend on, and recorded with a study."""

from __future__ import annotations

import datetime as dt
import json
import os

import pytest
from audited_posts import LONG, TAXONOMY, drawing, encoded, posts
from code_tree import Tree

from workbench.evidence import audit
from workbench.evidence.audit import looking
from workbench.fingerprint import closure


def test_a_finding_is_kept_by_what_it_depends_on(tmp_path):
    sets = {"train": posts({"text": LONG}), "test": posts({"text": LONG + " more"})}
    first = audit.look(sets, TAXONOMY, ["near_text", "group"], key={"data": 1}, cache=tmp_path)
    assert list(first) == ["near_text"]
    assert first["near_text"]["overlap"] == 1
    empty = {name: posts() for name in sets}
    assert audit.look(empty, TAXONOMY, ["near_text"], key={"data": 1}, cache=tmp_path) == first
    (file,) = tmp_path.iterdir()
    file.write_text('{"near_te')  # torn: looked for again, and kept again
    assert audit.look(sets, TAXONOMY, ["near_text"], key={"data": 1}, cache=tmp_path) == first
    assert audit.look(empty, TAXONOMY, ["near_text"], key={"data": 1}, cache=tmp_path) == first
    assert audit.look(empty, TAXONOMY, ["near_text"], key={"data": 2}, cache=tmp_path)["near_text"]["overlap"] == 0


@pytest.mark.parametrize(
    ("module", "old", "new", "anew"),
    [
        ("corpora.splits", "part == name", "part != name", ["near_image", "near_text"]),
        ("corpora.synthetic.phrases", "import numpy as np", "import numpy as np\n\nBIG = 1", []),
        ("corpora.synthetic.pictures", "rng.integers(45, 93)", "rng.integers(45, 99)", ["near_image", "near_text"]),
        ("corpora.reading.delimited", "csv.reader(head", "csv.DictReader(head", ["near_image", "near_text"]),
        (
            "preprocessing.image.decoding",
            "max_ratio: float = Field(50",
            "max_ratio: float = Field(51",
            ["near_image", "near_text"],
        ),
        ("evidence.audit.likeness.text_reuse", "PART = 4, 0.8", "PART = 4, 0.9", ["near_image", "near_text"]),
        ("evidence.audit.likeness.hashes", "DISTANCE, LOOSE = 32, 64", "DISTANCE, LOOSE = 30, 64", ["near_image"]),
    ],
)
def test_findings_are_as_old_as_the_code_that_made_and_divided_the_posts(monkeypatch, module, old, new, anew):
    def keys():
        key = audit.depends({"corpus": "d"}, {}, TAXONOMY)
        return {name: {"key": key, **looking.made_by(name)} for name in ("near_image", "near_text")}

    tree = Tree()
    before = keys()
    library = tree.edit(module, old, new).library()
    monkeypatch.setattr(closure, "_here", lambda: library)
    after = keys()
    assert [name for name in before if before[name] != after[name]] == anew


def test_findings_that_nobody_asks_for_any_more_are_trimmed(tmp_path, monkeypatch):
    sets = {"train": posts({"text": LONG}), "test": posts({"text": LONG + " more"})}
    monkeypatch.setattr(looking, "KEEP", 1000)
    for number in range(9):
        audit.look(sets, TAXONOMY, ["near_text"], key={"data": number}, cache=tmp_path)
        audit.look(sets, TAXONOMY, ["near_text"], key={"data": 0}, cache=tmp_path)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 1000


def test_what_a_study_names_stops_it():
    found = audit.look({"train": posts({"text": LONG}), "test": posts({"text": LONG + " x"})}, TAXONOMY, ["near_text"])
    with pytest.raises(audit.LeakFound, match="1 near-duplicate text in 2 posts"):
        audit.hold(found, audit.LeakOptions(fail_on=("near_text",)))
    audit.hold(found, audit.LeakOptions(fail_on=("near_text",), allow={"near_text": "kept as it was published"}))


def test_options_and_progress_reach_what_looks():
    late = {
        "train": posts({"created_at": dt.datetime(2024, 1, 2)}),
        "test": posts({"created_at": dt.datetime(2024, 1, 1)}),
    }
    for given, count in (({}, 0), ({"later_tests": True}, 1), ({"later_tests": False}, 0)):
        assert audit.look(late, TAXONOMY, ["time"], **given)["time"]["overlap"] == count
    sets = {"train": posts({"image": encoded(drawing(1))}), "test": posts({"image": encoded(drawing(2))})}
    done = []
    found = audit.look(sets, TAXONOMY, ["template", "near_image", "text"], progress=lambda *given: done.append(given))
    assert list(found) == ["near_image", "template"]  # they come of one look
    assert done == [("near_image", 2, 2)]
    found = audit.look(sets, TAXONOMY, ["shortcut", "near_image", "near_video", "time"])
    assert list(found) == ["near_image", "template", "near_video", "still", "shortcut", "time"]


def test_findings_are_kept_where_folders_are_missing_and_in_the_usual_one(tmp_path, monkeypatch):
    sets = {"train": posts({"text": LONG}), "test": posts({"text": LONG + " more"})}
    monkeypatch.setattr(looking, "FOLDER", tmp_path / "usual")
    first = audit.look(sets, TAXONOMY, ["near_text"], key={"data": 1}, cache=tmp_path / "a/b")
    audit.look(sets, TAXONOMY, ["near_text"], key={"data": 1})
    assert audit.look(sets, TAXONOMY, ["near_text"]) == first
    assert len(list((tmp_path / "usual").iterdir())) == len(list((tmp_path / "a/b").iterdir())) == 1
    assert looking.KEEP == 67_108_864
    (kept,) = (tmp_path / "a/b").iterdir()
    os.utime(kept, (1, 1))
    audit.look(sets, TAXONOMY, ["near_text"], key={"data": 1}, cache=tmp_path / "a/b")
    assert kept.stat().st_mtime > 1  # it was asked for just now


def test_what_was_recorded_holds_for_the_same_posts_and_code(tmp_path, monkeypatch):
    findings, digests = {"time": {"overlap": 1}, "near_text": {"overlap": 2}}, {"corpus": "d"}
    looking.record(tmp_path, digests, findings)
    assert looking.recorded(tmp_path, digests) == findings
    for other in ({}, None, {"corpus": "e"}):
        assert looking.recorded(tmp_path, other) == {}
    assert looking.recorded(tmp_path / "nowhere", digests) == {}
    made_by = looking.made_by
    monkeypatch.setattr(looking, "made_by", lambda name: "other" if name == "time" else made_by(name))
    assert looking.recorded(tmp_path, digests) == {"near_text": {"overlap": 2}}
    monkeypatch.setattr(looking, "divided_by", lambda **_: "other")
    assert looking.recorded(tmp_path, digests) == {}
    old = {"digests": digests, "found": findings}
    (tmp_path / looking.NAME).write_text(json.dumps(old))
    assert looking.recorded(tmp_path, digests) == findings


def test_a_split_is_part_of_what_findings_depend_on():
    assert audit.depends({}, None, TAXONOMY)["split"] == {}
    assert audit.depends({}, {"seed": 1}, TAXONOMY)["split"] == {"seed": 1}


def test_what_is_seen_through_is_tried_once_for_the_same_posts(tmp_path):
    sets, done = {"train": posts({"text": LONG}, {"image": encoded(drawing(1))}), "test": posts({"text": "other"})}, []
    kept = {"key": {"data": 1}, "cache": tmp_path, "progress": lambda *given: done.append(given)}
    first = audit.seen_through(sets, ["near_text", "template", "time"], **kept)
    assert {name: len(rows) for name, rows in first.items()} == {"near_text": 9, "near_image": 18}
    assert {row["of"] for rows in first.values() for row in rows} == {1}
    steps = [("edits", k, total) for total in (9, 18) for k in range(1, total + 1)]
    assert sorted(done) == sorted(steps)
    assert audit.seen_through(sets, ["near_image", "near_text"], **kept) == first
    assert sorted(done) == sorted(steps)  # nothing was tried again
    both = audit.seen_through(sets, ["near_image", "still"])
    assert {name: len(rows) for name, rows in both.items()} == {"near_image": 18, "near_video": 0, "still": 0}
    assert audit.seen_through(sets, ["time", "text"]) == {}
