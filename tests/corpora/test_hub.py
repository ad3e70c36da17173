"""Sets in the hub's format: the same posts as from files, media untouched, every fault in one sentence and no hang."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from workbench import corpora
from workbench.corpora import hub
from workbench.corpora.hub import SourceOptions, build, digest
from workbench.errors import WorkbenchError
from workbench.schema import ROOT, Taxonomy, corpus_schema

TAXONOMY = Taxonomy.load()
COMMIT = "a" * 40
MAPPING = {
    "post_id": "id",
    "text": "words",
    "image": "pic",
    "video": "clip",
    "labels": {"abuse": {"column": "hate", "positive": ["hateful"]}, "violence": {"column": "tags", "contains": ["v"]}},
}
CARD = """---
license: cc0-1.0
configs:
- config_name: {config}
  data_files:
  - {{split: train, path: data/train-*.parquet}}
  - {{split: test, path: data/test-*.parquet}}
dataset_info:
- config_name: {config}
  features:
  - {{name: id, dtype: int64}}
  - {{name: words, dtype: string}}
  - {{name: pic, dtype: image}}
  - {{name: clip, dtype: video}}
  - {{name: hate, dtype: {{class_label: {{names: {{'0': fine, '1': hateful}}}}}}}}
  - {{name: tags, list: {{class_label: {{names: {{'0': v, '1': w}}}}}}}}
