"""Corpora from files: the same posts from every format, the unknown stays unknown, each fault has a sentence."""

from __future__ import annotations

import json
import os
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from workbench.corpora.files import SourceOptions, build, digest
from workbench.errors import WorkbenchError
from workbench.schema import Taxonomy, corpus_schema

TAXONOMY = Taxonomy.load()
CSV = 'id,words,who,hate\n007,"Hello, you",ann,0\n008,"two\nlines",bob,1\n009,Ünï,ann,\n'


def write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def jsonl(path: Path, *rows: dict) -> Path:
    return write(path, "".join(json.dumps(row) + "\n" for row in rows))


def table(path: Path | str, **options) -> pa.Table:
    return build(SourceOptions.parse({"path": str(path), **options}, "corpus"), TAXONOMY, Path("/"))


def label(built: pa.Table, name: str = "abuse") -> list[bool | None]:
    return [labels[name] for labels in built["labels"].to_pylist()]


def labels_of(tmp_path: Path, values: list, rule: dict | str) -> list[bool | None]:
    path = jsonl(tmp_path / "values.jsonl", *({"t": f"text {row}", "v": value} for row, value in enumerate(values)))
    return label(table(path, text="t", labels={"abuse": rule if rule == "v" else {"column": "v", **rule}}))


def sentence(path: Path | str, **options) -> str:
    with pytest.raises(WorkbenchError) as caught:
        table(path, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# ----------------------------------------------------------------------------------------------------------- formats


def test_every_format_gives_the_same_posts(tmp_path):
    rows = [
        {"id": "007", "words": "Hello, you", "who": "ann", "hate": "0"},
        {"id": "008", "words": "two\nlines", "who": "bob", "hate": "1"},
        {"id": "009", "words": "Ünï", "who": "ann", "hate": None},
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    paths = [
        write(tmp_path / "a.csv", CSV),
        write(tmp_path / "b.csv", "\ufeff" + CSV.replace("\n", "\r\n").replace("two\r\n", "two\n")),  # from Excel
        write(
            tmp_path / "a.tsv",
            CSV.replace('"Hello, you"', "Hello, you").replace(",", "\t").replace("Hello\t", "Hello,"),
        ),
        jsonl(tmp_path / "a.jsonl", *rows),
        tmp_path / "a.parquet",
    ]
    built = [table(path, post_id="id", text="words", author="who", labels={"abuse": "hate"}) for path in paths]
    assert all(one.drop_columns("unknown").schema == corpus_schema(TAXONOMY) for one in built)
    assert built[0]["post_id"].to_pylist() == ["007", "008", "009"]
    assert built[0]["text"].to_pylist() == ["Hello, you", "two\nlines", "Ünï"]
    assert label(built[0]) == [False, True, None]
    assert label(built[0], "violence") == [None, None, None]
    for one in built[1:]:
        assert one.to_pylist() == built[0].to_pylist()


def test_latin_1_and_unquoted_tsv(tmp_path):
    path = write(tmp_path / "a.tsv", 'id\tt\n1\t"café\n2\tno\n'.encode("latin-1"))
    assert table(path, text="t", encoding="latin-1", quotes=False)["text"].to_pylist() == ['"café', "no"]
    assert table(path, text="t")["text"].to_pylist() == ['"café', "no"]  # told from the file
    said = sentence(path, text="t", encoding="utf-8")
    assert "a.tsv, line 2, byte 7 of the line (0xe9) is not utf-8; set `encoding` (often latin-1" in said
    assert "unknown encoding 'latin1000'" in sentence(path, text="t", encoding="latin1000")
    assert table(write(tmp_path / "b.csv", CSV.encode("utf-16")), text="words")["text"][0].as_py() == "Hello, you"


def test_json_lines_of_any_kind(tmp_path):
    rows = [{"t": "\ud800 lone", "v": 1}, {"t": None, "v": "x"}, {"v": 2**70}]
    path = jsonl(tmp_path / "a.jsonl", *rows)
    built = table(path, text="t", keep=["v"])
    assert built["text"].to_pylist() == ["? lone", None, None]
    assert [meta["v"] for meta in built["meta"].to_pylist()] == ["1", "x", str(2**70)]


def test_nested_columns_by_dots(tmp_path):
    author = {"id": "ann", "posts": 3, "shoe_size": 4}
    rows = [
        {"t": "a", "labels": {"abuse": True, "violence": None}, "by": author},
        {"t": "b", "labels": {"abuse": False}},
    ]
    built = table(
        jsonl(tmp_path / "a.jsonl", *rows),
        text="t",
        author="by",
        labels={"abuse": "labels.abuse", "violence": "labels.violence"},
    )
    assert label(built) == [True, False]
    assert label(built, "violence") == [None, None]
    assert built["author"][0].as_py() == {
        "id": "ann", "account_age_days": None, "posts": 3, "prior_reports": None, "prior_removals": None,
    }  # fmt: skip
    assert "did you mean 'labels.abuse'?" in sentence(
        tmp_path / "a.jsonl", text="t", labels={"abuse": "labels.abusive"}
    )


def test_hateful_memes_layout(tmp_path):
    row = {"id": 1, "img": "img/01.png", "label": 1, "text": "look"}
    jsonl(tmp_path / "train.jsonl", row)
    jsonl(tmp_path / "dev_seen.jsonl", row | {"id": 2, "label": 0})
    jsonl(tmp_path / "test_seen.jsonl", {"id": 3, "img": "img/03.png", "text": "no label"})
    (tmp_path / "img").mkdir()
    Image.new("RGB", (4, 4)).save(tmp_path / "img/01.png")
    built = table(tmp_path, labels={"abuse": "label"})
    assert built["post_id"].to_pylist() == ["1", "2", "3"]
    assert built["split"].to_pylist() == ["train", "validation", "test"]
    assert label(built) == [True, False, None]
    assert built["image"][0]["path"].as_py() == str(tmp_path / "img/01.png")
    assert len(set(built["group"].to_pylist())) == 2  # the first two are the same meme
    assert "no train.jsonl" in sentence(tmp_path / "img")


def test_a_file_for_each_split(tmp_path):
    write(tmp_path / "a.csv", "t,x\na,1\n")
    write(tmp_path / "b.csv", "t\nb\n")
    options = SourceOptions(paths={"train": "a.csv", "test": "b.csv"}, text="t", labels={"abuse": "x"})
    built = build(options, TAXONOMY, tmp_path)
    assert built["split"].to_pylist() == ["train", "test"]
    assert label(built) == [True, None]  # a column that one of the files lacks


# ------------------------------------------------------------------------------------------------------------ labels


@pytest.mark.parametrize(
    ("values", "rule", "expected"),
    [
        (["1", "0", " yes ", "No", ""], "v", [True, False, True, False, None]),
        (["1", "0", "maybe"], {"unclear": ["maybe"]}, [True, False, None]),
        ([1.0, 0.0, None], "v", [True, False, None]),
        ([True, False, None], "v", [True, False, None]),
        ([0, 1, 2], {"positive": [0, 1]}, [True, True, False]),
        ([0, 1, 2], {"positive": [0], "negative": [2]}, [True, None, False]),
        (["a", "b", "c", None], {"positive": ["a"], "unclear": ["b"]}, [True, None, False, None]),
        ([True, False], {"positive": [False]}, [False, True]),
        ([0.2, 0.5, 0.7, None], {"threshold": 0.5}, [False, True, True, None]),
        ([["x"], ["y", "z"], [], None, ["z", "x"]], {"contains": ["x"]}, [True, False, False, None, True]),
        (
            [["x"], ["y", "z"], [], None, ["z", "x"]],
            {"contains": ["x"], "unclear": ["z"]},
            [True, None, False, None, True],
        ),
        ([["y"], []], {"contains": ["x"]}, [False, False]),
        ([None, None], "v", [None, None]),
        ([None, None], {"contains": ["x"]}, [None, None]),
    ],
)
def test_label_rules(tmp_path, values, rule, expected):
    assert labels_of(tmp_path, values, rule) == expected


@pytest.mark.parametrize(
    ("values", "rule", "said"),
    [
        (
            ["hateful", "fine"],
            {"positive": ["hatefull"]},
            "labels.abuse: column 'v'; did you mean 'hateful'?",
        ),
        (["fine", "good"], {"positive": ["hateful"]}, "list the `negative` values too"),
        (["hateful", "fine"], "v", "holds fine (1), hateful (1), not yes or no; list the `positive` values"),
        ([["Smears"]], {"contains": ["Smear"]}, "did you mean 'Smears'"),
        ([[{"a": 1}]], {"contains": ["Smears"]}, "lists of objects; name what is in them, such as `v.a`"),
        ([["x"]], {"positive": ["x"]}, "use `contains` for lists"),
        (["high"], {"threshold": 1}, "must hold numbers"),
        ([1], {"threshold": 1, "positive": [1]}, "give only one of positive, threshold"),
        ([1], {"negative": [1]}, "`negative` goes with `positive`"),
    ],
)
def test_label_rules_that_do_not_fit(tmp_path, values, rule, said):
    with pytest.raises(WorkbenchError) as caught:
        labels_of(tmp_path, values, rule)
    assert said in str(caught.value)


def test_all_negative_is_a_corpus(tmp_path):
    assert labels_of(tmp_path, ["fine"], {"positive": ["hateful"], "negative": ["fine"]}) == [False]


# ------------------------------------------------------------------------------------------------------ other columns


def test_ids_groups_and_defaults(tmp_path):
    path = write(tmp_path / "a.csv", "t,g\nSame  text,\nsame text,x\nother,x\n,\n,\n")
    built = table(path, text="t")
    ids, groups = built["post_id"].to_pylist(), built["group"].to_pylist()
    assert [one.rsplit("-", 1)[0] for one in ids] == ["row-0", "row-1", "row-2", "row-3", "row-4"]
    assert groups[0] == groups[1]  # the same text but for case and space
    assert len(set(groups)) == 4  # posts without content are not each other's reposts
    assert built["weight"].to_pylist() == [1.0] * 5
    assert table(path, text="t")["post_id"].to_pylist() == ids
    assert table(path, text="t", group="g")["group"].to_pylist() == [groups[0], "x", "x", groups[3], groups[4]]


def test_times_weights_and_splits(tmp_path):
    noon = datetime(2024, 1, 2, 12, tzinfo=UTC)
    for written in (
        "2024-01-02T12:00:00Z",
        "2024-01-02T13:00:00+01:00",
        "2024-01-02 12:00:00",
        str(int(noon.timestamp())),
    ):
        path = write(tmp_path / "a.csv", f"t,at,w,s,part\na,{written},2.5,dev,\nb,,,train,\n")
        built = table(path, text="t", created_at="at", weight="w", split={"column": "s", "values": {"dev": "test"}})
        assert built["created_at"].to_pylist() == [noon, None]
        assert built["weight"].to_pylist() == [2.5, 1.0]
        assert built["split"].to_pylist() == ["test", "train"]
    for written, form in (
        ('"January 2, 2024 12:00"', "%B %d, %Y %H:%M"),
        ("Tue Jan 02 13:00:00 +0100 2024", "%a %b %d %H:%M:%S %z %Y"),
    ):
        path = write(tmp_path / "a.csv", f"t,at,w,s,part\na,{written},2.5,dev,\nb,,,train,\n")
        assert table(path, text="t", created_at="at", time_format=form)["created_at"].to_pylist() == [noon, None]
    assert "`created_at`, is not written as '%Y'" in sentence(path, text="t", created_at="at", time_format="%Y")
    assert "`time_format` says how the column" in sentence(path, text="t", time_format="%Y")
    assert "unknown split 'dev'" in sentence(path, text="t", split="s")
    assert "`created_at`, must hold ISO 8601" in sentence(path, text="t", created_at="t")
    assert "`weight` must hold numbers" in sentence(path, text="t", weight="t")
    assert "above zero" in sentence(write(tmp_path / "b.csv", "t,w\na,-1\n"), text="t", weight="w")


# ----------------------------------------------------------------------------------------------------------- pictures


def test_pictures_by_path(tmp_path):
    for name, colour in (("a.png", "red"), ("b.png", "red"), ("c.png", "blue")):
        (tmp_path / "pics").mkdir(exist_ok=True)
        Image.new("RGB", (4, 4), colour).save(tmp_path / "pics" / name)
    path = write(tmp_path / "x/a.csv", "t,p\nhi,a.png\nhi,b.png\nhi,c.png\nhi,gone.png\nhi,\n")
    built = table(path, text="t", image="p", images=str(tmp_path / "pics"))
    assert built["image"].to_pylist()[0] == {"bytes": None, "path": str(tmp_path / "pics/a.png")}
    assert built["image"].to_pylist()[3] == {"bytes": None, "path": str(tmp_path / "pics/gone.png")}
    assert built["image"].to_pylist()[4] is None
    groups = built["group"].to_pylist()
    assert groups[0] == groups[1]  # the same picture under another name
    assert len(set(groups)) == 4
    said = sentence(path, text="t", image="p")
    names = f"{tmp_path}/x/a.png, b.png, c.png (the folder holds a.csv)"
    assert f"none of the 4 pictures is there, such as {names}; set `images`" in said
    assert f"(there is no folder {tmp_path}/none)" in sentence(path, text="t", image="p", images=str(tmp_path / "none"))


def test_a_text_of_several_columns(tmp_path):
    rows = [("a title", "a body"), ("a link", ""), ("gone", "[removed]"), ("", "a body"), ("nan", "None"), (None, None)]
    path = jsonl(tmp_path / "a.jsonl", *({"id": n, "t": title, "b": body} for n, (title, body) in enumerate(rows)))
    missing = ["nan", "None", "[removed]"]
    built = table(path, post_id="id", text=["t", "b"], missing=missing)
    assert built["text"].to_pylist() == ["a title\na body", "a link", "gone", "a body", "nan\nNone", None]
    assert table(path, text="b", missing=missing)["text"].to_pylist()[2] == "[removed]"  # alone it is what was posted
    assert "unknown column 'c'" in sentence(path, text=["t", "c"])


def test_pictures_as_bytes(tmp_path):
    rows = {"t": ["a", "b", "a"], "p": [b"one", None, b"one"]}
    pq.write_table(pa.table(rows), tmp_path / "a.parquet")
    built = table(tmp_path / "a.parquet", text="t", image="p")
    assert [image and image["bytes"] for image in built["image"].to_pylist()] == [b"one", None, b"one"]
    assert built["group"][0] == built["group"][2]
    nested = pa.table({"t": ["a"], "p": pa.array([{"bytes": b"one", "path": "../name.png"}])})
    pq.write_table(nested, tmp_path / "b.parquet")
    assert table(tmp_path / "b.parquet", image="p")["image"].to_pylist() == [{"bytes": b"one", "path": "../name.png"}]


@pytest.mark.parametrize("name", ["../secret.png", "/etc/passwd", "a/../../secret.png"])
def test_picture_paths_stay_in_their_folder(tmp_path, name):
    path = write(tmp_path / "x/a.csv", f"t,p\nhi,{name}\n")
    assert f"the picture path '{name}' leaves" in sentence(path, text="t", image="p")


def test_digest_follows_content_not_place_or_time(tmp_path):
    def of(folder: Path, **options) -> str:
        return digest(SourceOptions(path="a.csv", text="t", image="p", **options), TAXONOMY, folder)

    here, there = tmp_path / "here", tmp_path / "there"
    write(here / "a.csv", "t,p\nhi,a.png\n")
    write(here / "a.png", b"picture")
    shutil.copytree(here, there)
    os.utime(there / "a.csv", (1, 1))
    first = of(here)
    assert of(there) == first
    write(there / "a.png", b"Picture")
    assert of(there) != first
    write(there / "a.png", b"picture")
    write(there / "a.csv", "t,p\nho,a.png\n")
    assert of(there) != first
    assert of(here, language="t") != first
    (here / "a.png").unlink()
    write(here / "b.png", b"picture")
    with pytest.raises(WorkbenchError, match="none of the 1 pictures"):
        build(SourceOptions(path="a.csv", text="t", image="p"), TAXONOMY, here)
    assert of(here) != first


# ------------------------------------------------------------------------------------------------------------- faults


@pytest.mark.parametrize(
    ("name", "content", "options", "said"),
    [
        ("a.csv", CSV, {"text": "word"}, "unknown column 'word'; did you mean 'words'? The choices are: id, words"),
        ("a.csv", CSV, {"text": "words", "labels": {"hate": "hate"}}, "unknown label 'hate'; the choices are: abuse"),
        ("a.csv", CSV, {}, "maps none of `text`, `image` and `video`"),
        ("a.csv", "id,words\n", {"text": "words"}, "has no rows"),
        ("a.csv", "", {"text": "words"}, "is empty"),
        ("a.jsonl", "\n\n", {"text": "words"}, "is empty"),
        ("a.csv", "t,t\na,b\n", {"text": "t"}, "more than one column 't'"),
        ("a.csv", "t,u\na,b\nc\n", {"text": "t"}, "line 3 has 1 cells, but the header names 2"),
        ("a.jsonl", '{"t": "a"}\n\n{"t": \n', {"text": "t"}, "line 3 is not valid JSON"),
        ("a.jsonl", '{"t": "a"}\n["b"]\n', {"text": "t"}, "line 2 holds a list, not an object"),
        ("a.jsonl", b'{"t": "a"}\n{"t": "\xe9"}\n', {"text": "t", "encoding": "utf-8"}, "line 2, byte 8 of the"),
        ("a.jsonl", '{"t": ' + "[" * 100_000, {"text": "t"}, "line 1 is not valid JSON"),
        ("a.jsonl", '{"t": ["a"]}', {"text": "t"}, "the text column holds list"),
        ("a.jsonl", '{"p": 3}', {"image": "p"}, "the picture column holds int64"),
        ("a.xlsx", "", {"text": "t"}, "cannot be read as a workbook"),
        ("a.parquet", "nonsense", {"text": "t"}, "cannot be read as Parquet"),
        ("a.doc", "", {"text": "t"}, "unknown file ending '.doc'"),
    ],
)  # fmt: skip
def test_faults_have_a_sentence(tmp_path, name, content, options, said):
    assert said in sentence(write(tmp_path / name, content), **options)


def test_repeated_ids(tmp_path):
    path = write(tmp_path / "a.csv", "i,t,y\n1,a,0\n2,b,1\n1,c,0\n2,b,1\n3,b,0\n")
    said = sentence(path, post_id="i", text="t")
    assert "1 post ids occur more than once over different rows, such as '1'; remove" in said
    # The same content with another label under another id is an annotators' disagreement; it stays, in one group.
    built = table(path, text="t", labels={"abuse": "y"})
    assert label(built)[3:] == [True, False]
    assert built["group"][3] == built["group"][4]


def test_a_digest_reads_headers_and_of_media_which_files_they_name(tmp_path):
    write(tmp_path / "a.csv", "t,y\nhi,1\nho\n")  # its second row has too few cells
    write(tmp_path / "a.jsonl", '{"t": "hi"}\n' * 9 + '{"t": "ho", "y": 1}\n')
    cell = {"labels": {"abuse": "y"}}
    for path in ("a.csv", "a.jsonl"):
        assert digest(SourceOptions.parse({"path": path, "text": "t", **cell}, "corpus"), TAXONOMY, tmp_path)
    with pytest.raises(WorkbenchError, match=r"a\.csv: unknown column 'words'"):
        digest(SourceOptions(path="a.csv", text="words"), TAXONOMY, tmp_path)
    with pytest.raises(WorkbenchError, match="column 'p'"):
        digest(SourceOptions(path="a.jsonl", text="t", image="p"), TAXONOMY, tmp_path)
    with pytest.raises(WorkbenchError, match="line 3"):
        build(SourceOptions.parse({"path": "a.csv", "text": "t", **cell}, "corpus"), TAXONOMY, tmp_path)


def test_a_missing_file_and_unknown_keys(tmp_path):
    assert f"there is no file {tmp_path}/no.csv" in sentence(tmp_path / "no.csv", text="t")
    with pytest.raises(WorkbenchError, match="there is no file"):
        digest(SourceOptions(path="no.csv", text="t"), TAXONOMY, tmp_path)
    assert "unknown key 'txt'; did you mean 'text'" in sentence(tmp_path / "no.csv", txt="t")
    for values in ({}, {"path": "a.csv", "paths": {"train": "a.csv"}}):
        with pytest.raises(WorkbenchError, match="either `path` or `paths`"):
            SourceOptions.parse(values, "corpus")
