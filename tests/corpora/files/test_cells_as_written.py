"""Cells as programs and people write them: lists in many forms, numbers, spellings, rows of annotators, broken JSON.

Each either says what its writer meant or is refused in a sentence: a label must not turn without a word.
"""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from workbench import corpora
from workbench.corpora import counts, splits
from workbench.errors import WorkbenchError
from workbench.schema import Taxonomy

TAXONOMY = Taxonomy.load()
SIMPLE = {"post_id": "id", "text": "text", "labels": {"abuse": "y"}}


def load(folder: Path, name: str, data: str | bytes, **mapping):
    (folder / name).write_bytes(data.encode() if isinstance(data, str) else data)
    config = {"source": "files", "path": str(folder / name), **SIMPLE, **mapping}
    return corpora.load(config, TAXONOMY, cache=folder / "cache").table


def label(table, name: str = "abuse") -> list[bool | None]:
    return [row[name] for row in table["labels"].to_pylist()]


def sentence(folder: Path, name: str, data: str | bytes, **mapping) -> str:
    with pytest.raises(WorkbenchError) as caught:
        load(folder, name, data, **mapping)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def written(header: list[str], *rows: list) -> str:
    out = io.StringIO()
    csv.writer(out).writerows([header, *rows])
    return out.getvalue()


def column(values: list[str], **rule) -> tuple[str, dict]:
    data = written(["id", "text", "y"], *([n, f"words {n}", value] for n, value in enumerate(values)))
    return data, {"labels": {"abuse": {"column": "y", **rule}}}


# --------------------------------------------------------------------------------------------------------------- lists

LISTS = [  # a list with insult and threat, one with threat alone, an empty one
    ['["insult", "threat"]', '["threat"]', "[]"],
    ["['insult', 'threat']", "['threat']", "[]"],
    ["['insult' 'threat']", "['threat']", "[]"],  # NumPy; Python would make one text of the two
    ["['insult'\n 'threat']", "['threat']", "[]"],
    ["array(['insult', 'threat'], dtype=object)", "array(['threat'], dtype=object)", "array([], dtype=object)"],
    ["('insult', 'threat')", "('threat',)", "()"],
    ["{'insult', 'threat'}", "{'threat'}", "set()"],
    ["frozenset({'insult'})", "frozenset({'threat'})", "frozenset()"],
    ["{insult,threat}", '{"threat"}', "{}"],  # PostgreSQL
    ["[insult, threat]", "[threat]", "[]"],
    ["<insult><threat>", "<threat>", "[]"],
    ["insult;threat", "threat;", "[]"],
    ['"insult"|"threat"', "threat", "[]"],
]


@pytest.mark.parametrize("cells", LISTS, ids=lambda cells: cells[0])
def test_lists_in_cells_are_read_in_whatever_form(tmp_path, cells):
    data, mapping = column(cells, contains=["insult"])
    assert label(load(tmp_path, "a.csv", data, **mapping)) == [True, False, False]


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        (["insult threat", "threat", "insult"], '`separator: " "`'),
        (["insult / threat", "threat"], '`separator: "/"`'),
        (["insult + threat", "threat"], '`separator: "+"`'),
        (["#insult #threat", "#threat"], '`separator: "#"`'),
        (["insult\nthreat", "threat"], '`separator: "\\n"`'),
        (['[{"label": "insult"}]', "[]"], "a list of objects"),
        (['{"insult": 1, "threat": 0}'], "is an object, no list"),
        (['["insult", "thr', '["threat"]'], "does not end"),
    ],
)
def test_lists_that_are_none_are_asked_about(tmp_path, cells, said):
    data, mapping = column(cells, contains=["insult"])
    assert said in sentence(tmp_path, "a.csv", data, **mapping)