---
"""


def png(colour: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4), colour).save(buffer, "PNG")
    return buffer.getvalue()


ROWS = [
    {"id": 1, "words": "one", "pic": {"bytes": png("red"), "path": "a.png"}, "clip": None, "hate": 0, "tags": [1]},
    {"id": 2, "words": "two", "pic": None, "clip": {"bytes": b"a clip", "path": "b.mp4"}, "hate": 1, "tags": [0, 1]},
    {"id": 3, "words": None, "pic": {"bytes": b"no picture", "path": None}, "clip": None, "hate": -1, "tags": None},
]
_MEDIA = pa.struct({"bytes": pa.binary(), "path": pa.string()})
_KIND = {"id": pa.int64(), "words": pa.string(), "pic": _MEDIA, "clip": _MEDIA, "hate": pa.int64()}
SCHEMA = pa.schema(_KIND | {"tags": pa.list_(pa.int64())})


def made(folder: Path, config: str = "default") -> Path:
    """Make a set as the hub keeps them: shards of Parquet, and a card whose head names splits and features."""
    (folder / "data").mkdir(parents=True)
    (folder / "README.md").write_text(CARD.format(config=config))
    shards = {"train-00000-of-00002": ROWS[:1], "train-00001-of-00002": ROWS[1:2], "test-00000-of-00001": ROWS[2:]}
    for name, rows in shards.items():
        pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), folder / "data" / f"{name}.parquet")
    return folder


@pytest.fixture
def here(tmp_path) -> Path:
    return made(tmp_path / "a set")


def table(place: Path, **changed) -> pa.Table:
    options = SourceOptions.parse({"name": str(place), **MAPPING, **changed}, "corpus")
    return build(options, TAXONOMY, place.parent)


def sentence(place: Path, **changed) -> str:
    with pytest.raises(WorkbenchError) as caught:
        table(place, **changed)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_set_becomes_a_corpus_with_its_media_as_they_were(here):
    found = table(here)
    assert found.drop_columns("unknown").schema == corpus_schema(TAXONOMY)
    assert found["post_id"].to_pylist() == ["1", "2", "3"]
    assert found["text"].to_pylist() == ["one", "two", None]
    assert found["split"].to_pylist() == ["train", "train", "test"]
    assert [labels["abuse"] for labels in found["labels"].to_pylist()] == [False, True, None]  # -1 hides a label
    assert [labels["violence"] for labels in found["labels"].to_pylist()] == [False, True, None]
    assert [labels["nudity"] for labels in found["labels"].to_pylist()] == [None] * 3
    for column, name in (("image", "pic"), ("video", "clip")):
        assert found[column].to_pylist() == [row[name] for row in ROWS]  # also what is no picture: nothing decodes it


def test_it_is_a_source_like_any_other(here, tmp_path):
    config = {"source": "hub", "name": str(here), **MAPPING}
    first = corpora.load(config, TAXONOMY, cache=tmp_path / "cache")
    assert first.digest == corpora.digest(config, TAXONOMY)
    assert corpora.load(config, TAXONOMY, cache=tmp_path / "cache").table.equals(first.table)
    with pytest.raises(WorkbenchError, match="corpus source 'hub': unknown key 'txt'; did you mean 'text'"):
        corpora.load(config | {"txt": "words"}, TAXONOMY)


def test_the_digest_follows_the_content_of_a_folder_and_a_stale_copy_is_not_used(here, tmp_path):
    options = SourceOptions(name=str(here), text="words")
    there = made(tmp_path / "there" / "another name")
    assert digest(options, TAXONOMY) == digest(SourceOptions(name=str(there), text="words"), TAXONOMY)
    before, times = digest(options, TAXONOMY), os.stat(here / "data" / "test-00000-of-00001.parquet")
    assert table(here)["text"].to_pylist()[-1] is None
    path = here / "data" / "test-00000-of-00001.parquet"
    pq.write_table(pa.Table.from_pylist([ROWS[2] | {"words": "changed"}], schema=SCHEMA), path)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert digest(options, TAXONOMY) != before
    assert table(here)["text"].to_pylist()[-1] == "changed"
    assert digest(SourceOptions(name=str(here), text="words", language="words"), TAXONOMY) != before


def test_splits_by_name_and_by_slice(here):
    swapped = table(here, splits={"train": "test", "test": "train[:1]"}, labels={})
    assert swapped["split"].to_pylist() == ["train", "test"]
    assert swapped["post_id"].to_pylist() == ["3", "1"]
    assert table(here, splits={"test": "test"}, labels={})["split"].to_pylist() == ["test"]
    said = sentence(here, splits={"train": "learn"})
    assert "Unknown split \"learn\". Should be one of ['train', 'test']; check" in said
    assert "`splits` already says the split" in sentence(here, splits={"train": "train"}, split="hate")


def test_a_set_with_one_split_is_not_divided_and_a_strange_split_is_asked_about(tmp_path):
    for name in ("only.parquet", "extra.parquet"):
        (tmp_path / "set" / "data").mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(ROWS[:2], schema=SCHEMA), tmp_path / "set" / "data" / name)
    assert table(tmp_path / "set", post_id=None, labels={})["split"].to_pylist() == [None] * 4
    card = "---\nconfigs:\n- config_name: default\n  data_files:\n" + "".join(
        f"  - {{split: {name}, path: data/{name}.parquet}}\n" for name in ("only", "extra")
    )
    (tmp_path / "set" / "README.md").write_text(card + "---\n")
    assert "unknown split 'only'; the choices are: train, validation" in sentence(tmp_path / "set")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"text": "wrods"}, "unknown column 'wrods'; did you mean 'words'? The choices are: id, words, pic"),
        ({"config": "other"}, "BuilderConfig 'other' not found. Available: ['default']; check `name`, `revision`"),
        ({"labels": {"hate": "hate"}}, "unknown label 'hate'; the choices are: abuse"),
        ({"text": None, "image": None, "video": None}, "maps none of `text`, `image` and `video`"),
        ({"revision": COMMIT}, "is a folder, which has no commits; leave out `revision`"),
    ],
)
def test_faults_have_a_sentence(here, changed, said):
    assert said in sentence(here, **changed)


def test_a_folder_without_data_or_with_code(tmp_path):
    (tmp_path / "empty").mkdir()
    assert "cannot be loaded" in sentence(tmp_path / "empty")
    place = made(tmp_path / "code")
    (place / "code.py").write_text("raise SystemExit('ran')")
    assert "scripts are no longer supported" in sentence(place)


@pytest.mark.parametrize("name", ["no/such/folder", "csv", "/nowhere", "hf://datasets/a/b", "../a"])
def test_a_name_that_is_neither_a_folder_nor_a_set(tmp_path, name):
    with pytest.raises(WorkbenchError, match=r"there is no folder .* and a set on the hub is called owner/set"):
        digest(SourceOptions(name=name, text="words"), TAXONOMY, tmp_path)


@pytest.mark.parametrize("revision", [None, "main", "v1.0", "abc123", COMMIT.upper()])
def test_a_set_on_the_hub_needs_a_commit(tmp_path, revision):
    for work in (digest, build):
        with pytest.raises(WorkbenchError, match="needs `revision`, the 40 hex digits of a commit"):
            work(SourceOptions(name="me/set", text="words", revision=revision), TAXONOMY, tmp_path)


def test_without_a_network_a_set_that_was_never_loaded_has_a_sentence(tmp_path):
    options = SourceOptions(name="me/set", text="words", revision=COMMIT)
    with pytest.raises(WorkbenchError, match=r"not loaded before, and the hub is switched off \(HF_HUB_OFFLINE"):
        build(options, TAXONOMY, tmp_path)
    assert digest(options, TAXONOMY, tmp_path)  # which takes no network


def test_media_paths_lead_only_to_what_came_with_the_set(tmp_path):
    (tmp_path / "secret.png").write_bytes(png("red"))
    place = tmp_path / "set"
    (place / "data").mkdir(parents=True)
    (place / "own.png").write_bytes(png("blue"))
    for path, inside in ((str(tmp_path / "secret.png"), False), ("../secret.png", False), ("own.png", True)):
        row = {**ROWS[0], "pic": {"bytes": None, "path": path}}
        pq.write_table(pa.Table.from_pylist([row], schema=SCHEMA), place / "data" / "train.parquet")
        if inside:
            assert table(place, labels={})["image"].to_pylist() == [{"bytes": None, "path": str(place / "own.png")}]
            assert "none of the 1 pictures is there" in sentence(place, labels={}, images="pics")
        else:
            assert f"the picture path '{path}' leaves the folder {place}" in sentence(place)


# ---------------------------------------------------------------------------------------------- a hub on this machine

# A server that answers as the hub does, for one set of one commit; the libraries read its address when imported.
HUB = """
import hashlib, http.server, json, os, sys, threading, time, urllib.parse
from pathlib import Path

