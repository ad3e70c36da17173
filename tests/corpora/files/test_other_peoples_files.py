"""Files as people have them: each reads as it is meant, says what was assumed, or is refused in a sentence."""

from __future__ import annotations

import gzip
import json
import zipfile
from pathlib import Path

import pytest

from workbench import corpora
from workbench.corpora import counts
from workbench.errors import WorkbenchError
from workbench.evidence import noise
from workbench.schema import Taxonomy

TAXONOMY = Taxonomy.load()
ROWS = [{"id": "007", "text": "a", "y": 1}, {"id": 0, "text": "b", "y": 0}]
LINES = "".join(json.dumps(row) + "\n" for row in ROWS)
SIMPLE = {"post_id": "id", "text": "text", "labels": {"abuse": "y"}}


def load(folder: Path, name: str, data: str | bytes, **mapping):
    (folder / name).write_bytes(data.encode() if isinstance(data, str) else data)
    config = {"source": "files", "path": str(folder / name), **mapping}
    return corpora.load(config, TAXONOMY, cache=folder / "cache").table


def label(table) -> list[bool | None]:
    return [row["abuse"] for row in table["labels"].to_pylist()]


def sentence(folder: Path, name: str, data: str | bytes, **mapping) -> str:
    with pytest.raises(WorkbenchError) as caught:
        load(folder, name, data, **mapping)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def column(values: list[str], **rule) -> dict:
    data = "id,text,y\n" + "".join(f'{n},words {n},"{value}"\n' for n, value in enumerate(values))
    return {"name": "v.csv", "data": data, **SIMPLE, "labels": {"abuse": {"column": "y", **rule}}}


MESSY = {
    "semicolons with a mark": ("a.csv", "\ufeffid;text;y\n007;Äpfel, Birnen;1\n0;b;0\n".encode()),
    "latin-1": ("a.csv", "id,text,y\n007,Äpfel über Bäumen,1\n0,b,0\n".encode("latin-1")),
    "UTF-16": ("a.csv", "id,text,y\n007,a,1\n0,b,0\n".encode("utf-16-le")),
    "packed": ("a.csv.gz", gzip.compress(b"id,text,y\n007,a,1\n0,b,0\n")),
    "packed lines of JSON": (
        "a.jsonl.gz",
        gzip.compress(LINES.encode()),
    ),
    "a title above the header": ("a.csv", "Export of May\n\nid,text,y\n007,a,1\n0,b,0\n"),
    "the header once more": ("a.csv", "id,text,y\n007,a,1\nid,text,y\n0,b,0\n"),
    "quotes in a TSV": ("a.tsv", 'id\ttext\ty\n007\t"a\t1\n0\tb"\t0\n'),
    "an array": ("a.json", '[{"id": "007", "text": "a", "y": true},\n {"id": 0, "text": "b", "y": false}]'),
    "an object of objects": (
        "a.json",
        '{"007": {"text": "a", "y": 1, "id": "007"}, "0": {"text": "b", "y": 0, "id": 0}}',
    ),
    "an object with a list": (
        "a.json",
        '{"n": 2, "data": [{"id": "007", "text": "a", "y": 1}, {"id": 0, "text": "b", "y": 0}]}',
    ),
    "an excel separator line": ("a.csv", "sep=;\nid;text;y\n007;a;1\n0;b;0\n"),
}


@pytest.mark.parametrize(("name", "data"), MESSY.values(), ids=MESSY)
def test_messy_files_are_read_as_they_are_meant(tmp_path, name, data):
    table = load(tmp_path, name, data, **SIMPLE)
    assert table["post_id"].to_pylist() == ["007", "0"]
    assert label(table) == [True, False]
    assert len(counts.noticed(table)) >= 1


@pytest.mark.parametrize(
    ("values", "rule", "expected"),
    [
        (["1", "1.0", "true", "0", "nan", "-"], {"positive": [1]}, [True, True, True, False, None, None]),
        (["1", "0", "-1"], {"positive": [1]}, [True, False, None]),
        (["hate", "none", "NA"], {"positive": ["hate"], "negative": ["none"]}, [True, False, None]),
        (["hate", "ok", "fine"], {"positive": ["hate"], "negative": "rest"}, [True, False, False]),
        (["insult;threat", "spam", "[]", ""], {"contains": ["insult"]}, [True, False, False, None]),
        (["['insult', 'threat']", "['spam']"], {"contains": ["insult"]}, [True, False]),
        (["a|b", "c|a", "c"], {"contains": ["a"], "unclear": ["c"]}, [True, True, None]),
        (["0.2", "0.5", "0.9", "NaN"], {"soft": True}, [False, None, True, None]),
    ],
)
def test_labels_mean_what_people_wrote(tmp_path, values, rule, expected):
    assert label(load(tmp_path, **column(values, **rule))) == expected