def test_what_a_rule_names_is_one_element_and_a_separator_is_believed(tmp_path):
    data, mapping = column(["hate, strong", "hate/mild", "hate"], contains=["hate, strong"], negative=["hate/mild"])
    assert label(load(tmp_path, "a.csv", data, **mapping)) == [True, False, False]
    data, mapping = column(["insult threat", "threat", "insult"], contains=["insult"], separator=" ")
    assert label(load(tmp_path, "b.csv", data, **mapping)) == [True, False, True]
    data, mapping = column(["not insult", "insult", "non-insult"], contains=["insult"])
    assert label(load(tmp_path, "c.csv", data, **mapping)) == [False, True, False]


def test_lists_of_one_length_in_parquet(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    lists = pa.array([["a", "b"], ["b", "c"]], pa.list_(pa.string(), 2))
    pq.write_table(pa.table({"id": [1, 2], "text": ["a", "b"], "y": lists}), tmp_path / "a.parquet")
    _, mapping = column([], contains=["a"])
    config = {"source": "files", "path": str(tmp_path / "a.parquet"), **SIMPLE, **mapping}
    assert label(corpora.load(config, TAXONOMY, cache=tmp_path / "cache").table) == [True, False]


# --------------------------------------------------------------------------------------------------------------- votes


@pytest.mark.parametrize("cells", [["1, 0, 1", "0"], ["[1, 0, 1]", "[0]"], ["1;0;1", "0"], ["1|0|1", "0"]])
def test_answers_in_one_cell_count_each(tmp_path, cells):
    data = written(["id", "text", "a"], *([n, f"words {n}", cell] for n, cell in enumerate(cells)))
    table = load(tmp_path, "a.csv", data, labels={}, votes={"abuse": {"columns": ["a"], "positive": [1]}})
    assert [(row["votes_abuse_yes"], row["votes_abuse_no"]) for row in table["meta"].to_pylist()] == [(2, 1), (0, 1)]


def test_a_remark_with_a_comma_is_not_two_votes(tmp_path):
    data = written(["id", "text", "a", "b"], [1, "x", "hate", "no, but rude"], [2, "y", "no", "no"])
    rule = {"columns": ["a", "b"], "positive": ["hate"]}
    said = sentence(tmp_path, "a.csv", data, labels={}, votes={"abuse": {**rule, "negative": "rest"}})
    assert "'no, but rude' may be one answer or several" in said
    table = load(tmp_path, "a.csv", data, labels={}, votes={"abuse": {**rule, "negative": ["no", "no, but rude"]}})
    assert table["meta"].to_pylist()[0] == {"votes_abuse_yes": 1, "votes_abuse_no": 1}


def test_votes_are_counted_once_and_no_thousands_are_added_up(tmp_path):
    data = written(["id", "text", "a", "b"], [1, "x", "1,234", "300"])
    assert "not 1,234" in sentence(tmp_path, "a.csv", data, labels={}, votes={"abuse": {"yes": ["a"], "no": ["b"]}})
    twice = {"abuse": {"columns": ["a", "a"], "positive": [1]}}
    assert "named twice" in sentence(tmp_path, "a.csv", data, labels={}, votes=twice)


# ---------------------------------------------------------------------------------------------------------- annotators

HEADER = ["id", "text", "who", "y", "split", "gold"]
ANNOTATORS = {"item": "id", "who": "who", "label": {"abuse": "y"}}


def test_what_only_a_later_row_says_of_a_post_is_kept(tmp_path):
    rows = [[1, "", "x", 1, "", ""], [1, "a", "y", 1, "test", "1"], [2, "b", "x", 0, "train", "0"]]
    mapping = {"labels": {"nudity": "gold"}, "split": "split", "annotators": ANNOTATORS}
    table = load(tmp_path, "a.csv", written(HEADER, *rows), **mapping)
    assert table["text"].to_pylist() == ["a", "b"]
    assert table["split"].to_pylist() == ["test", "train"]
    assert label(table) == label(table, "nudity") == [True, False]


@pytest.mark.parametrize(("at", "name"), [(1, "text"), (4, "split"), (5, "gold")])
def test_rows_of_one_post_may_not_disagree_about_it(tmp_path, at, name):
    rows = [[1, "a", "x", 1, "train", "1"], [1, "a", "y", 1, "train", "1"]]
    rows[1][at] = {"text": "b", "split": "test", "gold": "0"}[name]
    mapping = {"labels": {"nudity": "gold"}, "split": "split", "annotators": ANNOTATORS}
    assert f"the rows of post '1' differ in {name!r}" in sentence(tmp_path, "a.csv", written(HEADER, *rows), **mapping)


def test_kept_columns_of_annotators_may_differ(tmp_path):
    rows = [[1, "a", "x", 1, "", "10 s"], [1, "a", "y", 0, "", "3 s"], [1, "a", "z", 0, "", ""]]
    table = load(tmp_path, "a.csv", written(HEADER, *rows), labels={}, keep=["gold"], annotators=ANNOTATORS)
    assert table["meta"].to_pylist() == [{"gold": "10 s", "votes_abuse_yes": 1, "votes_abuse_no": 2}]


# ----------------------------------------------------------------------------------------------------------- spellings


@pytest.mark.parametrize(
    "other", ["Hate", "hate\u200b", "ｈａｔｅ", "'hate'", "hate.", "\ufeffhate", "ha\u00adte"], ids=ascii
)
@pytest.mark.parametrize("negative", ["rest", ["no"], None])
def test_a_spelling_that_only_looks_alike_does_not_change_sides(tmp_path, other, negative):
    data, mapping = column(["hate", other, "no"], positive=["hate"], **({"negative": negative} if negative else {}))
    said = sentence(tmp_path, "a.csv", data, **mapping)
    assert "name both spellings" in said or "`negative: [" in said


def test_both_spellings_are_named_on_the_side_that_is_meant(tmp_path):
    data, mapping = column(["hate-speech", "hate_speech", "no"], positive=["hate-speech"], negative="rest")
    assert "`positive: [hate-speech, hate_speech]`" in sentence(tmp_path, "a.csv", data, **mapping)
    data, mapping = column(["hate", "non-hate", "non‑hate"], positive=["hate"], negative=["non-hate"])
    assert '`negative: [non-hate, "non\\u2011hate"]`' in sentence(tmp_path, "b.csv", data, **mapping)
    data, mapping = column(["café", "cafe\u0301", "no"], positive=["café", "cafe\u0301"], negative="rest")
    assert label(load(tmp_path, "c.csv", data, **mapping)) == [True, True, False]


def test_the_rest_is_not_left_without_any_no(tmp_path):
    data, mapping = column(["racism", "sexism", "none", "none"], positive=["racism", "sexism"], negative="rest")
    assert 'as in `negative: ["none"]`' in sentence(tmp_path, "a.csv", data, **mapping)


# ------------------------------------------------------------------------------------------------------------- numbers


@pytest.mark.parametrize(
    ("cells", "rule", "expected"),
    [
        (["0,5", "0,7", "0,1", "1"], {"threshold": 0.5}, [True, True, False, True]),
        (["60%", "40 %", "12,5%"], {"soft": True}, [True, False, False]),
        (["60%", "50%", "49%"], {"threshold": 0.5}, [True, True, False]),
        (["+0.6", ".4", "5e-1"], {"threshold": 0.5}, [True, False, True]),
    ],
)
def test_numbers_with_commas_and_percentages(tmp_path, cells, rule, expected):
    data, mapping = column(cells, **rule)
    assert label(load(tmp_path, "a.csv", data, **mapping)) == expected


@pytest.mark.parametrize(
    ("cells", "rule", "said"),
    [
        (["60%", "40%"], {"threshold": 50}, "`threshold: 0.5`, not 50"),
        (["60%", "0.4"], {"soft": True}, "percentages beside other numbers"),
        (["1,234", "2,500"], {"threshold": 2}, "part thousands"),
        (["1.5", "0,5"], {"threshold": 1}, "not 0,5 (1)"),
        (["0,5", "0,7"], {}, "`threshold: 0.5`"),
        (["60%", "40%"], {}, "`soft: true`"),
    ],
)
def test_numbers_that_may_be_two_are_asked_about(tmp_path, cells, rule, said):
    data, mapping = column(cells, **rule)
    assert said in sentence(tmp_path, "a.csv", data, **mapping)


def test_authors_and_weights_that_are_no_numbers(tmp_path):
    rows = [
        {"id": 1, "text": "a", "y": 1, "who": {"id": "x", "posts": "many"}, "w": "heavy"},
        {"id": 2, "text": "b", "y": 0},
    ]
    lines = "\n".join(map(json.dumps, rows))
    assert "column 'who.posts' must hold numbers, not 'many'" in sentence(tmp_path, "a.jsonl", lines, author="who")
    assert "`weight` must hold numbers, not 'heavy'" in sentence(tmp_path, "a.jsonl", lines, weight="w")


def test_ids_that_a_spreadsheet_rounded_are_refused(tmp_path):
    assert "1.23457E+18" in sentence(tmp_path, "a.csv", "id,text,y\n1.23457E+18,a,1\n2,b,0\n")
    assert load(tmp_path, "b.csv", "id,text,y\n1e5,a,1\n10.0,b,0\n")["post_id"].to_pylist() == ["1e5", "10.0"]


# ---------------------------------------------------------------------------------------------------- files and splits


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.jsonl", '[{"id": "1", "text": "a", "y": 1}, {"id": "2", "text": "b", "y": 0}]'),
        ("a.json", '{"id": {"0": 1, "1": 2}, "text": {"0": "a", "1": "b"}, "y": {"0": 1, "1": 0}}'),
        ("a.json", '{"id": [1, 2],\n "text": ["a", "b"],\n "y": [1, 0]}'),
        ("a.csv", "id,text,y\n1,a,1\n ID , Text ,Y\n2,b,0\n"),
        ("a.csv", "id,text,y\n1,a,1\n\ufeffid,text,y\n2,b,0\n"),
        ("a.csv", "id,text,y\n1,a,1\n2,b,0\n".encode("utf-16-be")),
    ],
)
def test_more_layouts_of_rows(tmp_path, name, data):
    table = load(tmp_path, name, data)
    assert table["post_id"].to_pylist() == ["1", "2"]
    assert label(table) == [True, False]


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_without_a_mark_in_any_script(tmp_path, encoding):
    data = "id,text,y\n" + "".join(f"{n},今日は天気がいいですね,{n % 2}\n" for n in range(9))
    assert load(tmp_path, "a.csv", data.encode(encoding))["text"].to_pylist()[0] == "今日は天気がいいですね"


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("a.json", '[{"id": 1, "text": "a", "y": 1}]\n[{"id": 2, "text": "b", "y": 0}]', "goes on after its JSON"),
        ("a.json", '{"data": [{"id": 1, "text": "a", "y": 1}]} {"data": []}', "goes on after its JSON, in line 1"),
        ("a.csv", b"\x1f\x8b\x08\0\0\0", "packed by gzip"),
        ("a.csv", b"PK\x03\x04\0\0\0", "end its name in .xlsx"),
        ("a.xlsx", b"PAR1\0\0\0", "end its name in .parquet"),
    ],
)
def test_files_that_are_not_what_they_seem(tmp_path, name, data, said):
    assert said in sentence(tmp_path, name, data)


