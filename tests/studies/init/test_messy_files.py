"""`workbench init` on files that it has never seen: the corpus of the written study says what the test wrote."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from collections import Counter

import pytest
from typer.testing import CliRunner
from written_study import AS_WRITTEN, HARMFUL, N, delimited, init, table, texts, told

from workbench import cli
from workbench.schema import read_yaml


def posts(**columns: list) -> list[dict]:
    names = ["id", "text", *columns]
    return [dict(zip(names, row, strict=True)) for row in zip(range(N), texts(), *columns.values(), strict=True)]


YES_NO = [("yes" if harm else "no") for harm in HARMFUL]


def test_semicolons_with_a_byte_order_mark(tmp_path):
    pairs = enumerate(zip(texts(), YES_NO, strict=True))
    rows = [{"Nr": n, "Beitrag": f"{text}, so; ja", "Toxic?": answer} for n, (text, answer) in pairs]
    (tmp_path / "a.csv").write_text(delimited(rows, ";"), encoding="utf-8-sig")
    study, _ = init(tmp_path / "a.csv")
    assert told(study) == {"toxic": AS_WRITTEN}
    assert study["corpus"]["post_id"] == "Nr"
    assert table(study)["text"].to_pylist() == [row["Beitrag"] for row in rows]


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16", "utf-8"])
def test_encodings(tmp_path, encoding):
    rows = [
        row | {"text": f"{row['text']} das wäre über die Straße größer und schöner, sagt Jörg im Café"}
        for row in posts(abuse=YES_NO)
    ]
    (tmp_path / "a.csv").write_bytes(delimited(rows).encode(encoding))
    study, _ = init(tmp_path / "a.csv")
    assert "taxonomy" not in study  # the default one has this label
    assert told(study) == {"abuse": AS_WRITTEN}
    assert table(study)["text"].to_pylist() == [row["text"] for row in rows]


def test_a_row_for_each_of_three_annotators(tmp_path):
    rows = [
        {"comment_id": f"c{n:03}", "annotator": f"a{who}", "comment": text, "hateful": int(HARMFUL[n] and who < 3)}
        for n, text in enumerate(texts())
        for who in (1, 2, 3)
    ]
    (tmp_path / "a.csv").write_text(delimited(rows))
    study, _ = init(tmp_path / "a.csv")
    assert study["corpus"]["annotators"] == {"item": "comment_id", "who": "annotator", "label": {"hateful": "hateful"}}
    assert told(study) == {"hateful": AS_WRITTEN}
    votes = table(study)["meta"].combine_chunks().flatten()
    assert [votes[0].to_pylist()[0], votes[1].to_pylist()[0]] == [2, 1]


def test_a_column_for_each_of_three_annotators(tmp_path):
    harm = ["hate" if harm else "none" for harm in HARMFUL]
    other = ["none"] * N
    (tmp_path / "a.csv").write_text(delimited(posts(annotator_1=harm, annotator_2=harm, annotator_3=other)))
    study, _ = init(tmp_path / "a.csv")
    assert told(study) == {"hate": AS_WRITTEN}


def test_scores_from_0_to_1(tmp_path):
    scores = [round(0.5 + (n % 50) / 100 if harm else (n % 50) / 101, 3) for n, harm in enumerate(HARMFUL)]
    (tmp_path / "a.csv").write_text(delimited(posts(toxicity=scores)))
    study, _ = init(tmp_path / "a.csv")
    assert study["corpus"]["labels"] == {"toxicity": {"column": "toxicity", "threshold": 0.5}}
    assert told(study) == {"toxicity": AS_WRITTEN}


@pytest.mark.parametrize(
    "written",
    [lambda row: ";".join(row), lambda row: ", ".join(row), json.dumps, str],
    ids=["semicolons", "commas", "json", "python"],
)
def test_lists_in_cells(tmp_path, written):
    lists = [[*(["insult"] if n % 3 == 0 else []), *(["threat"] if n % 4 == 0 else [])] or ["ok"] for n in range(N)]
    (tmp_path / "a.csv").write_text(delimited(posts(labels=[written(row) for row in lists])))
    study, _ = init(tmp_path / "a.csv")
    counts = Counter(element for row in lists for element in row)
    assert told(study) == {label: (counts[label], N - counts[label], 0) for label in ("insult", "threat")}


@pytest.mark.parametrize("word", ["NaN", "NA", "null", "-", ""])
def test_words_for_missing_are_unknown(tmp_path, word):
    answers = [word if n % 10 == 1 else answer for n, answer in enumerate(YES_NO)]
    (tmp_path / "a.csv").write_text(delimited(posts(sexist=answers)))
    study, _ = init(tmp_path / "a.csv")
    counts = Counter(answers)
    assert told(study) == {"sexist": (counts["yes"], counts["no"], counts[word])}


def test_a_class_called_none(tmp_path):
    classes = [("racism" if n % 6 == 0 else "Sexism") if harm else "none" for n, harm in enumerate(HARMFUL)]
    (tmp_path / "a.csv").write_text(delimited(posts(Class=classes)))
    study, _ = init(tmp_path / "a.csv")
    counts = Counter(classes)
    assert told(study) == {label.lower(): (counts[label], N - counts[label], 0) for label in ("racism", "Sexism")}


def test_quotation_marks_in_a_tsv(tmp_path):
    pairs = enumerate(zip(texts(), YES_NO, strict=True))
    lines = ["id\ttweet\toffensive", *(f'{n}\t"{text}\t{answer}' for n, (text, answer) in pairs)]
    (tmp_path / "a.tsv").write_text("\n".join(lines))
    study, _ = init(tmp_path / "a.tsv")
    assert told(study) == {"offensive": AS_WRITTEN}
    assert table(study)["text"].to_pylist() == [f'"{text}' for text in texts()]


@pytest.mark.parametrize(
    ("written", "first"),
    [
        ([1_600_000_000 + n for n in range(N)], "2020-09-13"),
        ([(1_600_000_000 + n) * 1000 for n in range(N)], "2020-09-13"),
        ([2021] * N, "2021-01-01"),
        ([20210105] * N, "2021-01-05"),
        (["31.12.2020"] * N, "2020-12-31"),
        (["2020-09-13T12:00:00Z"] * N, "2020-09-13"),
    ],
)
def test_times(tmp_path, written, first):
    (tmp_path / "a.csv").write_text(delimited(posts(abuse=YES_NO, created_utc=written)))
    study, _ = init(tmp_path / "a.csv")
    assert str(table(study)["created_at"][0].as_py())[:10] == first


def test_ids_with_leading_zeros(tmp_path):
    rows = [row | {"id": f"{n:05}"} for n, row in enumerate(posts(abuse=YES_NO))]
    (tmp_path / "a.csv").write_text(delimited(rows))
    study, _ = init(tmp_path / "a.csv")
    assert table(study)["post_id"].to_pylist() == [row["id"] for row in rows]


def test_packed_files(tmp_path):
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(delimited(posts(abuse=YES_NO)).encode()))
    study, _ = init(tmp_path / "a.csv.gz")
    assert told(study) == {"abuse": AS_WRITTEN}


def workbook(rows: list[list]) -> bytes:
    """Return a workbook of one sheet, as small as the format allows."""
    main, doc = "http://schemas.openxmlformats.org/spreadsheetml/2006/main", "application/vnd.openxmlformats-"
    kinds, relation = (
        f"{doc}officedocument.spreadsheetml",
        "http://schemas.openxmlformats.org/officeDocument/2006/relationships",
    )
    links = "http://schemas.openxmlformats.org/package/2006/relationships"

    def cell(value: object) -> str:
        if isinstance(value, bool):
            return f'<c t="b"><v>{int(value)}</v></c>'
        if isinstance(value, int):
            return f"<c><v>{value}</v></c>"
        return f'<c t="inlineStr"><is><t>{value}</t></is></c>'

    sheet = "".join(f"<row>{''.join(map(cell, row))}</row>" for row in rows)
    parts = {
        "[Content_Types].xml": '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        f'<Override PartName="/xl/workbook.xml" ContentType="{kinds}.sheet.main+xml"/>'
        f'<Override PartName="/xl/worksheets/sheet1.xml" ContentType="{kinds}.worksheet+xml"/></Types>',
        "_rels/.rels": f'<Relationships xmlns="{links}"><Relationship Id="r1" Type="{relation}/officeDocument" '
        'Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{main}" xmlns:r="{relation}"><sheets>'
        '<sheet name="Posts" sheetId="1" r:id="r1"/></sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{links}"><Relationship Id="r1" '
        f'Type="{relation}/worksheet" Target="worksheets/sheet1.xml"/></Relationships>',
        "xl/worksheets/sheet1.xml": f'<worksheet xmlns="{main}"><sheetData>{sheet}</sheetData></worksheet>',
    }
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return out.getvalue()


def test_workbooks(tmp_path):
    rows = posts(abuse=HARMFUL)
    (tmp_path / "a.xlsx").write_bytes(workbook([list(rows[0]), *(list(row.values()) for row in rows)]))
    study, _ = init(tmp_path / "a.xlsx")
    assert told(study) == {"abuse": AS_WRITTEN}
    assert table(study)["post_id"].to_pylist() == [str(n) for n in range(N)]


def test_the_files_own_split_is_kept_unless_the_same_words_stand_on_both_sides(tmp_path):
    rows = posts(abuse=YES_NO, set=["train" if n < 40 else "dev" if n < 50 else "test" for n in range(N)])
    (tmp_path / "a.csv").write_text(delimited(rows))
    study, _ = init(tmp_path / "a.csv")
    assert study["corpus"]["split"] == {"column": "set", "values": {"dev": "validation"}}
    assert Counter(table(study)["split"].to_pylist()) == {"train": 40, "validation": 10, "test": 10}
    rows[55]["text"] = rows[0]["text"].upper()
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "a.csv").write_text(delimited(rows))
    study, said = init(tmp_path / "b" / "a.csv")
    assert "split" not in study["corpus"]
    assert "the file's own split was left out: 1 group, 1 text" in " ".join(said.replace("#   ", "").split())


def test_every_guess_has_a_comment_and_what_is_no_label_is_told(tmp_path):
    (tmp_path / "a.csv").write_text(delimited(posts(abuse=YES_NO, label=["x"] * N)))
    _, said = init(tmp_path / "a.csv")
    assert "post_id: id  # each value stands in one row" in said
    assert "abuse: abuse  # yes or no: no (40), yes (20)" in said
    assert "column 'label' says 'x' alone" in said


def test_a_file_without_labels_is_written_and_told(tmp_path):
    (tmp_path / "a.csv").write_text(delimited(posts()))
    done = CliRunner().invoke(cli.app, ["init", str(tmp_path / "a.csv"), "-o", str(tmp_path / "s.yaml"), "--yes"])
    assert done.exit_code == 1
    assert "name a label" in done.output
    assert read_yaml(tmp_path / "s.yaml")["corpus"]["labels"] == {}


def test_nothing_is_overwritten_and_what_holds_no_posts_is_one_sentence(tmp_path):
    (tmp_path / "a.csv").write_text(delimited(posts(abuse=YES_NO)))
    init(tmp_path / "a.csv")
    again = CliRunner().invoke(cli.app, ["init", str(tmp_path / "a.csv"), "-o", str(tmp_path / "study.yaml"), "--yes"])
    assert (again.exit_code, again.output.count("\n")) == (2, 1)
    for given in ("nowhere.csv", "."):
        done = CliRunner().invoke(cli.app, ["init", str(tmp_path / given / "none"), "-o", "x.yaml", "--yes"])
        assert (done.exit_code, done.output.count("\n")) == (2, 1)


def test_questions_in_a_terminal(tmp_path):
    notes = [f"see {n} and more" for n in range(N)]
    (tmp_path / "a.csv").write_text(delimited(posts(note=notes, toxic=YES_NO, insult=YES_NO)))
    out = tmp_path / "s.yaml"
    silent = CliRunner().invoke(cli.app, ["init", str(tmp_path / "a.csv"), "-o", str(out)], input="")
    assert silent.exit_code == 2
    assert "add --yes" in silent.output
    assert not out.exists()
    typed = "nowhere\nnote\nTo xic\nabuse\n-\n"
    done = CliRunner().invoke(cli.app, ["init", str(tmp_path / "a.csv"), "-o", str(out)], input=typed)
    assert done.exit_code == 0, done.output
    assert "unknown column 'nowhere'" in done.output
    study = read_yaml(out)
    assert study["corpus"]["text"] == "note"
    assert study["corpus"]["labels"] == {"abuse": "toxic"}


def test_groups_and_topics_are_no_labels_and_a_family_that_cannot_be_divided_is_none(tmp_path):
    rows = posts(
        abuse=YES_NO,
        target=[["women", "migrants", "players"][n % 3] for n in range(N)],
        thread_id=[n % 2 for n in range(N)],
    )
    (tmp_path / "a.csv").write_text(delimited(rows))
    study, said = init(tmp_path / "a.csv")
    assert list(told(study)) == ["abuse"]
    assert "called like labels, but may mean anything: 'target' holds" in " ".join(said.replace("#   ", "").split())
    assert "group" not in study["corpus"]


def test_threads_are_families_unless_the_same_words_stand_in_several(tmp_path):
    rows = posts(abuse=YES_NO, thread_id=[n // 2 for n in range(N)])
    (tmp_path / "a.csv").write_text(delimited(rows))
    study, _ = init(tmp_path / "a.csv")
    assert study["corpus"]["group"] == "thread_id"
    for n in range(0, N, 3):  # one text in twenty threads, so some of them are on either side
        rows[n]["text"] = "the very same words"
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "a.csv").write_text(delimited(rows))
    study, said = init(tmp_path / "b" / "a.csv")
    assert "group" not in study["corpus"]
    assert "stand in several families of 'thread_id'" in " ".join(said.replace("#   ", "").split())


def test_cells_of_several_lines_are_read_and_told(tmp_path):
    rows = posts(abuse=YES_NO)
    rows[5]["text"] = f"five,{rows[4]['abuse']}\n{rows[4]['id']},six"  # each of its lines could be a row
    lines = ["id,text,abuse", *(f'{row["id"]},"{row["text"]}",{row["abuse"]}' for row in rows)]
    (tmp_path / "a.csv").write_text("\n".join(lines))
    study, said = init(tmp_path / "a.csv")
    assert told(study) == {"abuse": AS_WRITTEN}
    assert table(study)["text"].to_pylist() == [row["text"] for row in rows]
    assert study["corpus"]["quotes"] is True
    assert 'line 7: the `"` there opens a cell that takes in 2 lines' in " ".join(said.replace("#   ", "").split())


def test_degrees_get_a_threshold_and_are_told(tmp_path):
    (tmp_path / "a.csv").write_text(
        delimited(posts(toxicity_label=[(1 + n % 2) if harm else 0 for n, harm in enumerate(HARMFUL)]))
    )
    study, said = init(tmp_path / "a.csv")
    assert told(study) == {"toxicity": AS_WRITTEN}
    assert "taken as degrees, from 1 on harmful" in " ".join(said.replace("#   ", "").split())