@pytest.mark.parametrize(
    ("values", "rule", "said"),
    [
        (["hate", "Hate", "ok"], {"positive": ["hate"], "negative": ["ok"]}, "name both spellings"),
        (["hate", "ok", "fine"], {"positive": ["hate"]}, "fine (1), hate (1), ok (1): more than one value"),
        (["hate", "none"], {"positive": ["hate"]}, 'as in `negative: ["none"]`'),
        (["1", "0", "0.7"], {}, "say from where on it is yes, as in `threshold: 0.5`"),
        (["0.2", "7"], {"soft": True}, "must hold shares from 0 to 1, not 7"),
        (["a;b", "a,b"], {"contains": ["a"]}, "say which in `separator`"),
    ],
)
def test_what_a_label_leaves_open_is_asked_for(tmp_path, values, rule, said):
    assert said in sentence(tmp_path, **column(values, **rule))


def cell(value: str | int) -> str:
    return f'<c t="inlineStr"><is><t>{value}</t></is></c>' if isinstance(value, str) else f"<c><v>{value}</v></c>"


def workbook(path: Path, *rows: list) -> bytes:
    """Return an .xlsx file of one sheet, as ISO 29500 has it: texts in their cells, numbers as they are."""
    cells = "".join(f"<row>{''.join(map(cell, row))}</row>" for row in rows)
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    kinds = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    package = "http://schemas.openxmlformats.org/package/2006"
    sheets = "application/vnd.openxmlformats-officedocument.spreadsheetml"
    linked = "application/vnd.openxmlformats-package.relationships+xml"
    parts = {"/xl/workbook.xml": f"{sheets}.sheet.main+xml", "/xl/s.xml": f"{sheets}.worksheet+xml"}
    listed = "".join(f'<Override PartName="{name}" ContentType="{kind}"/>' for name, kind in parts.items())

    def link(kind: str, target: str) -> str:
        inner = f'<Relationship Id="r1" Type="{kinds}/{kind}" Target="{target}"/>'
        return f'<Relationships xmlns="{package}/relationships">{inner}</Relationships>'

    types = f'<Types xmlns="{package}/content-types"><Default Extension="rels" ContentType="{linked}"/>{listed}</Types>'
    sheet = '<sheets><sheet name="posts" sheetId="1" r:id="r1"/></sheets>'
    files = {
        "[Content_Types].xml": types,
        "_rels/.rels": link("officeDocument", "xl/workbook.xml"),
        "xl/workbook.xml": f'<workbook xmlns="{main}" xmlns:r="{kinds}">{sheet}</workbook>',
        "xl/_rels/workbook.xml.rels": link("worksheet", "s.xml"),
        "xl/s.xml": f'<worksheet xmlns="{main}"><sheetData>{cells}</sheetData></worksheet>',
    }
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, f'<?xml version="1.0" encoding="UTF-8"?>{text}')
    return path.read_bytes()


def test_an_excel_workbook(tmp_path):
    data = workbook(tmp_path / "book", ["id", "text", "y"], ["007", "a", 1], [10, "b", 0], [11, 911, 1])
    table = load(tmp_path, "a.xlsx", data, **SIMPLE)
    assert (table["post_id"].to_pylist(), table["text"].to_pylist()) == (["007", "10", "11"], ["a", "b", "911"])
    assert label(table) == [True, False, True]
    assert "unknown sheet 'other'" in sentence(tmp_path, "b.xlsx", data, **SIMPLE, sheet="other")


def test_annotators_of_whom_no_two_judged_one_post_are_warned_of(tmp_path):
    data = "row,id,text,y\n1,a,words,1\n2,a,words,0\n3,b,more,0\n"
    rule = {"item": "row", "label": {"abuse": "y"}}
    (warning,) = counts.warned(load(tmp_path, "a.csv", data, text="text", annotators=rule))
    assert warning.startswith("annotators: each of the 3 rows has a 'row' of its own")
    assert counts.warned(load(tmp_path, "a.csv", data, text="text", annotators=rule | {"item": "id"})) == []


def test_one_row_per_annotator_becomes_one_row_a_post(tmp_path):
    rows = [
        "id,text,who,y",
        *("1,a,ann,1", "1,a,bob,1", "1,a,eve,0", "2,b,ann,0", "2,b,bob,1", "3,c,ann,NA", "1,a,ann,1"),
    ]
    rule = {"item": "id", "who": "who", "label": {"abuse": "y"}}
    table = load(tmp_path, "a.csv", "\n".join(rows), text="text", annotators=rule)
    assert (table["post_id"].to_pylist(), label(table)) == (["1", "2", "3"], [True, None, None])
    assert noise.votes_of(table, "abuse").tolist() == [[2, 1], [1, 1], [0, 0]]
    told = counts.of_labels({"all": table}, TAXONOMY)["all"]["abuse"]
    assert told == {"yes": 1, "no": 0, "unknown": 2, "why": {"a tie": 1, "no vote": 1}}
    assert "7 rows of annotators, 1 of them given twice became one row a post" in counts.noticed(table)
    assert counts.warned(table) == []
    soft = load(tmp_path, "b.csv", "\n".join(rows), text="text", annotators=rule | {"soft": True})
    assert [row["abuse"] for row in soft["soft"].to_pylist()] == [pytest.approx(2 / 3), 0.5, None]
    assert "the rows of post '1' differ in 'text'" in sentence(
        tmp_path, "c.csv", "\n".join([*rows, "1,z,joe,1"]), text="text", annotators=rule
    )