def test_halves_of_letters_beside_numbers_cost_no_file(tmp_path):
    lines = [{"id": 1, "text": "a\ud83d", "y": 1}, {"id": "x\ud800", "text": "b", "y": 0}]
    table = load(tmp_path, "a.jsonl", "\n".join(map(json.dumps, lines)))
    assert table["post_id"].to_pylist() == ["1", "x?"]


def test_a_split_by_numbers_and_by_words_for_missing(tmp_path):
    data = written(["id", "text", "y", "s"], [1, "a", 1, 0], [2, "b", 0, 1], [3, "c", 0, "none"], [4, "d", 1, ""])
    split = {"column": "s", "values": {0: "train", 1: "validation", "none": "test"}}
    table = load(tmp_path, "a.csv", data, split=split)
    assert table["split"].to_pylist() == ["train", "validation", "test", None]
    assert any("1 rows name no split in 's'" in line for line in counts.noticed(table))


def test_posts_of_other_splits_are_left_out_of_a_test_set_and_said(tmp_path):
    data = written(["id", "text", "y", "s"], *([n, f"w {n}", n % 2, "test" if n % 4 else "train"] for n in range(40)))
    load(tmp_path, "a.csv", data)
    config = {"source": "files", "path": str(tmp_path / "a.csv"), **SIMPLE}
    sets, _, _ = splits.divide(config, {}, {"own": {**config, "split": "s"}}, TAXONOMY)
    assert len(sets["own"]) == 30
    assert "test set 'own': 10 of 40 posts left out, as their own split is not test" in counts.noticed(sets["own"])


