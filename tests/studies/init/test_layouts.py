"""Layouts known by name, each on a made-up file: what `workbench init` says is the layout, and its counts per label."""

from __future__ import annotations

import json
from pathlib import Path

from PIL import Image
from written_study import AS_WRITTEN, HARMFUL, N, delimited, init, lines, table, texts, told

BIT = [int(harm) for harm in HARMFUL]
NOT = (AS_WRITTEN[1], AS_WRITTEN[0], 0)


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


def test_a_dump_of_reddits_posts_and_comments_keeps_the_words_of_both(tmp_path):
    about = {"author": "a", "subreddit": "somewhere", "created_utc": 1_600_000_000}
    rows = [
        {"id": f"t{n}", **about, "harassment": bool(BIT[n])} | ({"title": text} if n % 2 else {"body": text})
        for n, text in enumerate(texts())
    ]
    study, _ = init(lines(tmp_path / "dump.jsonl", rows))
    assert study["corpus"]["text"] == ["title", "body"]
    assert table(study)["text"].to_pylist() == texts()


def test_a_layout_that_others_share_or_that_leaves_a_choice_says_so(tmp_path):
    pictures(tmp_path / "img", [f"{n:05}.png" for n in range(N)])
    _, said = init(lines(tmp_path / "train.jsonl", memes()))
    assert "if their `label` says something else than hateful, rename the label" in " ".join(
        said.replace("\n#", "").split()
    )
    assert "hateful: label  # 1 is hateful, in Hateful Memes" in said


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
