"""A small CSV as people have it: a text, whose remark is rude or kind, and a column that says which."""

from __future__ import annotations

import csv
import random
from pathlib import Path

RUDE = ("go away", "you idiot", "shut up", "nobody likes you")
KIND = ("thank you", "well done", "see you there", "good luck")
PLACES = ("the garden", "the river", "the old mill", "the station")


def forum(path: Path, posts: int = 300, seed: int = 1) -> Path:
    """Write `nr`, `body` and `flag` (1: rude, a third of them), no two bodies alike, and return the path."""
    rng = random.Random(seed)
    with open(path, "w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["nr", "body", "flag"])
        for nr in range(posts):
            rude = nr % 3 == 0
            words = rng.choice(RUDE if rude else KIND), rng.choice(["Ann", "Bob", "Eve"]), rng.choice(PLACES)
            rows.writerow([nr, f"{words[0]}, {words[1]} of {words[2]} {nr} {rng.randint(0, 99999)}", int(rude)])
    return path