def test_a_set_that_cannot_tell_what_others_tell_is_said(tmp_path):
    header = ["id", "text", "y", "z"]
    both = load(
        tmp_path, "a.csv", written(header, [1, "a", 1, 0], [2, "b", 0, 1]), labels={"abuse": "y", "nudity": "z"}
    )
    other = load(tmp_path, "b.csv", written(header, [1, "a", 1, ""], [2, "b", 1, ""]))
    noticed = counts.noticed_in({"test": both, "other": other}, TAXONOMY)
    assert noticed[-2:] == [
        "other: all 2 posts say yes to abuse: nothing to rank there",
        "other says nothing of nudity: what is a mean over labels leaves that one out there",
    ]


# --------------------------------------------------------------------------------------------------------------- media


def pictures(folder: Path, *cells: str) -> tuple[str, dict]:
    (folder / "im" / "sub").mkdir(parents=True)
    for name in ("a.png", "sub/b.png"):
        (folder / "im" / name).write_bytes(name.encode())
    data = written(["id", "text", "y", "img"], *([n, f"w {n}", n % 2, cell] for n, cell in enumerate(cells)))
    return data, {"image": "img", "images": str(folder / "im")}


def test_pictures_that_are_not_there_are_counted(tmp_path):
    data, mapping = pictures(tmp_path, "a.png", "lost.png", "sub", "nan")
    (warned,) = counts.warned(load(tmp_path, "a.csv", data, **mapping))
    assert warned.startswith("2 of 3 pictures are not there, such as ")
    assert warned.endswith("lost.png, sub; their posts are read without them")


