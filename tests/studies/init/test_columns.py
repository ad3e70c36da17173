"""What `workbench init` makes of votes, times, encodings and columns to slice by, and which models it begins with."""

from __future__ import annotations

import re

import pytest
from PIL import Image
from typer.testing import CliRunner
from written_study import AS_WRITTEN, HARMFUL, N, delimited, init, table, texts, told

from workbench import cli
from workbench.schema import read_yaml

YES_NO = ["yes" if harm else "no" for harm in HARMFUL]


def posts(**columns: list) -> str:
    names = ["id", "text", *columns]
    rows = zip(range(N), texts(), *columns.values(), strict=True)
    return delimited([dict(zip(names, row, strict=True)) for row in rows])


# --------------------------------------------------------------------------------------------------------------- votes


@pytest.mark.parametrize(
    ("yes", "no"),
    [
        ("1, 0, 1", "0, 0, 1"),
        ("hate,hate,none", "none,none,hate"),
        ("1,1", "0"),
        ("1;0;1", "0;0"),
        ("hate|hate", "none"),
        ("[1, 0, 1]", "[0, 0]"),
        ("['hate', 'hate']", "['none', 'hate', 'none']"),
    ],
)
def test_answers_of_several_annotators_in_a_cell(tmp_path, yes, no):
    (tmp_path / "a.csv").write_text(posts(hateful=[yes if harm else no for harm in HARMFUL]))
    study, said = init(tmp_path / "a.csv")
    (label,) = study["corpus"]["votes"]
    assert told(study) == {label: AS_WRITTEN}
    assert "answers of several annotators in a cell, most of them decide" in said
    votes = table(study)["meta"].to_pylist()[0]
    counts = [len(re.findall(words, yes)) for words in ("1|hate", "0|none")]  # the first post is harmful
    assert [votes[f"votes_{label}_{side}"] for side in ("yes", "no")] == counts


def test_annotators_of_whom_some_gave_several_answers_and_some_none(tmp_path):
    one = ["1" if harm else "0" for harm in HARMFUL]
    two = [f"{bit};{bit}" if n % 2 else "NA" for n, bit in enumerate(one)]
    some = [bit if n % 2 else "" for n, bit in enumerate(one)]
    (tmp_path / "a.csv").write_text(posts(rater1=one, rater2=some, rater3=two))
    study, _ = init(tmp_path / "a.csv")
    (rule,) = study["corpus"]["votes"].values()
    assert rule["columns"] == ["rater1", "rater2", "rater3"]
    assert rule["separator"] == ";"
    assert [*told(study).values()] == [AS_WRITTEN]


def test_lists_that_name_nothing_twice_are_no_votes(tmp_path):
    kinds = [("insult,threat" if n % 2 else "insult") if harm else "none" for n, harm in enumerate(HARMFUL)]
    (tmp_path / "a.csv").write_text(posts(kinds=kinds))
    study, _ = init(tmp_path / "a.csv")
    assert told(study) == {"insult": AS_WRITTEN, "threat": (10, 50, 0)}
    assert "votes" not in study["corpus"]


def test_columns_for_each_annotator_whose_cells_hold_several_answers(tmp_path):
    """As ConvAbuse has them: repeated posts have `0, 1`, most annotators saw few posts, degrees are a column each."""
    columns: dict[str, list] = {}
    for who in (1, 2, 3):
        saw = [(n + who) % 3 > 0 for n in range(N)]
        says = [("1" if harm else "0") if n % 9 else ("1, 1" if harm else "0, 0") for n, harm in enumerate(HARMFUL)]
        columns[f"Annotator{who}_racist"] = [one if there else "" for one, there in zip(says, saw, strict=True)]
        for degree in ("1", "-1"):
            bits = [str(int(harm == (degree == "-1"))) for harm in HARMFUL]
            columns[f"Annotator{who}_is_abuse.{degree}"] = bits
    (tmp_path / "a.csv").write_text(posts(**columns))
    study, said = init(tmp_path / "a.csv")
    assert told(study) == {"racist": AS_WRITTEN}
    assert study["corpus"]["votes"]["racist"]["columns"] == [f"Annotator{who}_racist" for who in (1, 2, 3)]
    said = " ".join(said.replace("\n#", "").split())
    assert "columns called 'Annotator1_is_abuse.' and a number (1, -1) hold one answer of several each" in said


# ----------------------------------------------------------------------------------------------------- times, encodings


@pytest.mark.parametrize(
    ("written", "form", "first"),
    [
        ("{:02}/25/2021", "%m/%d/%Y", "2021-03-25"),
        ("25/{:02}/2021", "%d/%m/%Y", "2021-03-25"),
        ("{}/25/21", "%m/%d/%y", "2021-03-25"),
        ("25-{:02}-2021 14:05", "%d-%m-%Y %H:%M", "2021-03-25"),
        ("{:02}/25/2021 02:05:09 PM", "%m/%d/%Y %I:%M:%S %p", "2021-03-25"),
    ],
)
def test_days_above_twelve_say_which_is_the_month(tmp_path, written, form, first):
    (tmp_path / "a.csv").write_text(posts(abuse=YES_NO, date=[written.format(3 + n % 2) for n in range(N)]))
    study, said = init(tmp_path / "a.csv")
    assert study["corpus"]["time_format"] == form
    assert str(table(study)["created_at"][0].as_py())[:10] == first
    assert "unsure" not in said


