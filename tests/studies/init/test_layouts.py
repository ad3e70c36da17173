"""Layouts known by name, each on a made-up file: what `workbench init` says is the layout, and its counts per label."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from typer.testing import CliRunner
from written_study import AS_WRITTEN, HARMFUL, N, delimited, init, table, texts, told

from workbench import cli

BIT = [int(harm) for harm in HARMFUL]
NOT = (AS_WRITTEN[1], AS_WRITTEN[0], 0)


def lines(path: Path, rows: list[dict]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def pictures(folder: Path, names: list[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for n, name in enumerate(names):
        Image.new("RGB", (8, 8), (n * 3, 255 - n, n)).save(folder / name)


def memes(count: int = N) -> list[dict]:
    return [{"id": f"{n:05}", "img": f"img/{n:05}.png", "label": BIT[n], "text": texts()[n]} for n in range(count)]


def test_hateful_memes_of_both_phases_with_the_faults_of_the_published_files(tmp_path):
    rows = memes()
    rows[1]["text"] = rows[45]["text"]  # the same words on another picture, across the split, as they are meant to be
    pictures(tmp_path / "img", [row["img"][4:] for row in rows])
    lines(tmp_path / "train.jsonl", [*rows[:30], rows[3]])
    lines(tmp_path / "dev_seen.jsonl", rows[30:40])
    lines(tmp_path / "dev_unseen.jsonl", rows[35:45])  # overlaps
    lines(tmp_path / "test_seen.jsonl", rows[45:55])
    lines(tmp_path / "test_unseen.jsonl", [{key: row[key] for key in ("id", "img", "text")} for row in rows[55:]])
    study, said = init(tmp_path)
    assert "in the layout of Hateful Memes" in said
    assert "test_unseen.jsonl left out" in said
    assert [len(files) if isinstance(files, list) else 1 for files in study["corpus"]["paths"].values()] == [1, 2, 1]
    assert told(study) == {"hateful": (sum(BIT[:55]), 55 - sum(BIT[:55]), 0)}
    assert table(study)["post_id"].to_pylist()[3] == "00003"
    assert set(study["leaks"]["allow"]) == {"text"}
    assert {model["name"] for model in study["models"]} >= {"text-tfidf", "image-clip", "clip-cross"}


def test_hateful_memes_first_phase_whose_test_has_no_labels(tmp_path):
    rows = memes()
    pictures(tmp_path / "img", [row["img"][4:] for row in rows])
    lines(tmp_path / "train.jsonl", rows[:40])
    lines(tmp_path / "dev.jsonl", rows[40:50])
    lines(tmp_path / "test.jsonl", [{key: row[key] for key in ("id", "img", "text")} for row in rows[50:]])
    study, _ = init(tmp_path)
    assert list(study["corpus"]["paths"]) == ["train", "validation"]
    assert told(study) == {"hateful": (sum(BIT[:50]), 50 - sum(BIT[:50]), 0)}


def test_one_id_over_two_memes(tmp_path):
    rows = memes()
    pictures(tmp_path / "img", [row["img"][4:] for row in rows])
    rows[7]["id"] = rows[8]["id"]
    study, said = init(lines(tmp_path / "a.jsonl", rows))
    assert "post_id" not in study["corpus"]
    assert "such as '00008'" in said
    assert told(study) == {"hateful": AS_WRITTEN}


def test_jigsaw(tmp_path):
    names = ("toxic", "severe_toxic", "obscene", "threat", "insult", "identity_hate")
    rows = [
        {"id": f"0{n:07x}", "comment_text": text, **dict.fromkeys(names, -1 if n == 1 else BIT[n])}
        for n, text in enumerate(texts())
    ]
    (tmp_path / "train.csv").write_text(delimited(rows))
    study, said = init(tmp_path / "train.csv")
    assert "Jigsaw's toxic comments" in said
    assert study["taxonomy"] == list(names)
    assert told(study) == dict.fromkeys(names, (AS_WRITTEN[0], AS_WRITTEN[1] - 1, 1))


def test_jigsaws_folder_takes_the_files_with_labels(tmp_path):
    rows = [
        {"id": f"0{n:07x}", "comment_text": text, **dict.fromkeys(("toxic", "severe_toxic", "obscene"), BIT[n])}
        | dict.fromkeys(("threat", "insult", "identity_hate"), BIT[n])
        for n, text in enumerate(texts())
    ]
    (tmp_path / "train.csv").write_text(delimited(rows))
    (tmp_path / "test.csv").write_text(delimited([{"id": f"t{n}", "comment_text": f"more of {n}"} for n in range(9)]))
    (tmp_path / "test_labels.csv").write_text(delimited([{"id": f"t{n}", "toxic": -1} for n in range(9)]))
    study, said = init(tmp_path)
    assert "test.csv, test_labels.csv left out" in said
    assert told(study)["toxic"] == AS_WRITTEN


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


def test_a_dump_of_reddits_posts_and_comments_keeps_the_words_of_both(tmp_path):
    about = {"author": "a", "subreddit": "somewhere", "created_utc": 1_600_000_000}
    rows = [
        {"id": f"t{n}", **about, "harassment": bool(BIT[n])} | ({"title": text} if n % 2 else {"body": text})
        for n, text in enumerate(texts())
    ]
    study, _ = init(lines(tmp_path / "dump.jsonl", rows))
    assert study["corpus"]["text"] == ["title", "body"]
    assert table(study)["text"].to_pylist() == texts()


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


def test_a_layout_that_others_share_or_that_leaves_a_choice_says_so(tmp_path):
    pictures(tmp_path / "img", [f"{n:05}.png" for n in range(N)])
    _, said = init(lines(tmp_path / "train.jsonl", memes()))
    assert "if their `label` says something else than hateful, rename the label" in " ".join(
        said.replace("\n#", "").split()
    )
    assert "hateful: label  # 1 is hateful, in Hateful Memes" in said


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


def test_a_dump_of_reddit(tmp_path):
    rows = [
        {
            "id": f"t{n}",
            "author": "[deleted]" if n % 5 == 0 else f"u{n % 9}",
            "subreddit": "somewhere",
            "created_utc": 1_600_000_000 + n,
            "title": text,
            "selftext": ["", "[removed]", "some words of it"][n % 3],
            "url": f"https://example.org/{n}",
            "over_18": False,
            "is_self": False,
            "stickied": False,
            "harassment": bool(BIT[n]),
        }
        for n, text in enumerate(texts())
    ]
    study, said = init(lines(tmp_path / "dump.jsonl", rows))
    assert "a dump of Reddit" in said
    assert told(study) == {"harassment": AS_WRITTEN}
    posts = table(study)
    bodies = ["", "", "\nsome words of it"]  # a link's text is its title, and so is that of a post whose words are gone
    assert posts["text"].to_pylist() == [f"{title}{bodies[n % 3]}" for n, title in enumerate(texts())]
    assert posts["created_at"][0].as_py().year == 2020
    assert posts["author"][0].as_py() is None


def test_davidson(tmp_path):
    kinds = [0 if harm else 1 + n % 2 for n, harm in enumerate(HARMFUL)]
    rows = [
        {
            "": n,
            "count": 3,
            "hate_speech": 3 * (kind == 0),
            "offensive_language": 3 * (kind == 1),
            "neither": 3 * (kind == 2),
        }
        | {"class": kind, "tweet": text}
        for n, (text, kind) in enumerate(zip(texts(), kinds, strict=True))
    ]
    (tmp_path / "labeled_data.csv").write_text(delimited(rows))
    study, said = init(tmp_path / "labeled_data.csv")
    assert "Davidson" in said
    assert told(study) == {"hate_speech": AS_WRITTEN, "offensive_language": (kinds.count(1), N - kinds.count(1), 0)}


def test_mmhs150k(tmp_path):
    ids = [str(1_100_000_000_000_000_000 + n) for n in range(N)]
    pictures(tmp_path / "img_resized", [f"{name}.jpg" for name in ids])
    rows = {
        name: {
            "img_url": f"http://example.org/{name}.jpg",
            "labels": [1, 1, 0] if BIT[n] else [0, 0, 2],
            "tweet_url": f"https://example.org/{name}",
            "tweet_text": texts()[n],
            "labels_str": ["Racist", "Racist", "NotHate"] if BIT[n] else ["NotHate", "NotHate", "Sexist"],
        }
        for n, name in enumerate(ids)
    }
    (tmp_path / "MMHS150K_GT.json").write_text(json.dumps(rows))
    study, said = init(tmp_path / "MMHS150K_GT.json")
    assert "MMHS150K" in said
    assert told(study) == {"hate": AS_WRITTEN}
    assert table(study)["image"][0]["path"].as_py().endswith(f"img_resized/{ids[0]}.jpg")
    assert table(study)["post_id"].to_pylist() == ids


def test_mami(tmp_path):
    pictures(tmp_path, [f"{n}.jpg" for n in range(N)])
    names = ("misogynous", "shaming", "stereotype", "objectification", "violence")
    rows = [
        {"file_name": f"{n}.jpg", **dict.fromkeys(names, BIT[n]), "Text Transcription": text}
        for n, text in enumerate(texts())
    ]
    (tmp_path / "training.csv").write_text(delimited(rows, "\t"))
    study, said = init(tmp_path / "training.csv")
    assert "MAMI" in said
    assert told(study) == dict.fromkeys(names, AS_WRITTEN)
    assert study["corpus"]["image"] == "file_name"


def test_fakeddit(tmp_path):
    pictures(tmp_path / "public_image_set", [f"ab{n}.jpg" for n in range(N)])
    rows = [
        {
            "author": f"u{n % 7}",
            "clean_title": text,
            "created_utc": f"{1_500_000_000 + n}.0",
            "id": f"ab{n}",
            "subreddit": "x",
        }
        | {"2_way_label": BIT[n], "3_way_label": 2 * BIT[n], "6_way_label": n % 6}
        for n, text in enumerate(texts())
    ]
    (tmp_path / "multimodal_train.tsv").write_text(delimited(rows, "\t"))
    study, said = init(tmp_path / "multimodal_train.tsv")
    assert "Fakeddit" in said
    assert told(study) == {"misinformation": NOT}  # 1 is true there
    assert "community" not in study["corpus"]
    assert study["corpus"]["image"] == "id"


def test_harmeme(tmp_path):
    pictures(tmp_path / "images", [f"covid_{n}.png" for n in range(N)])
    rows = [
        {
            "id": f"covid_{n}",
            "image": f"covid_{n}.png",
            "labels": [["very harmful", "somewhat harmful"][n % 2], "individual"] if BIT[n] else ["not harmful"],
            "text": text,
        }
        for n, text in enumerate(texts())
    ]
    study, said = init(lines(tmp_path / "train.jsonl", rows))
    assert "HarMeme" in said
    assert told(study) == {"harmful": AS_WRITTEN}


def test_pictures_that_are_not_there_are_told(tmp_path):
    study, said = init(lines(tmp_path / "a.jsonl", memes()))
    assert "image" not in study["corpus"]
    assert "none is below" in " ".join(said.replace("#   ", "").split())
