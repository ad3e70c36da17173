"""The gallery of errors: blurred for good, harmless whatever a post holds, and in the order of the worst."""

from __future__ import annotations

import base64
import io
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from workbench.comparison.predictions import Run, Scores
from workbench.report import gallery
from workbench.report.gallery import Error, blurred, worst_errors
from workbench.schema import Taxonomy, corpus_schema

TAXONOMY = Taxonomy.load()


class Page(HTMLParser):
    """What a fragment has: its tags, their attributes, its text."""

    def __init__(self, fragment: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(fragment)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag != "img":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, f"</{tag}> closes another"

    def handle_data(self, data):
        self.text += data

    def attributes(self, tag: str) -> list[dict]:
        return [attributes for name, attributes in self.tags if name == tag]


def shown(address: str) -> Image.Image:
    """Return the picture in a data address."""
    head, _, data = address.partition(",")
    assert head == "data:image/jpeg;base64"
    return Image.open(io.BytesIO(base64.b64decode(data)))


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def png(variant: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(variant).save(buffer, "PNG")
    return buffer.getvalue()


def table(rows: list[dict]) -> pa.Table:
    labels = dict.fromkeys(TAXONOMY.names)
    return pa.Table.from_pylist(
        [{"group": "g", "labels": labels} | row for row in rows], schema=corpus_schema(TAXONOMY)
    )


# ------------------------------------------------------------------------------------------------------------ the blur


def test_pictures_that_differ_in_detail_only_become_the_same_file():
    # 14 x 14 blocks of 8 x 8 pixels: nobody can get back from equal files what told the two apart
    rng = np.random.default_rng(3)
    means = rng.integers(60, 190, (14, 14, 3))
    plain = np.repeat(np.repeat(means, 8, axis=0), 8, axis=1)
    checks = np.where(np.indices((112, 112)).sum(axis=0) % 2, 50, -50)[:, :, None]
    assert blurred((plain + checks).astype(np.uint8)) == blurred(plain.astype(np.uint8))
    moved = np.concatenate([plain[:, 8:], plain[:, :8]], axis=1)
    assert blurred(moved.astype(np.uint8)) != blurred(plain.astype(np.uint8))  # what is left is still a picture


def fine(grey: np.ndarray) -> float:
    """Return the root mean square, in grey levels, of what changes more than 14 times over a square picture."""
    spectrum = np.fft.fft2(grey - grey.mean())
    cycles = np.abs(np.fft.fftfreq(len(grey), 1 / len(grey)))
    spectrum[np.maximum(cycles[:, None], cycles[None]) <= 14] = 0
    return float(np.sqrt((np.abs(np.fft.ifft2(spectrum)) ** 2).mean()))


@pytest.mark.parametrize("size", [112, 448])
def test_no_fine_structure_is_left(size):
    # 14 grains carry 7 cycles; what is above 14 is JPEG's rounding
    page = np.asarray(shown(blurred(noise(size, size))).convert("L"), dtype=float)
    assert fine(page) < 1
    assert fine(noise(448, 448)[:, :, 0].astype(float)) > 70  # so much was there: a uniform byte's spread is 73.9


@pytest.mark.parametrize("size", [(1, 1), (3, 2000), (2000, 3), (13, 15), (600, 800)])
def test_any_size_becomes_the_same_small_square(size):
    image = shown(blurred(noise(*size)))
    assert image.size == (gallery.SIDE, gallery.SIDE)
    image.load()


def test_the_file_carries_the_blurred_pixels_and_nothing_else():
    address = blurred(noise(300, 300))
    image = shown(address)
    assert not image.getexif()
    assert not {"exif", "comment", "icc_profile", "photoshop"} & set(image.info)
    assert len(base64.b64decode(address.partition(",")[2])) < 6000


# ------------------------------------------------------------------------------------------------------------ the page


ERROR = Error("p0", "abuse", 0.12345)


def card(post: dict, error: Error = ERROR) -> Page:
    return Page(gallery.gallery(table([{"post_id": "p0"} | post]), [error]))


def test_a_card_says_label_confidence_and_text():
    page = card({"text": "hello there"})
    assert page.text == "abuse 0.123texthello there"
    assert [tag for tag, _ in page.tags] == ["div", "div", "p", "b", "details", "summary", "p"]
    assert "open" not in page.attributes("details")[0]  # nobody has to read it


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        '"><img src=x onerror=alert(1)>',
        "</p></details></div><h1>gotcha</h1>",
        "&lt;b&gt; &amp;",
        "' onmouseover='alert(1)",
        "<!-- hidden",
        "]]><style>*{display:none}</style>",
        "<details open>",
    ],
)
def test_hostile_text_is_shown_as_text(text):
    page = card({"text": text})
    assert text in page.text
    assert [tag for tag, _ in page.tags] == ["div", "div", "p", "b", "details", "summary", "p"]
    assert page.open == []


