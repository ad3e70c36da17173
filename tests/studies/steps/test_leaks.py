"""The leak gate around a study: what is asked of a corpus, what is told, what is kept for the report."""

from __future__ import annotations

import io
import json
from types import SimpleNamespace

import pytest
from audited_posts import drawing
from code_tree import Tree
from rich.console import Console

from workbench.comparison.run_files import Metrics
from workbench.errors import WorkbenchError
from workbench.evidence import audit
from workbench.fingerprint import closure
from workbench.report.sections.leaks import overlaps
from workbench.studies.steps import leaks

LONG = "one two three four five six seven eight nine ten eleven twelve thirteen"


@pytest.fixture
def file(tmp_path, monkeypatch):
    """Return a file of posts in which one test post is near a training post and one repeats another."""
    monkeypatch.setattr("workbench.evidence.audit.looking.FOLDER", tmp_path / "cache")
    rows = [("a", LONG, "train"), ("b", "just this", "train"), ("c", "in between", "validation")]
    rows += [("d", LONG.replace("six", "other"), "test"), ("e", "nothing alike", "test")]
    path = tmp_path / "posts.csv"
    path.write_text("id,body,part\n" + "\n".join(",".join(row) for row in rows) + "\n", encoding="utf-8")
    return path


COLUMNS = "post_id=id,text=body,split=part"


def test_a_file_of_posts_is_audited_and_fails_only_on_what_is_named(file, tmp_path, capsys):
    given = {"columns": COLUMNS, "only": "near_text", "encoder": "", "out": tmp_path / "found.json"}
    assert leaks.command(str(file), fail_on="", **given) == 0
    assert leaks.command(str(file), fail_on="near_text", **given) == 1
    told = capsys.readouterr().out
    assert "reported" in told
    assert "fails" in told
    found = json.loads((tmp_path / "found.json").read_text(encoding="utf-8"))
    assert found["near_text"]["examples"][0]["posts"] == [["train", "a"], ["test", "d"]]
    assert "shortcut" not in found


def test_an_audit_is_a_page_with_all_pairs_and_tells_in_the_terminal_what_it_sees_through(tmp_path, capsys):
    rows = ["id,picture,part"]
    for k in range(6):
        drawing(k).save(tmp_path / f"{k}.png")
        drawing(k).save(tmp_path / f"{k}.jpg", quality=60)
        rows += [f"a{k},{k}.png,train", f"b{k},{k}.jpg,test"]
    (tmp_path / "posts.csv").write_text("\n".join([*rows, "v,none.png,validation"]), encoding="utf-8")
    given = {"columns": "post_id=id,image=picture,split=part,text=id", "only": "near_image", "encoder": ""}
    page = tmp_path / "found.html"
    assert leaks.command(str(tmp_path / "posts.csv"), fail_on="", out=page, **given) == 0
    assert "Near-duplicate pictures: all of 6 (" in capsys.readouterr().out.replace("\n", " ")
    shown = page.read_text(encoding="utf-8")
    assert shown.count('class="card"') == 6
    assert "workbench compare" not in shown  # what stands under a study's report


def test_a_yaml_file_may_hold_no_more_than_a_corpus(file, tmp_path):
    path = tmp_path / "corpus.yaml"
    path.write_text(f"source: files\npath: {file}\npost_id: id\ntext: body\nsplit: part\n", encoding="utf-8")
    found, options, _ = leaks.look(leaks.asked(str(path), {}), ["time"])
    assert options.fail_on == audit.HELD
    assert not leaks.tell(found, options, Console(file=io.StringIO(), width=200))
    assert "allowed" not in found["text"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"what": "no-such-study"}, "no-such-study"),
        ({"columns": "text"}, "FIELD=COLUMN"),
        ({"only": "near_txt"}, "near_text"),
        ({"fail_on": "words"}, "relation"),
    ],
)
def test_what_cannot_be_asked_is_refused_in_a_sentence(file, change, said):
    given = {"what": str(file), "columns": COLUMNS, "only": "", "fail_on": "", "encoder": "", "out": None} | change
    with pytest.raises(WorkbenchError, match=said):
        leaks.command(given.pop("what"), **given)


def test_what_was_looked_for_before_the_runs_is_told_by_the_report_for_the_same_posts_only(file, tmp_path, monkeypatch):
    _, _, material = leaks.look(leaks.asked(str(file), {"post_id": "id", "text": "body", "split": "part"}), [])
    study = SimpleNamespace(leaks={}, split={}, folds=None, folder=tmp_path)
    leaks.record(study, material)

    def run(**changed) -> SimpleNamespace:
        metrics = {"overlap": audit.overlap(material.sets), "digests": material.digests} | changed
        return SimpleNamespace(folder=tmp_path / "run", metrics=Metrics.model_validate(metrics))

    section = overlaps([run()])
    assert section.tables[""].loc["near-duplicate texts"].tolist() == ["1 of 1", "2", "3", ""]
    assert "Not looked for before these runs: near-duplicate clips, stills of clips;" in section.prose
    assert "in no set" not in section.prose
    assert "1,200 posts are in no set" in overlaps([run(dropped=1200)]).prose
    others = overlaps([run(digests={"corpus": "other"})])
    assert "near-duplicate texts" not in others.tables[""].index
    assert "Not looked for before these runs: near-duplicate texts, near-duplicate pictures" in others.prose

    record = tmp_path / "leaks.json"
    for module, old, new in (
        ("corpora.splits", "part == name", "part != name"),
        ("evidence.audit.likeness.text_reuse", "PART = 4, 0.8", "PART = 4, 0.9"),
    ):
        library = Tree().edit(module, old, new).library()
        with monkeypatch.context() as patch:  # the code that divided the posts, or looked at them, is another now
            patch.setattr(closure, "_here", lambda library=library: library)
            assert "near-duplicate texts" not in overlaps([run()]).tables[""].index
    written = json.loads(record.read_text())
    record.write_text(json.dumps({name: written[name] for name in ("digests", "found")}))  # as earlier versions did
    assert "near-duplicate texts" in overlaps([run()]).tables[""].index