@pytest.mark.parametrize("mark", ["/", "-"])
def test_days_that_may_be_months_are_told(tmp_path, mark):
    (tmp_path / "a.csv").write_text(posts(abuse=YES_NO, date=[f"0{1 + n % 7}{mark}11{mark}2021" for n in range(N)]))
    study, said = init(tmp_path / "a.csv")
    assert study["corpus"]["time_format"] == f"%d{mark}%m{mark}%Y"
    assert f"# unsure: %m{mark}%d{mark}%Y would read every value too" in said
    assert f"may be %d{mark}%m{mark}%Y or %m{mark}%d{mark}%Y" in " ".join(said.replace("\n#", "").split())
    assert f"'01{mark}11{mark}2021'" in said


def test_an_encoding_that_bytes_cannot_tell_is_given(tmp_path):
    rows = posts(abuse=YES_NO, place=["Mölln" if n % 2 else "Łódź" for n in range(N)])
    (tmp_path / "a.csv").write_bytes(rows.encode("cp1250", errors="replace"))
    study, said = init(tmp_path / "a.csv", "--encoding", "cp1250")
    assert study["corpus"]["encoding"] == "cp1250"
    assert "encoding: cp1250  # as you said" in said
    assert study["corpus"]["keep"] == ["place"]
    assert {row["place"] for row in table(study)["meta"].to_pylist()} == {"Mölln", "Łódź"}
    wrong = CliRunner().invoke(cli.app, ["init", str(tmp_path / "a.csv"), "--encoding", "cp1520"])
    assert wrong.exit_code == 2
    assert "unknown encoding 'cp1520'" in wrong.stderr


# -------------------------------------------------------------------------------------------------------------- slices


def test_columns_of_few_values_are_kept_to_slice_by(tmp_path):
    columns = {
        "device": ["phone" if n % 2 else "desk" for n in range(N)],
        "severity": ["high" if harm else "low" for harm in HARMFUL],  # tells the label without the post
        "shift": ["a"] * N,  # nothing to tell apart
        "serial": [f"s{n}" for n in range(N)],
        "rare": ["x"] + ["y"] * (N - 1),
        "stars": [n % 3 for n in range(N)],  # tells it too
    }
    (tmp_path / "a.csv").write_text(posts(abuse=YES_NO, **columns))
    study, said = init(tmp_path / "a.csv")
    assert study["corpus"]["keep"] == ["device"]
    assert study["compare"]["slices"] == ["standard", "device"]
    assert "not kept to slice by, as they tell a label without its post: 'severity', 'stars'" in said


def test_a_column_that_differs_between_the_annotators_of_a_post_is_none_of_the_post(tmp_path):
    rows = [
        {"id": n, "text": text, "rater": f"r{who}", "abuse": int(HARMFUL[n]), "mood": who % 2, "device": n // 3 % 2}
        for n, text in enumerate(texts())
        for who in range(3)
    ]
    (tmp_path / "a.csv").write_text(delimited(rows))
    study, _ = init(tmp_path / "a.csv")
    assert study["corpus"]["keep"] == ["device"]
    assert told(study) == {"abuse": AS_WRITTEN}


# -------------------------------------------------------------------------------------------------------------- models


@pytest.mark.parametrize(
    ("given", "models", "pairs"),
    [
        (("text",), ["prior", "text-tfidf", "text-vectors"], [["text-tfidf", "text-vectors"]]),
        (
            ("text", "image"),
            ["prior", "text-tfidf", "image-clip", "ensemble", "clip-cross"],
            [["ensemble", "best-unimodal"], ["clip-cross", "ensemble"]],
        ),
        (("image",), ["prior", "image-clip", "clip-retrieval"], [["image-clip", "clip-retrieval"]]),
    ],
)
def test_the_first_models_are_compared_with_each_other_and_not_with_the_floor(tmp_path, given, models, pairs):
    rows = [{"id": n, "text": text, "image": f"{n}.png", "abuse": YES_NO[n]} for n, text in enumerate(texts())]
    (tmp_path / "a.csv").write_text(
        delimited([{k: v for k, v in row.items() if k in ("id", "abuse", *given)} for row in rows])
    )
    for n in range(N if "image" in given else 0):
        Image.new("RGB", (8, 8), (n * 3, 255 - n, n)).save(tmp_path / f"{n}.png")
    study, _ = init(tmp_path / "a.csv")
    assert [model["name"] for model in study["models"]] == models
    assert study["compare"]["pairs"] == pairs
    dry = CliRunner().invoke(cli.app, ["run", str(tmp_path / "study.yaml"), "--dry-run"])
    assert dry.exit_code == 0, dry.output
    assert read_yaml(tmp_path / "study.yaml") == study
