"""Score the texts of a CSV with alt-profanity-check, for the model `scores`; runs in an environment of its own.

That package brings its model as a pickle, which can run anything when it is loaded, and wants one exact version of
scikit-learn: two reasons to keep it out of the workbench's own environment. Nothing of the workbench is imported.
"""

from __future__ import annotations

import argparse
import csv
import sys
from pathlib import Path

from profanity_check import predict_prob


def main() -> None:
    """Write `post_id,abuse` for every row of a CSV; a row without a text has an empty score."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("posts", type=Path, help="A CSV in UTF-8 with a header.")
    parser.add_argument("--id", default="post_id", help="The column that names the post.")
    parser.add_argument("--text", default="text", help="The column with the text.")
    parser.add_argument("--out", "-o", type=Path, required=True, help="Where the scores go.")
    given = parser.parse_args()
    with open(given.posts, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for column in (given.id, given.text):
        if not rows or column not in rows[0]:
            sys.exit(f"{given.posts} has no rows with a column {column!r}; name another with --id or --text")
    texts = [row[given.text] or "" for row in rows]
    probabilities = iter(predict_prob([text for text in texts if text.strip()]))
    given.out.parent.mkdir(parents=True, exist_ok=True)
    with open(given.out, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["post_id", "abuse"])
        for row, text in zip(rows, texts, strict=True):
            writer.writerow([row[given.id], float(next(probabilities)) if text.strip() else ""])


if __name__ == "__main__":
    main()
