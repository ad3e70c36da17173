"""What the first page says of the posts: counts per label and set, why some say nothing, what was read and left out."""

from __future__ import annotations

from workbench.report import cards, labelled, page, sections


def row(yes: int, no: int, unknown: int = 0, **why: int) -> dict:
    return {"yes": yes, "no": no, "unknown": unknown, "why": why}


ABUSE = {"train": row(30, 60, 10, empty=7, unclear=3), "validation": row(20, 40), "test": row(60, 119, 1, empty=1)}
NONE = {name: row(0, 0, sum(counts[side] for side in ("yes", "no", "unknown"))) for name, counts in ABUSE.items()}


def recorded(small, tmp_path, labels: dict[str, dict], **more):
    sets = {name: {label: of[name] for label, of in labels.items()} for name in ABUSE}
    return small.four(tmp_path, metrics={"labelled": sets} | more)


def answer(small, runs):
    return sections.sections(small.compared(runs), runs)[0]


def test_of_one_label_a_line_per_set(small, tmp_path):
    runs = recorded(small, tmp_path, {"abuse": ABUSE, "violence": NONE}, noticed=["a.csv: 300 rows read"])
    section = answer(small, runs)
    assert section.points["Which posts are these?"] == ["a.csv: 300 rows read"]
    (table,) = section.tables.values()
    assert [*section.tables] == ["What the posts say of abuse"]  # nobody told anything of the other label
    assert table.to_dict("index") == {
        "train": {"yes": "30", "no": "60", "unknown": "10", "unknown because": "7 empty, 3 unclear"},
        "validation": {"yes": "20", "no": "40", "unknown": "0", "unknown because": "–"},
        "test": {"yes": "60", "no": "119", "unknown": "1", "unknown because": "1 empty"},
    }
    assert not section.folded
    assert not section.folded_points
    shown = page.fragment(section)
    assert '<td class="words">7 empty, 3 unclear</td>' in shown
    assert "| abuse | train | 30 | 60 | 10 | 7 empty, 3 unclear |" in cards.data_card(small.compared(runs), runs)


def test_what_nobody_has_is_no_column(small, tmp_path):
    whole = {name: row(10, 20) for name in ABUSE}
    (table,) = answer(small, recorded(small, tmp_path, {"abuse": whole, "violence": whole})).tables.values()
    assert [*table.columns] == ["yes", "no"]
    assert [*table.index] == [(label, name) for label in ("abuse", "violence") for name in ABUSE]


def test_runs_that_recorded_nothing_tell_what_their_sets_do(small, tmp_path):
    runs = small.four(tmp_path)
    test = runs[0].sets["test"]
    (found,) = (one for one in labelled.counted(runs) if one[:2] == ("abuse", "test"))
    assert found[2:] == (int(test.y[:, 0].sum()), int((~test.y[:, 0]).sum()), 0, "")
    assert answer(small, runs).points["Which posts are these?"] == []


def test_many_sets_are_folded_below_their_sums(small, tmp_path):
    sets = {f"set{n}": {"abuse": row(n, 10), "violence": row(1, 9, 1, tie=1)} for n in range(7)}
    section = answer(small, small.four(tmp_path, metrics={"labelled": sets}))
    (sums,) = section.tables.values()
    assert [*section.tables] == ["What the posts say of each label, all sets together"]
    assert sums.to_dict("index") == {  # 0 + 1 + ... + 6 = 21
        "abuse": {"yes": "21", "no": "70", "unknown": "0"},
        "violence": {"yes": "7", "no": "63", "unknown": "7"},
    }
    (every,) = section.folded.values()
    assert len(every) == 14
    assert every.loc[("violence", "set3"), "unknown because"] == "1 tie"


def test_a_long_account_is_folded_and_a_warning_never_is(small, tmp_path):
    lines = [f"part{n}.csv: 10 rows read" for n in range(5)]
    warned = ["3 of 9 pictures are not there, such as a.png; their posts are read without them"]
    more = {"noticed": lines, "warned": warned, "dropped": 4}
    runs = recorded(small, tmp_path, {"abuse": ABUSE, "violence": ABUSE}, **more)
    section = answer(small, runs)
    assert section.points["Which posts are these?"] == lines[:3]
    dropped = "4 posts in no set: the group stands on both sides of the cut"
    assert section.folded_points == {"3 more on how the posts were read": [*lines[3:], dropped]}
    assert f"{warned[0]}." in section.points["What could be wrong?"]
    shown = page.fragment(section)
    assert "<summary>3 more on how the posts were read</summary>" in shown
    assert all(f"<li>{line}</li>" in shown for line in (*lines, dropped, f"{warned[0]}."))
    assert all(f"- {line}\n" in cards.data_card(small.compared(runs), runs) for line in (*lines, dropped, *warned))