def test_a_hostile_label_or_file_name_is_shown_as_text():
    page = card({"image": {"bytes": None, "path": "/nowhere/<script>.png"}}, Error("p0", "<script>", 0.5))
    assert {tag for tag, _ in page.tags} == {"div", "p", "b"}
    assert page.text.count("<script>") == 2


def test_a_text_is_cut_before_it_is_escaped():
    page = card({"text": "&" * 1000})
    assert page.text.count("&") == 400  # whole characters, no half entities


@pytest.mark.parametrize("text", [None, "", "  \n", "\u200b\u2060"])
def test_a_post_without_visible_text_says_so(text):
    assert card({"text": text}).text == "abuse 0.123no text"


def test_a_picture_is_on_its_card_blurred_only():
    variant = noise(64, 48)
    page = card({"image": {"bytes": png(variant), "path": None}})
    (image,) = page.attributes("img")
    assert image == {"alt": "blurred picture", "width": "112", "height": "112", "src": blurred(variant)}


@pytest.mark.parametrize(
    ("media", "reason"),
    [
        ({"bytes": b"words", "path": None}, "a text file"),
        ({"bytes": b"", "path": None}, "The file is empty."),
        ({"bytes": None, "path": "/nowhere/gone.png"}, "'gone.png' cannot be read"),
    ],
)
def test_an_unreadable_picture_is_told_with_its_reason(media, reason):
    page = card({"image": media})
    assert reason in page.text
    assert "/nowhere" not in page.text  # where it lies is nobody's business
    assert page.attributes("img") == []


def test_cards_come_in_the_order_of_the_errors_and_missing_posts_are_left_out():
    posts = table([{"post_id": name, "text": f"text of {name}"} for name in ("a", "b", "c")])
    errors = [Error(name, "abuse", 0.1) for name in ("c", "gone", "a")]
    page = Page(gallery.gallery(posts, errors))
    assert page.text == "abuse 0.100texttext of cabuse 0.100texttext of a"
    assert Page(gallery.gallery(posts, [])).text == ""
    assert Page(gallery.gallery(posts, [Error("gone", "abuse", 0.1)])).tags == [("div", {"class": "gallery"})]


def test_a_post_wrong_under_two_labels_has_two_cards():
    page = Page(
        gallery.gallery(table([{"post_id": "a", "text": "x"}]), [Error("a", "abuse", 0.1), Error("a", "nudity", 0.2)])
    )
    assert page.text == "abuse 0.100textxnudity 0.200textx"


def test_a_sheet_shows_the_first_readable_pictures_however_rare():
    first, second, third = noise(20, 20, 1), noise(20, 20, 2), noise(20, 20, 3)
    rows = [{"text": "no picture"}] * 500 + [{"image": {"bytes": data, "path": None}} for data in (b"x", png(first))]
    rows += [{"image": {"bytes": png(variant), "path": None}} for variant in (second, third)]
    posts = table([{"post_id": f"p{n}"} | row for n, row in enumerate(rows)])
    page = Page(gallery.sheet(posts, 2))
    assert [image["src"] for image in page.attributes("img")] == [blurred(first), blurred(second)]
    assert page.attributes("img")[0]["alt"]
    assert Page(gallery.sheet(posts.slice(0, 10), 2)).attributes("img") == []


def test_a_sheet_decodes_no_more_than_it_shows(monkeypatch):
    read, picture = [], gallery.picture
    monkeypatch.setattr(gallery, "picture", lambda media: read.append(1) or picture(media))
    data = {"bytes": png(noise(4, 4)), "path": None}
    gallery.sheet(table([{"post_id": f"p{n}", "image": data} for n in range(100)]), 3)
    assert len(read) == 3


# ---------------------------------------------------------------------------------------------------- the worst errors


def run(prob, y, *, known=None, thresholds=None) -> Run:
    """Return a run with confidences (S, n, 2) of posts a, b, c ... and their labels (n, 2)."""
    prob, y = np.asarray(prob, float), np.asarray(y, bool)
    seeds, n, _ = prob.shape
    known = np.ones(y.shape, bool) if known is None else np.asarray(known, bool)
    thresholds = np.full((seeds, 2), 0.5) if thresholds is None else np.asarray(thresholds, float)
    ids = np.array([chr(97 + i) for i in range(n)])
    no = np.zeros(n)
    posts = {"post_id": ids, "group": ids, "weight": no + 1, "paired": no.astype(bool), "y": y, "known": known}
    scores = Scores(**posts, logit=np.log(prob / (1 - prob)), prob=prob)
    facts = {"alias": "m", "key": "k", "folder": Path(), "taxonomy": "t", "labels": ("abuse", "nudity")}
    costs = {"modalities": ("text",), "costs": {}}
    prevalence = np.array([0.1, 0.1])
    return Run(
        **facts, **costs, seeds=tuple(range(seeds)), thresholds=thresholds, prevalence=prevalence, sets={"test": scores}
    )