def test_paths_as_windows_writes_them(tmp_path):
    data, mapping = pictures(tmp_path, "sub\\b.png", "a.png")
    paths = [row["path"] for row in load(tmp_path, "a.csv", data, **mapping)["image"].to_pylist()]
    assert paths == [str(tmp_path / "im" / "sub" / "b.png"), str(tmp_path / "im" / "a.png")]
    outside = written(["id", "text", "y", "img"], [1, "w", 1, "..\\..\\x.png"])
    assert "leaves the folder" in sentence(tmp_path, "b.csv", outside, **mapping)


def test_a_path_that_begins_with_the_folder_is_told(tmp_path):
    data, mapping = pictures(tmp_path, "im/a.png")
    assert "set `images` to it" in sentence(tmp_path, "a.csv", data, **mapping)


@pytest.mark.parametrize("begin", ["iVBORw0KGgo", "/9j/4AAQSkZJRg", "R0lGODlh", "UklGR"])
def test_content_in_place_of_a_path_is_not_shown(tmp_path, begin):
    data, mapping = pictures(tmp_path, begin + "AAAA" * 12 + "\n" + "BBBB" * 9 + "=")
    said = sentence(tmp_path, "a.csv", data, **mapping)
    assert "holds base64" in said
    assert "AAAA" not in said
