"""Exports of annotation tools, made up: what `workbench init` says they are, and whose answers it counts."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner
from written_study import AS_WRITTEN, HARMFUL, N, init, lines, table, texts, told

from workbench import cli

BIT = [int(harm) for harm in HARMFUL]
NOT = (AS_WRITTEN[1], AS_WRITTEN[0], 0)


def choice(value: str | list[str], by: int = 1) -> dict:
    chosen = [value] if isinstance(value, str) else value
    result = {"value": {"choices": chosen}, "from_name": "kind", "to_name": "text", "type": "choices", "id": "x"}
    return {"id": by, "completed_by": by, "was_cancelled": False, "result": [result], "ground_truth": False}


def test_a_label_studio_export_with_several_annotators(tmp_path):
    tasks = [
        {
            "id": n + 100,
            "data": {"text": text, "source": "forum"},
            "annotations": []
            if n == 1
            else [choice("Hateful" if BIT[n] and by < 3 else "Normal", by) for by in (1, 2, 3)],
            "meta": {},
            "created_at": "2024-05-01T10:00:00.000000Z",
        }
        for n, text in enumerate(texts())
    ]
    (tmp_path / "export.json").write_text(json.dumps(tasks, indent=1))
    study, said = init(tmp_path / "export.json")
    assert "Label Studio" in said
    assert told(study) == {"hateful": (AS_WRITTEN[0], AS_WRITTEN[1] - 1, 1)}
    assert table(study)["text"].to_pylist() == texts()


def test_a_label_studio_export_of_several_choices(tmp_path):
    tasks = [
        {"id": n, "data": {"text": text}, "annotations": [choice(["insult", "threat"] if BIT[n] else ["none"])]}
        for n, text in enumerate(texts())
    ]
    (tmp_path / "export.json").write_text(json.dumps(tasks))
    study, _ = init(tmp_path / "export.json")
    assert told(study) == {"insult": AS_WRITTEN, "threat": AS_WRITTEN}


def test_an_argilla_export(tmp_path):
    rows = [
        {
            "id": f"r{n}",
            "fields": {"text": text},
            "metadata": {},
            "suggestions": {},
            "responses": {
                "kind": [{"value": "hate" if BIT[n] and by < 3 else "ok", "user_id": f"u{by}"} for by in (1, 2, 3)]
            },
        }
        for n, text in enumerate(texts())
    ]
    (tmp_path / "records.json").write_text(json.dumps(rows))
    study, said = init(tmp_path / "records.json")
    assert "Argilla" in said
    assert told(study) == {"hate": AS_WRITTEN}


def test_an_argilla_export_in_the_hubs_form(tmp_path):
    rows = [
        {
            "id": f"r{n}",
            "text": text,
            "kind.responses": ["hate" if BIT[n] else "ok"] * 2,
            "kind.responses.users": ["a", "b"],
        }
        for n, text in enumerate(texts())
    ]
    study, _ = init(lines(tmp_path / "a.jsonl", rows))
    assert told(study) == {"hate": AS_WRITTEN}


def response(value: str | None, status: str) -> dict:
    return {"value": value, "status": status, "user_id": "u"}


def drafts(n: int) -> list[dict]:
    """What three people answered: one submitted, one had not yet, one discarded what was asked."""
    right, wrong = ("hate", "ok") if BIT[n] else ("ok", "hate")
    return [response(right, "submitted"), response(wrong, "draft"), response(wrong if n % 2 else None, "discarded")]


ARGILLA = {
    "by question": lambda n: {"fields": {"text": texts()[n]}, "responses": {"kind": drafts(n)}},
    "by person": lambda n: {
        "fields": {"text": texts()[n]},
        "responses": [{"status": one["status"], "values": {"kind": {"value": one["value"]}}} for one in drafts(n)],
    },
    "in columns": lambda n: {
        "text": texts()[n],
        "kind.responses": [one["value"] for one in drafts(n)],
        "kind.responses.users": ["a", "b", "c"],
        "kind.responses.status": [one["status"] for one in drafts(n)],
    },
    "in objects": lambda n: {"text": texts()[n], "kind": drafts(n)},
}


@pytest.mark.parametrize("form", ARGILLA)
@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_what_was_not_submitted_to_argilla_does_not_count(tmp_path, form, ending):
    rows = [{"id": f"r{n}", **ARGILLA[form](n)} for n in range(N)]
    path = tmp_path / f"records.{ending}"
    if ending == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    study, said = init(path if ending == "parquet" else lines(path, rows))
    assert "an Argilla export" in said
    assert f"responses that are no answers yet do not count: discarded ({N}), draft ({N})" in said
    assert told(study) == {"hate": AS_WRITTEN}
    assert table(study)["text"].to_pylist() == texts()


@pytest.mark.parametrize("form", ["by question", "in columns"])
def test_where_nothing_was_submitted_to_argilla_there_is_no_label(tmp_path, form):
    rows = [{"id": f"r{n}", **ARGILLA[form](n)} for n in range(N)]
    path = lines(tmp_path / "records.jsonl", rows)
    path.write_text(path.read_text().replace("submitted", "draft"))
    done = CliRunner().invoke(cli.app, ["init", str(path), "-o", str(tmp_path / "study.yaml"), "--yes"])
    assert done.exit_code == 1
    assert f"no response was submitted (draft ({2 * N}), discarded ({N}))" in done.output


def test_what_was_skipped_in_label_studio_does_not_count(tmp_path):
    tasks = [
        {
            "id": n,
            "data": {"text": text},
            "annotations": [
                choice("Hateful" if BIT[n] else "Normal") | {"was_cancelled": False},
                choice("Normal" if BIT[n] else "Hateful", 2) | {"was_cancelled": True},
            ],
        }
        for n, text in enumerate(texts())
    ]
    (tmp_path / "export.json").write_text(json.dumps(tasks))
    study, said = init(tmp_path / "export.json")
    assert f"{N} annotations that were skipped do not count" in said
    assert told(study) == {"hateful": AS_WRITTEN}


@pytest.mark.parametrize("annotators", [1, 3])
def test_a_prodigy_export(tmp_path, annotators):
    rows = [
        {
            "text": text,
            "_input_hash": n - 30,
            "_task_hash": n,
            "label": "INSULT",
            "_annotator_id": f"db-{by}",
            "_timestamp": 1,
        }
        | {"answer": "ignore" if n == 1 else "accept" if BIT[n] and by < 2 else "reject"}
        for n, text in enumerate(texts())
        for by in range(annotators)
    ]
    study, said = init(lines(tmp_path / "a.jsonl", rows))
    assert "Prodigy" in said
    assert told(study) == {"insult": (AS_WRITTEN[0], AS_WRITTEN[1] - 1, 1)}


def test_a_prodigy_export_of_choices(tmp_path):
    options = [{"id": "spam", "text": "Spam"}, {"id": "scam", "text": "Scam"}]
    rows = [
        {"text": text, "_input_hash": n, "_task_hash": n, "options": options, "answer": "accept"}
        | {"accept": ["spam", "scam"] if n % 6 == 0 else ["spam"] if BIT[n] else []}
        for n, text in enumerate(texts())
    ]
    study, _ = init(lines(tmp_path / "a.jsonl", rows))
    assert told(study) == {"spam": AS_WRITTEN, "scam": (10, 50, 0)}
