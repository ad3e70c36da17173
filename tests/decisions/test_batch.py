"""`workbench score`: every row has its decision, in order, whatever it holds; the file is there whole or not at all."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from oracles import write_jsonl
from typer.testing import CliRunner

from workbench.cli import app
from workbench.corpora import files, reading
from workbench.decisions import batch
from workbench.errors import WorkbenchError
from workbench.features.store import FeatureStore, job
from workbench.schema import Taxonomy

LABELS = Taxonomy.load().names
COLUMNS = ["post_id", "action", *(f"p_{label}" for label in LABELS), "reasons", "unread", "unseen", "due_at"]
COLUMNS += ["model_id", "policy_id", "error"]


def read(path) -> list[dict]:
    if path.suffix == ".parquet":
        return pq.read_table(path).to_pylist()
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def score(bundle, path, out: str = "out.jsonl", **columns) -> list[dict]:
    out = path.with_name(out)
    batch.score(bundle, path, out, device="cpu", columns=columns)
    return read(out)


def lines(tmp_path, *rows: bytes | str | dict):
    path = tmp_path / "posts.jsonl"
    texts = [
        row if isinstance(row, bytes) else (row if isinstance(row, str) else json.dumps(row)).encode() for row in rows
    ]
    path.write_bytes(b"\n".join(texts) + b"\n")
    return path


@pytest.fixture
def table(posts) -> pa.Table:
    return pa.table({"post_id": posts["post_id"], "text": posts["text"]}).slice(800, 30)


@pytest.mark.parametrize("out", ["out.csv", "out.jsonl", "out.parquet"])
@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "parquet"])
def test_every_format_gives_what_the_moderator_gives(bundle, words, posts, table, tmp_path, kind, out):
    path = tmp_path / f"posts.{kind}"
    if kind == "parquet":
        pq.write_table(table, path)
    elif kind == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in table.to_pylist()))
    else:
        with open(path, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, delimiter="," if kind == "csv" else "\t")
            writer.writerows([table.column_names, *(list(row.values()) for row in table.to_pylist())])
    found = score(bundle, path, out)
    assert list(found[0]) == COLUMNS
    assert [row["post_id"] for row in found] == table["post_id"].to_pylist()
    with_text = [n for n, text in enumerate(table["text"].to_pylist()) if text]
    expected = words.decide([post for post in table_posts(table) if post is not None])
    for n, decision in zip(with_text, expected, strict=True):
        assert found[n]["action"] == decision.action
        assert float(found[n]["p_abuse"]) == pytest.approx(decision.scores["abuse"], abs=1e-9)
    for n in set(range(len(found))) - set(with_text):
        assert found[n]["action"] == "review"
        assert "at least one of text, image and video" in found[n]["error"]


def table_posts(table):
    from workbench.schema import Post

    return [Post(**row) if row["text"] else None for row in table.to_pylist()]


def test_an_exported_corpus_is_scored_with_its_pictures_and_clips(vision, posts, tmp_path):
    vision.save(tmp_path / "bundle")
    some = posts.slice(800, 40)
    found = score(tmp_path / "bundle", write_jsonl(some, tmp_path / "export"))
    for row, decision in zip(found, vision.decide(some), strict=True):
        assert (row["post_id"], row["action"], row["error"]) == (decision.post_id, decision.action, None)
        assert row["p_nudity"] == pytest.approx(decision.scores["nudity"], abs=1e-4)


def test_what_is_stored_is_not_computed_again_and_nothing_is_written(vision, posts, tmp_path):
    vision.save(tmp_path / "bundle")
    some, folder = posts.slice(800, 20), tmp_path / "features"
    path = write_jsonl(some, tmp_path / "export")
    job.build(FeatureStore(folder, "cpu"), [some.slice(0, 10)], ["tiny"])
    before = sorted(folder.rglob("*"))
    done = batch.score(tmp_path / "bundle", path, tmp_path / "out.jsonl", device="cpu", columns={}, features=folder)
    assert done.tiers["disk"] >= 10
    assert done.tiers["computed"] >= 8
    assert f"features: {done.tiers['disk']} from disk, {done.tiers['computed']} computed" in str(done)
    assert sorted(folder.rglob("*")) == before
    for row, decision in zip(read(tmp_path / "out.jsonl"), vision.decide(some), strict=True):
        assert row["p_nudity"] == pytest.approx(decision.scores["nudity"], abs=1e-4)


def test_what_a_late_line_brings_for_the_first_time_is_seen(bundle, tmp_path):
    plain = {"post_id": "plain", "text": "our garden needs rain again"}
    (tmp_path / "broken.png").write_bytes(b"no picture")
    found = score(bundle, lines(tmp_path, *[plain] * (batch.CHUNK + 1), plain | {"image": "broken.png"}))
    assert found[0]["unseen"] == []
    assert found[-1]["unseen"] == ["image"]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("{not json", "not valid JSON"),
        ("[1, 2]", "holds a list, not an object"),
        ("[" * 100_000, "too deep or too long"),
        ({"post_id": "x"}, "at least one of text, image and video"),
        ({"post_id": "x", "text": "\u200b "}, "at least one of text, image and video"),
        ({"post_id": "x", "text": ["a"]}, "the text column holds list"),
        ({"post_id": "x", "text": "a", "author": {"age": 3}}, "column 'author' holds objects"),
        ({"post_id": "x", "text": "a", "region": ["here"]}, "column 'region' holds lists"),
        ({"post_id": "x", "text": "a", "image": "https://x.org/a.png"}, "nothing is fetched"),
        ({"post_id": "x", "text": "a", "image": "../../etc/passwd"}, "leaves the folder"),
        ({"post_id": "x", "text": "a", "image": "/etc/passwd"}, "leaves the folder"),
        ({"post_id": "x", "text": "a", "image": 3}, "must hold paths, bytes"),
    ],
)
def test_a_bad_row_is_one_marked_row(bundle, tmp_path, row, said):
    good = {"post_id": "good", "text": "our garden needs rain again"}
    found = score(bundle, lines(tmp_path, good, row, good))
    assert [one["post_id"] for one in found] == ["good", "x" if isinstance(row, dict) else "row-1", "good"]
    assert (found[1]["action"], found[1]["p_abuse"]) == ("review", None)
    assert said in found[1]["error"]
    assert "\n" not in found[1]["error"]
    assert found[0]["error"] is found[2]["error"] is None


def test_bad_rows_of_a_csv(bundle, tmp_path):
    path = tmp_path / "posts.csv"
    path.write_bytes(b'\xef\xbb\xbfid,text\r\na,one\r\nb\r\nc,caf\xe9\r\n\r\nd,"two\nlines"\r\ne,a\x00b\r\n')
    found = score(bundle, path, "out.csv")
    assert [row["post_id"] for row in found] == ["a", "b", "c", "d", "e"]
    assert [row["error"] for row in found] == [
        "",
        "it has 1 cells, but the header names 2 columns",
        "it is not UTF-8; save the file as UTF-8, or set `encoding`",
        "",
        "",
    ]


def test_a_missing_picture_is_unread_and_the_words_are_scored(vision, tmp_path):
    vision.save(tmp_path / "bundle")
    row = {"post_id": "x", "text": "our garden needs rain again", "image": "gone.jpg"}
    (found,) = score(tmp_path / "bundle", lines(tmp_path, row))
    assert (found["action"], found["unread"], found["error"]) == ("review", ["image"], None)
    assert found["p_abuse"] is not None


def test_columns_may_have_other_names(bundle, tmp_path):
    path = lines(tmp_path, {"key": "k", "body": "our garden needs rain again", "text": "ignored"})
    (found,) = score(bundle, path, text="body", post_id="key")
    assert found["post_id"] == "k"
    assert batch.mapping("text=body, post_id = key,") == {"text": "body", "post_id": "key"}


def test_a_text_may_stand_in_several_columns(bundle, tmp_path):
    title, body = "our garden needs rain", "again and again"
    path = lines(tmp_path, {"id": 1, "t": title, "b": body}, {"id": 2, "t": title, "b": "None"}, {"id": 3, "b": body})
    several = [row["p_abuse"] for row in score(bundle, path, text="t+b")]
    path = lines(tmp_path, *({"id": n, "text": text} for n, text in enumerate((f"{title}\n{body}", title, body), 1)))
    assert several == [row["p_abuse"] for row in score(bundle, path)]
    with pytest.raises(WorkbenchError, match="unknown column 'c'"):
        score(bundle, path, text="text+c")


@pytest.mark.parametrize(
    ("given", "said"), [("text", "not of the form"), ("txt=body", "did you mean 'text'"), ("text=", "not of the form")]
)
def test_a_mapping_that_is_none_is_one_sentence(given, said):
    with pytest.raises(WorkbenchError, match=said):
        batch.mapping(given)


@pytest.mark.parametrize(
    ("name", "content", "out", "columns", "said"),
    [
        ("posts.jsonl", '{"body": "a"}\n', "o.csv", {}, "no column text, image or video .it has body."),
        ("posts.jsonl", '{"text": "a"}\n', "o.csv", {"text": "txt"}, "did you mean 'text'"),
        ("posts.csv", "", "o.csv", {}, "is empty; check that it is the right file"),
        ("posts.doc", "x", "o.csv", {}, "unknown file ending"),
        ("posts.jsonl", '{"text": "a"}\n', "o.txt", {}, "unknown file ending"),
        ("posts.parquet", "no parquet", "o.csv", {}, "cannot be read as Parquet"),
        ("posts.jsonl", '{"text": "a"}\n', "posts.jsonl", {}, "is the file of posts itself"),
        ("posts.jsonl", '{"text": "a"}\n', "no/such/folder/o.csv", {}, "cannot write"),
    ],
)
def test_what_cannot_be_used_at_all_is_one_sentence(bundle, tmp_path, name, content, out, columns, said):
    (tmp_path / name).write_text(content)
    with pytest.raises(WorkbenchError, match=said) as told:
        batch.score(bundle, tmp_path / name, tmp_path / out, device="cpu", columns=columns)
    assert "\n" not in str(told.value)
    with pytest.raises(WorkbenchError, match="check the path"):
        batch.score(bundle, tmp_path / "gone.csv", tmp_path / "o.csv", device="cpu", columns={})


def test_rows_are_held_a_chunk_at_a_time(bundle, tmp_path, monkeypatch):
    monkeypatch.setattr(batch, "CHUNK", 10)
    sizes = []
    decided = batch._decided
    monkeypatch.setattr(batch, "_decided", lambda m, rows, *more: sizes.append(len(rows)) or decided(m, rows, *more))
    found = score(bundle, lines(tmp_path, *({"text": f"words {n}"} for n in range(35))))
    assert sizes == [10, 10, 10, 5]
    assert [row["post_id"].rsplit("-", 1)[0] for row in found] == [f"row-{n}" for n in range(35)]


def break_on_poison(monkeypatch):
    decide = batch.Moderator.decide

    def breaking(self, posts):
        if any("poison" in post.text for post in posts):
            raise RuntimeError("the model broke")
        return decide(self, posts)

    monkeypatch.setattr(batch.Moderator, "decide", breaking)


def test_one_post_that_breaks_the_model_does_not_take_the_others(bundle, tmp_path, monkeypatch):
    break_on_poison(monkeypatch)
    found = score(bundle, lines(tmp_path, {"text": "one"}, {"text": "poison"}, {"text": "two"}))
    assert [row["error"] for row in found] == [None, "the model failed", None]
    assert found[1]["action"] == "review"


def test_a_killed_run_leaves_the_earlier_file(bundle, tmp_path):
    path, out = lines(tmp_path, *({"text": f"words {n}"} for n in range(200_000))), tmp_path / "out.csv"
    out.write_text("earlier")
    code = "import sys; from workbench.cli import app; app(sys.argv[1:])"
    command = [sys.executable, "-c", code, "score", str(bundle), str(path), "-o", str(out), "--device", "cpu"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    deadline = time.monotonic() + 500
    while not any(half.stat().st_size > 100_000 for half in tmp_path.glob(".out.csv.*.tmp")):
        assert process.poll() is None, process.stdout.read().decode()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert out.read_text() == "earlier"


def test_the_command_says_what_it_did(bundle, tmp_path):
    path = lines(tmp_path, {"text": "our garden needs rain again"}, "{")
    done = CliRunner().invoke(app, ["score", str(bundle), str(path), "-o", str(tmp_path / "o.csv"), "--device", "cpu"])
    assert done.exit_code == 0, done.output
    assert "2 posts in" in done.output
    assert "1 rows could not be read" in done.output
    failed = CliRunner().invoke(app, ["score", str(tmp_path / "no"), str(path), "-o", str(tmp_path / "o.csv")])
    assert failed.exit_code == 2
    assert "holds no bundle" in failed.output


def test_a_summary_counts_what_was_done(bundle, tmp_path):
    path = lines(tmp_path, {"text": "our garden needs rain"}, "{", {"text": "the rain has come"}, "[]")
    done = batch.score(bundle, path, tmp_path / "o.jsonl", device="cpu", columns={})
    assert (sum(done.actions.values()), done.errors, done.out) == (4, 2, tmp_path / "o.jsonl")
    assert done.actions["review"] >= 2
    assert 0 <= done.seconds < 60
    some = batch.Summary({"allow": 2003, "remove": 1}, 0, 2.0, done.out, {})
    assert str(some) == f"2,004 posts in 2.0 s (1,002 a second): 2,003 allow, 0 review, 1 remove\n{done.out}"
    idle = some._replace(errors=1, seconds=0.0, idle={"abuse": "never"})
    assert str(idle) == (
        "2,004 posts in 0.0 s (at once): 2,003 allow, 0 review, 1 remove; 1 rows could not be read, see `error`\n"
        f"no score on 'abuse' leads to anything: never\n{done.out}"
    )


def test_rows_without_a_name_keep_their_number_where_the_model_fails(bundle, words, tmp_path, monkeypatch):
    break_on_poison(monkeypatch)
    monkeypatch.setattr(batch, "CHUNK", 3)
    rows = [{"text": f"{'poison' if n in (2, 4) else 'rain'} {n}"} for n in range(6)]
    found = score(bundle, lines(tmp_path, *rows))
    assert [row["post_id"].rsplit("-", 1)[0] for row in found] == [f"row-{n}" for n in range(6)]
    assert [row["error"] is None for row in found] == [n not in (2, 4) for n in range(6)]
    (reason,) = found[2]["reasons"]
    assert reason["kind"] == "unread"
    said = "The row could not be read: the model failed on this post; a person must look."
    assert reason["detail"] == said
    assert (found[2]["model_id"], found[2]["policy_id"]) == (words.model_id, words.policy.id)


def test_a_post_has_the_same_id_in_decisions_and_in_a_corpus(bundle, tmp_path):
    rows = [{"id": 10.0, "text": "a"}, {"id": 0, "text": "b"}, {"id": "007", "text": "c"}, {"text": "d"}]
    rows += [{"id": 2**64 + 1, "text": 911, "author": {"id": 2**70}}, {"id": "9" * 19, "text": True}]
    path = lines(tmp_path, *rows)
    built = files.build(files.SourceOptions(path=str(path), post_id="id", text="text"), Taxonomy.load())
    assert [row["post_id"] for row in score(bundle, path)] == built["post_id"].to_pylist()
    assert built["post_id"].to_pylist()[:3] == ["10", "0", "007"]
    assert built["post_id"].to_pylist()[4:] == [str(2**64 + 1), "9" * 19]
    assert built["text"].to_pylist()[4:] == ["911", "true"]


def test_a_time_that_cannot_be_read_costs_the_time_alone(bundle, tmp_path):
    row = {"id": "x", "text": "our garden needs rain", "created_at": "yesterday"}
    (found,) = score(bundle, lines(tmp_path, row))
    assert found["p_abuse"] is not None
    assert found["error"].startswith("scored without its time: ")


def test_a_broken_line_keeps_its_id(bundle, tmp_path):
    path = tmp_path / "posts.csv"
    path.write_text('id,text,who\nt3_a,one, two,ann\nt3_b,"one" two,bob\nt3_c,"three, four",eve\n')
    found = score(bundle, path)
    assert [row["post_id"] for row in found] == ["t3_a", "t3_b", "t3_c"]
    assert [row["error"] is None for row in found] == [False, False, True]
    mixed = '{"id": "t3_e", "text": "café"}'
    found = score(
        bundle, lines(tmp_path, mixed, '{"id": "t3_d", "text": "cut', mixed.replace("3_e", "3_f").encode("latin-1"))
    )
    assert [row["post_id"] for row in found] == ["t3_e", "t3_d", "t3_f"]
    assert "not UTF-8" in found[2]["error"]


def test_a_cell_may_be_long_and_keeps_its_line_ends(tmp_path):
    long, before = "x" * 200_000, csv.field_size_limit()
    (tmp_path / "posts.csv").write_bytes(f'id,text\r\na,{long}\r\nb,"two\r\nlines"\r\n'.encode())
    found = reading.read(tmp_path / "posts.csv", ["id", "text"])
    assert found.names == ["id", "text"]
    assert found.table.to_pylist() == [{"id": "a", "text": long}, {"id": "b", "text": "two\r\nlines"}]
    assert csv.field_size_limit() == before


def test_what_is_written_is_plain_unicode(bundle, tmp_path):
    row = {"post_id": "caf\u00e9 \ud800", "text": "a", "image": "../gr\u00fcn.png"}
    path = lines(tmp_path, row)
    for out in ("out.jsonl", "out.csv"):
        (found,) = score(bundle, path, out)
        assert found["post_id"] == "caf\u00e9 ?"
        written = path.with_name(out).read_bytes()
        assert written.count("gr\u00fcn".encode()) == 2  # among the reasons and as the error
        assert b"\r" not in written
    score(bundle, path, "out.parquet")
    schema = pq.read_schema(path.with_name("out.parquet"))
    assert {str(kind) for name, kind in zip(schema.names, schema.types, strict=True) if name[:2] == "p_"} == {"double"}
    assert {str(kind) for name, kind in zip(schema.names, schema.types, strict=True) if name[:2] != "p_"} == {"string"}
