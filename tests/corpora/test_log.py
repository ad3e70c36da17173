"""A corpus from the records: exactly what was scored, and what people said before a point in time, nothing later."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from workbench import corpora
from workbench.corpora import log
from workbench.corpora.log import SourceOptions, build, digest, families
from workbench.errors import WorkbenchError
from workbench.preprocessing.media import content
from workbench.records import Entry, Records, by_value
from workbench.schema import INPUTS, Post, Taxonomy, corpus_schema, inputs

TAXONOMY = Taxonomy.load()
START = datetime(2026, 3, 1, tzinfo=UTC)


def at(hours: float) -> datetime:
    return START + timedelta(hours=hours)


def score(records: Records, post: Post, hours: float, **changed) -> None:
    features, contents = by_value(post)
    values = {
        "identity": f"{post.post_id} {hours}", "service": "post", "post_id": post.post_id, "at": at(hours),
        "features": features, "assessment": {"scores": {"abuse": 0.5}}, "decision": {"action": "review"},
        "model_id": "m-1", "policy_id": "p@1",
    }  # fmt: skip
    assert records.record(Entry(**values | changed), contents)


def words(post_id: str, text: str) -> Post:
    return Post(post_id=post_id, text=text)


@pytest.fixture
def folder(tmp_path) -> Path:
    Records(tmp_path / "records").close()
    return tmp_path / "records"


@pytest.fixture
def records(folder):
    with Records(folder) as opened:
        yield opened


def table(folder: Path, **options) -> pa.Table:
    return build(SourceOptions.parse({"folder": str(folder), **options}, "corpus"), TAXONOMY)


def labels(folder: Path, label: str = "abuse", **options) -> dict[str, bool | None]:
    found = table(folder, **options)
    return dict(zip(found["post_id"].to_pylist(), (one[label] for one in found["labels"].to_pylist()), strict=True))


def test_the_table_is_what_was_scored_field_by_field(records, folder):
    posts = [
        Post(
            post_id=f"p{number}",
            text=None if number % 3 == 1 else f"words {number}\x00 \u202e 😀\r\n",
            image={"bytes": b"picture %d" % number} if number % 3 else None,
            video={"bytes": b"clip %d" % number} if number % 5 == 4 else None,
            author={"id": f"a{number % 4}", "account_age_days": number / 7, "posts": number} if number % 2 else None,
            engagement={"reports": number, "reactions": 0} if number % 4 else None,
            community="cats" if number % 2 else None,
            language="en",
            region="DE" if number % 3 else None,
            created_at=at(number) + timedelta(microseconds=number) if number % 2 else None,
        )
        for number in range(60)
    ]
    for number, post in enumerate(posts):
        score(records, post, number)
    found = table(folder)
    assert found.schema.remove(found.schema.get_field_index("meta")) == corpus_schema(TAXONOMY)
    expected = pa.Table.from_pylist([post.model_dump() for post in posts], schema=INPUTS)
    for name in INPUTS.names:
        ours, theirs = found[name].to_pylist(), expected[name].to_pylist()
        if name in ("image", "video"):
            ours, theirs = ([content(one, name) for one in side] for side in (ours, theirs))
        assert ours == theirs, name
    assert inputs(found).schema == INPUTS
    meta = found["meta"].to_pylist()[7]
    assert meta == {
        "service": "post", "model_id": "m-1", "policy_id": "p@1", "action": "review", "scored_at": at(7),
    }  # fmt: skip


def test_labels_are_what_people_said_last_and_the_rest_is_unknown(records, folder):
    for number in range(5):
        score(records, words(f"p{number}", f"words {number}"), 0)
    records.event("p0", "label", at(1), {"abuse": True, "nudity": False}, "ann")
    records.event("p0", "label", at(2), {"abuse": False}, "bob")
    records.event("p1", "label", at(1), {"abuse": True}, "ann")
    records.event("p1", "label", at(2), {"abuse": None}, "ann")  # taken back
    records.event("p2", "report", at(1), {"labels": ["abuse"]}, "eve")  # a report is no verdict
    records.event("p3", "removal", at(1), {"labels": ["abuse"]}, "ann")
    records.event("p4", "removal", at(1), {"labels": ["abuse"]})  # automatic: a model does not learn from itself
    records.event("elsewhere", "label", at(1), {"abuse": True}, "ann")
    assert labels(folder) == {"p0": False, "p1": None, "p2": None, "p3": True, "p4": None}
    assert labels(folder, "nudity")["p0"] is False
    assert set(labels(folder, "violence").values()) == {None}


def test_appeals_decide_about_removals(records, folder):
    for number in range(4):
        score(records, words(f"p{number}", f"words {number}"), 0)
        records.event(f"p{number}", "removal", at(1), {"labels": ["abuse"]}, None if number % 2 else "ann")
    records.event("p0", "appeal", at(2), {"decision": "overturned"}, "bob")
    records.event("p1", "appeal", at(2), {"decision": "overturned"}, "bob")  # a person looked at an automatic one
    records.event("p2", "appeal", at(2), {})  # still open
    records.event("p3", "appeal", at(2), {"decision": "upheld", "labels": ["abuse", "violence"]}, "bob")
    assert labels(folder) == {"p0": False, "p1": False, "p2": True, "p3": True}
    assert labels(folder, "violence")["p3"] is True


def test_nothing_later_than_the_point_in_time_is_known(records, folder):
    for number in range(3):
        score(records, words(f"p{number}", f"words {number}"), number)
    records.event("p0", "label", at(1), {"abuse": True}, "ann")
    records.event("p0", "label", at(5), {"abuse": False}, "ann")
    assert labels(folder) == {"p0": False, "p1": None, "p2": None}
    assert labels(folder, until=at(5)) == {"p0": True, "p1": None, "p2": None}  # before, not at
    assert labels(folder, until=at(2)) == {"p0": True, "p1": None}
    assert labels(folder, since=at(1), until=at(2)) == {"p1": None}
    assert labels(folder, until=date(2026, 3, 2)) == labels(folder, until="2026-03-02T00:00:00+00:00") == labels(folder)
    assert labels(folder, until="2026-03-01T02:00:00") == labels(folder, until=at(2))


def test_versions_of_a_post_are_one_group_and_a_verdict_is_about_what_was_there(records, folder):
    score(records, words("p", "first"), 0)
    score(records, words("p", "second"), 2)
    score(records, words("p", "second"), 4, model_id="m-2")  # scored again by another model
    score(records, words("q", "FIRST "), 5)  # somebody else posts the first text
    score(records, words("r", "unlike"), 6)
    records.event("p", "label", at(1), {"abuse": True}, "ann")
    records.event("p", "label", at(3), {"abuse": False}, "ann")
    assert labels(folder) == {"p": False, "q": None, "r": None}
    assert labels(folder, versions="all") == {
        "p version 1": True, "p version 2": False, "p": False, "q": None, "r": None,
    }  # fmt: skip
    groups = table(folder, versions="all")["group"].to_pylist()
    assert len(set(groups[:4])) == 1
    assert groups[4] != groups[0]
    assert labels(folder, until=at(2)) == {"p": True}
    score(records, words("s", "judged before it was scored"), 9)
    records.event("s", "label", at(8), {"abuse": True}, "ann")
    assert labels(folder)["s"] is True


def test_families_join_posts_over_contents_and_contents_over_posts():
    assert families(["p", "p", "q", "r"], ["a", "b", "b", None]) == ["a", "a", "a", "post r"]
    assert families(["p", "q", "r", "q"], ["a", "b", "c", "a"]) == ["a", "a", "c", "a"]  # q joins them afterwards
    assert families(["p", "q"], [None, None]) == ["post p", "post q"]
    assert families([], []) == []


def test_deleted_posts_are_absent(records, folder):
    for name in ("p", "q"):
        score(records, Post(post_id=name, text="same", image={"bytes": b"same"}), 0)
    before = digest(SourceOptions(folder=str(folder)), TAXONOMY)
    records.delete("post", "p")
    assert table(folder)["post_id"].to_pylist() == ["q"]
    assert content(table(folder)["image"][0].as_py()) == b"same"
    assert digest(SourceOptions(folder=str(folder)), TAXONOMY) != before
    records.delete("post", "q")
    with pytest.raises(WorkbenchError, match="has no posts of service 'post' in that time"):
        table(folder)


def test_the_digest_is_by_content(records, folder, tmp_path):
    options = SourceOptions(folder=str(folder), until=at(10))
    score(records, words("p", "words"), 0)
    digests = [digest(options, TAXONOMY)]
    records.event("p", "report", at(1), by="eve")
    records.event("p", "label", at(11), {"abuse": True}, "ann")
    score(records, words("late", "words"), 12)
    score(records, words("p", "words"), 1, service="text", identity="other service")
    assert digest(options, TAXONOMY) == digests[0]  # none of that is in the table
    records.event("p", "label", at(1), {"abuse": True}, "ann")
    digests.append(digest(options, TAXONOMY))
    score(records, words("q", "words"), 2)
    digests.append(digest(options, TAXONOMY))
    digests.append(digest(options, Taxonomy(labels=TAXONOMY.labels[:2])))
    assert len(set(digests)) == 4
    other = tmp_path / "elsewhere"
    folder.rename(other)
    assert digest(SourceOptions(folder=str(other), until=at(10)), TAXONOMY) == digests[2]


def test_events_that_speak_of_other_labels(records, folder):
    score(records, words("p", "words"), 0)
    records.event("p", "label", at(1), {"harassment": True}, "ann")
    with pytest.raises(WorkbenchError, match=r"an event on post 'p': unknown label 'harassment'.* say in `labels`"):
        table(folder)
    assert labels(folder, labels={"abuse": ["harassment", "abuse"]}) == {"p": True}
    with pytest.raises(WorkbenchError, match="unknown label 'hate'; the choices are: abuse"):
        table(folder, labels={"hate": ["hate"]})


def test_it_is_a_source_like_any_other(records, folder, tmp_path, monkeypatch):
    monkeypatch.setattr(log, "CHUNK", 2)
    for number in range(5):
        score(records, words(f"p{number}", f"words {number}"), number)
    config = {"source": "log", "folder": str(folder), "until": at(99)}
    found = corpora.load(config, TAXONOMY, cache=tmp_path / "cache")
    assert found.table["text"].to_pylist() == [f"words {number}" for number in range(5)]
    assert len(set(found.table["group"].to_pylist())) == 5
    with pytest.raises(WorkbenchError, match="there are no records in"):
        corpora.load(config | {"folder": str(tmp_path / "none")}, TAXONOMY)
    with pytest.raises(WorkbenchError, match="corpus source 'log': until"):
        corpora.load(config | {"until": "yesterday"}, TAXONOMY)
