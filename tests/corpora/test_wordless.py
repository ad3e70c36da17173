"""Posts that say nothing are counted by why, and so are those without any known label."""

import pyarrow as pa
import pytest

from workbench.corpora import counts, wordless
from workbench.schema import Taxonomy, corpus_schema

TAXONOMY = Taxonomy.load()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (None, wordless.NOTHING),
        (" \n", wordless.NOTHING),
        (" NaN ", wordless.ABSENT),
        ("[Removed]", wordless.ABSENT),
        ("http://a.example/the @bob", wordless.LINKS),
        ("[URL]!", wordless.LINKS),
        ("?! 12", wordless.MARKS),
        ("nan bread", None),
        ("see http://a.example", None),
        ("\u65e5\u672c", None),
    ],
)
def test_why_a_text_says_nothing(text, why):
    assert wordless.why(text) == why


def test_each_set_is_told_what_it_has_and_a_picture_is_something():
    unknown = dict.fromkeys(TAXONOMY.names)
    known = unknown | {"abuse": True}
    rows = [
        ("go away", None, known),
        ("nan", None, known),
        ("-", None, unknown),
        ("\u200b", None, known),
        ("nan", b"x", known),
    ]
    posts = [
        {"post_id": str(n), "text": text, "image": image and {"bytes": image}, "labels": labels}
        for n, (text, image, labels) in enumerate(rows)
    ]
    table = pa.Table.from_pylist(posts, schema=corpus_schema(TAXONOMY))
    noticed = counts.noticed_in({"train": table, "test": table.slice(0, 1)}, TAXONOMY)
    assert noticed[:2] == [
        "train: 3 of 5 posts have no words, picture or clip (2 a word for missing, 1 nothing in them); "
        "they are scored all the same",
        "train: 1 of 5 posts have no label that is known; nothing is learnt from them, and no number counts them",
    ]
    assert not any("have no" in line for line in noticed[2:])