def told(errors: list[Error]) -> list[tuple[str, str, float]]:
    return [(error.post_id, error.label, round(error.prob, 3)) for error in errors]


def test_misses_are_worst_where_confidence_is_lowest_and_false_alarms_where_it_is_highest():
    prob = [[[0.1, 0.9], [0.4, 0.2], [0.7, 0.8], [0.3, 0.6], [0.45, 0.55]]]
    y = [[1, 0], [1, 0], [0, 1], [0, 0], [1, 0]]
    misses, alarms = worst_errors(run(prob, y))
    assert told(misses) == [("a", "abuse", 0.1), ("b", "abuse", 0.4), ("e", "abuse", 0.45)]
    assert told(alarms) == [("a", "nudity", 0.9), ("c", "abuse", 0.7), ("d", "nudity", 0.6), ("e", "nudity", 0.55)]
    first = worst_errors(run(prob, y), n=1)
    assert [told(side) for side in first] == [[("a", "abuse", 0.1)], [("a", "nudity", 0.9)]]


def test_what_is_on_the_right_side_of_its_threshold_is_no_error():
    # abuse is flagged from 0.05 on: the unsure but caught post is no miss; nudity from 0.9 on: 0.8 is no false alarm
    prob, y = [[[0.06, 0.8], [0.04, 0.9]]], [[1, 0], [1, 0]]
    misses, alarms = worst_errors(run(prob, y, thresholds=[[0.05, 0.9]]))
    assert told(misses) == [("b", "abuse", 0.04)]
    assert told(alarms) == [("b", "nudity", 0.9)]  # score >= threshold is flagged, equality too


def test_confidence_is_the_mean_over_seeds_and_most_seeds_decide():
    # the three seeds say .9 .1 .2 of a (mean .4, one of three flags: missed), .6 .6 .0 of b (two of three flag: caught)
    prob = [[[0.9, 0.1], [0.6, 0.1]], [[0.1, 0.1], [0.6, 0.1]], [[0.2, 0.1], [0.0001, 0.1]]]
    misses, alarms = worst_errors(run(prob, [[1, 0], [1, 0]]))
    assert told(misses) == [("a", "abuse", 0.4)]
    assert alarms == []


def test_each_seed_has_its_own_threshold():
    # 0.4 is flagged by the first seed (from 0.3 on) and by the third, so by most
    prob = [[[0.4, 0.1]], [[0.4, 0.1]], [[0.4, 0.1]]]
    cuts = [[0.3, 0.5], [0.5, 0.5], [0.4, 0.5]]
    assert worst_errors(run(prob, [[1, 0]], thresholds=cuts))[0] == []
    cuts[2][0] = 0.41
    assert told(worst_errors(run(prob, [[1, 0]], thresholds=cuts))[0]) == [("a", "abuse", 0.4)]


def test_half_of_the_seeds_are_not_most():
    prob = [[[0.9, 0.1]], [[0.1, 0.1]]]
    assert told(worst_errors(run(prob, [[1, 0]]))[0]) == [("a", "abuse", 0.5)]
    assert worst_errors(run(prob, [[0, 0]]))[1] == []


def test_unknown_labels_unseen_posts_and_labels_without_a_threshold_are_no_errors():
    nan = np.nan
    prob = [[[0.1, 0.9], [nan, 0.9], [0.1, 0.9]]]
    misses, alarms = worst_errors(run(prob, [[1, 0]] * 3, known=[[1, 0], [1, 0], [0, 0]]))
    assert told(misses) == [("a", "abuse", 0.1)]  # b was not seen, c is not known
    assert alarms == []
    assert worst_errors(run(prob, [[1, 0]] * 3, thresholds=[[nan, nan]])) == ([], [])


def test_a_seed_that_saw_nothing_does_not_count():
    nan = np.nan
    prob = [[[0.2, 0.1]], [[nan, 0.1]], [[nan, 0.1]]]
    assert told(worst_errors(run(prob, [[1, 0]]))[0]) == [("a", "abuse", 0.2)]
    # of the one seed that saw it all have flagged it
    assert worst_errors(run([[[0.9, 0.1]], [[nan, 0.1]], [[nan, 0.1]]], [[1, 0]]))[0] == []


def test_ties_stay_in_the_order_of_posts_and_labels():
    prob = [[[0.2, 0.2], [0.2, 0.2]]]
    misses, _ = worst_errors(run(prob, [[1, 1], [1, 1]]), n=3)
    assert [error[:2] for error in misses] == [("a", "abuse"), ("a", "nudity"), ("b", "abuse")]


def test_another_test_set_can_be_looked_at():
    one = run([[[0.1, 0.1]]], [[1, 0]])
    one.sets["hatecheck"] = run([[[0.2, 0.1]]], [[1, 0]]).sets["test"]
    assert told(worst_errors(one, "hatecheck")[0]) == [("a", "abuse", 0.2)]