def test_answers_deep_in_a_label_studio_export(tmp_path):
    def task(n: int, *answers: list[str]) -> dict:
        results = [{"result": [{"value": {"choices": choices}}]} for choices in answers]
        return {"id": n, "data": {"text": f"words {n}"}, "annotations": results}

    data = json.dumps([task(1, ["hate"], ["hate", "threat"]), task(2, ["fine"]), task(3)])
    rule = {"column": "annotations.result.value.choices", "contains": ["hate"]}
    table = load(tmp_path, "a.json", data, post_id="id", text="data.text", labels={"abuse": rule})
    assert label(table)[:2] == [True, False]


@pytest.mark.parametrize(
    ("at", "said"),
    [
        ("2021", "`time_format: '%Y'`"),
        ("20210105", "`time_format: '%Y%m%d'`"),
        ("0", "which is no time; clear those cells"),
        ("5", "no time between 1980 and 2100"),
        ("0001-01-01", "a post is made between 1980 and 2100"),
        ("9999-12-31T00:00:00Z", "a post is made between 1980 and 2100"),
    ],
)
def test_times_that_cannot_be_meant_are_asked_about(tmp_path, at, said):
    assert said in sentence(tmp_path, "a.csv", f"text,at\na,{at}\nb,nan\n", text="text", created_at="at")


def test_milliseconds_are_read_and_said(tmp_path):
    table = load(tmp_path, "a.csv", "text,at\na,1609459200000\nb,\n", text="text", created_at="at")
    assert str(table["created_at"][0].as_py()) == "2021-01-01 00:00:00+00:00"
    assert any("milliseconds" in line for line in counts.noticed(table))


def test_pictures_by_address_by_base64_and_without_ending(tmp_path):
    (tmp_path / "ab1.jpg").write_bytes(b"x")
    table = load(tmp_path, "a.csv", "id,text\nab1,a\nnan,b\n", text="text", image="id", post_id="id")
    assert [media and Path(media["path"]).name for media in table["image"].to_pylist()] == ["ab1.jpg", None]
    assert "nothing is fetched" in sentence(tmp_path, "b.csv", "p\nhttps://x.org/a.png\n", image="p")
    told = sentence(tmp_path, "c.csv", f'p\n"data:image/png;base64,{"QUJD" * 99}"\n', image="p")
    assert "holds base64" in told
    assert "QUJD" not in told


@pytest.mark.parametrize(
    "field", ["post_id", "group", "author", "community", "region", "weight", "created_at", "split"]
)
@pytest.mark.parametrize("value", [{"a": 1}, [1], [{"a": 1}]])
def test_objects_and_lists_in_any_column_are_one_sentence(tmp_path, field, value):
    rows = [{"text": "a", "x": value}, {"text": "b", "x": value}]
    data = "".join(json.dumps(row) + "\n" for row in rows)
    assert "column 'x'" in sentence(tmp_path, "a.jsonl", data, text="text", **{field: "x"})
    mixed = json.dumps({"text": "a", "x": value}) + "\n" + json.dumps({"text": "b", "x": "plain"}) + "\n"
    assert "column 'x'" in sentence(tmp_path, "b.jsonl", mixed, text="text", **{field: "x"})


def test_a_post_of_several_lines_is_no_swallowed_row(tmp_path):
    rows = "".join(f"{n},words {n},{n % 2}\n" for n in range(20))
    data = f'id,text,y\n{rows}77,"hot, they say\nor cold, they say",1\n'
    assert load(tmp_path, "a.csv", data, **SIMPLE)["text"][20].as_py() == "hot, they say\nor cold, they say"
    swallowed = f'id,text,y\n{rows}77,"hot,1\n78,cold",0\n'
    assert load(tmp_path, "b.csv", swallowed, **SIMPLE)["post_id"].to_pylist()[20:] == ["77", "78"]
    other = swallowed.replace("words 2,", '"words, 2",')  # some cells are quoted
    assert "takes in 2 lines" in sentence(tmp_path, "c.csv", other, **SIMPLE)


@pytest.mark.parametrize("rows", [3, 200])
def test_free_text_beside_the_text_does_not_tell_that_no_row_is_swallowed(tmp_path, rows):
    titles = "".join(f'{"so " * (n % 40)}title {n}!,"words, {n}"\n' for n in range(rows))
    data = f'title,text\n{titles}One,"it begins\nAnd; a new: one?,it ends"\n'
    assert "takes in 2 lines" in sentence(tmp_path, "a.csv", data, text="text")