root, place, commit = Path(sys.argv[1]), Path(sys.argv[2]), "a" * 40
asked = []

class Hub(http.server.BaseHTTPRequestHandler):
    def log_message(self, *said): pass
    def answer(self, code, data=b"", **headers):
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)
    def do_GET(self):
        path = urllib.parse.unquote(urllib.parse.urlparse(self.path).path)
        asked.append(path)
        if path.startswith("/datasets/me/set/resolve/"):
            revision, _, name = path.removeprefix("/datasets/me/set/resolve/").partition("/")
            if revision != commit:
                return self.answer(404, X_Error_Code="RevisionNotFound")
            if not (root / name).is_file():
                return self.answer(404, X_Error_Code="EntryNotFound", X_Repo_Commit=commit)
            data = (root / name).read_bytes()
            return self.answer(200, data, ETag='"%s"' % hashlib.sha1(data).hexdigest(), X_Repo_Commit=commit)
        if path.startswith("/api/datasets/me/set/tree/"):
            inside = path.removeprefix(f"/api/datasets/me/set/tree/{commit}").strip("/")
            found = []
            for one in sorted((root / inside).iterdir()):
                kind = "directory" if one.is_dir() else "file"
                found.append({"type": kind, "path": one.relative_to(root).as_posix(), "size": one.stat().st_size,
                              "oid": "b" * 40})
            return self.answer(200, json.dumps(found).encode(), Content_Type="application/json")
        if path.startswith("/api/datasets/me/set/revision/"):
            about = {"id": "me/set", "sha": commit, "siblings": [], "private": False, "tags": [], "downloads": 0}
            return self.answer(200, json.dumps(about).encode(), Content_Type="application/json")
        return self.answer(404, b"{}", X_Error_Code="RepoNotFound")
    do_HEAD = do_GET

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
threading.Thread(target=server.serve_forever, daemon=True).start()
for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "TRANSFORMERS_OFFLINE"):
    os.environ.pop(name, None)
os.environ.update(HF_ENDPOINT=f"http://127.0.0.1:{server.server_port}", HF_HOME=str(place / "home"))

from workbench.corpora import hub
from workbench.schema import Taxonomy, WorkbenchError

taxonomy, said = Taxonomy.load(), {}
mapping = json.loads(sys.argv[3])

def ask(case, folder=place / "here", **changed):
    start, before = time.monotonic(), len(asked)
    try:
        options = hub.SourceOptions(**{"name": "me/set", "revision": commit, **mapping, **changed})
        found = hub.build(options, taxonomy, folder)
        rows = [None if one is None else one["bytes"].hex() for one in found["image"].to_pylist()]
        said[case] = [found["post_id"].to_pylist(), found["split"].to_pylist(), rows]
    except WorkbenchError as error:
        said[case] = str(error)
    said[case] = [said[case], time.monotonic() - start, len(asked) - before]

ask("commit")
ask("another commit", revision="b" * 40)
ask("another set", name="me/none")
ask("another split", splits={"train": "learn"})
ask("option", offline=True)
ask("option, never loaded", place / "there", offline=True)
server.shutdown()
server.server_close()
ask("no hub, loaded")
ask("no hub, another commit", revision="b" * 40)
ask("no hub, never loaded", place / "there")
silent = __import__("socket").create_server(("127.0.0.1", server.server_port))  # takes calls and never answers
hub._PATIENCE = 1
ask("a silent hub", place / "there")
print(json.dumps(said))
"""


def test_a_commit_is_loaded_from_a_hub_and_without_one_no_other_is_taken_for_it(tmp_path):
    place = made(tmp_path / "set")
    command = [sys.executable, "-c", HUB, str(place), str(tmp_path / "work"), json.dumps(MAPPING)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=200)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    expected = [["1", "2", "3"], ["train", "train", "test"], [ROWS[0]["pic"]["bytes"].hex(), None, b"no picture".hex()]]
    assert said["commit"][0] == expected
    assert f"Revision '{'b' * 40}' doesn't exist" in said["another commit"][0]
    assert "'me/none' doesn't exist on the Hub" in said["another set"][0]
    assert 'Unknown split "learn"' in said["another split"][0]
    assert said["option"][0] == said["no hub, loaded"][0] == expected
    assert said["option"][2] == 0  # not one request
    assert "the hub is switched off" in said["option, never loaded"][0]
    for case in ("no hub, another commit", "no hub, never loaded", "a silent hub"):
        assert "was not loaded before, and the hub cannot be reached; load it once" in said[case][0]
    assert all("\n" not in str(one[0]) for one in said.values())
    assert max(one[1] for one in said.values()) < 20  # seconds; the library alone tries for half a minute
    assert "Traceback" not in done.stderr
    assert not list(hub.ROOT.glob("data/cache/hub/set-*"))
