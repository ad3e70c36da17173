"""The moderator: what it reads and does not, its identity, and the same numbers after the disk."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.special import expit, logit

from workbench.decisions import bundle as bundles
from workbench.decisions import fitting
from workbench.decisions.drawn import Drawn
from workbench.decisions.moderator import Moderator
from workbench.decisions.out_of_distribution import Finding
from workbench.decisions.policy import Assessment, LabelRule
from workbench.decisions.thresholds import objectives
from workbench.errors import WorkbenchError
from workbench.features.store import FeatureStore
from workbench.metrics.calibration import IDENTITY, Line
from workbench.models import create
from workbench.preprocessing.links import extraction
from workbench.schema import Media, Post, Taxonomy, as_table, inputs

LABELS = Taxonomy.load().names
NOON = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)
HOSTILE = [
    "\ud800 you are stupid",
    "a\x00b",
    "x" * 1_000_000,
    "\u202eevil\u2066",
    "you are stupid " * 20_000,
    "\ud83d\ude00",
]


def table_posts(posts, n: int) -> list[Post]:
    rows = inputs(posts.slice(800, n)).to_pylist()
    return [Post.model_validate({name: value for name, value in row.items() if value is not None}) for row in rows]


@pytest.mark.parametrize("kind", ["words", "vision"])
def test_a_table_and_its_posts_are_assessed_alike(kind, posts, request):
    moderator = request.getfixturevalue(kind)
    one, other = moderator.assess(posts.slice(800, 60)), moderator.assess(table_posts(posts, 60))
    assert [found.model_copy(update={"scores": {}}) for found in one] == [
        found.model_copy(update={"scores": {}}) for found in other
    ]
    for left, right in zip(one, other, strict=True):
        assert left.scores == pytest.approx(right.scores, abs=1e-6)


def test_a_disguised_post_scores_as_its_plain_text_and_the_decision_says_how(words):
    plain, obfuscated = words.assess(
        [Post(post_id=text, text=text) for text in ("you are stupid", "you are st\u200bupid")]
    )
    assert plain.variants == {}
    assert obfuscated.scores["abuse"] >= plain.scores["abuse"] - 1e-6
    assert obfuscated.variants["abuse"] == "invisible characters removed"


def test_scores_are_the_calibrated_logits(words, posts):
    table = posts.slice(800, 50)
    logits = words.classifier.logits(inputs(table)).astype(np.float64)
    line = words.lines["abuse"]
    assert line.note is None
    assert line.slope > 0
    np.testing.assert_allclose(words.probabilities(table)[:, 0], expit(line.slope * logits[:, 0] + line.offset))


def test_what_a_model_does_not_look_at_is_unseen_and_what_it_cannot_read_is_unread(words, vision):
    picture = Media(bytes=b"no picture at all")
    post = Post(post_id="p", text="our garden needs rain again", image=picture)
    (by_words,), (by_both,) = words.assess([post]), vision.assess([post])
    assert (by_words.unseen, by_words.unread) == (("image",), {})
    assert by_both.unseen == ()
    assert list(by_both.unread) == ["image"]
    assert set(by_both.scores) == set(LABELS)  # the words were read
    assert words.decide([post])[0].action == vision.decide([post])[0].action == "review"


def test_a_sketchy_link_is_a_reason_and_a_shortener_alone_is_none(words, vision):
    suspicious = Post(post_id="p", text="our garden needs rain https://bank.com@evil.example/x")
    short = Post(post_id="q", text="our garden needs rain http://bit.test/abc")
    for moderator in (words, vision):
        first, second = moderator.decide([suspicious, short])
        assert first.action in ("review", "remove")
        assert [one.detail for one in first.reasons if one.kind == "link"] == [
            "The link to evil.example pretends to be another site before an @ sign."
        ]
        assert not [one for one in second.reasons if one.kind == "link"]


def test_no_post_of_the_synthetic_world_goes_to_review_for_its_link(words, posts):
    table = posts.slice(500, 400)
    assert any("http://bit.test" in (text or "") for text in table["text"].to_pylist())
    assert not any(found.links for found in words.assess(table))


def test_what_a_model_reads_around_a_post_is_part_of_its_identity(posts):
    model = create("author-profile", {"trees": 5}, taxonomy=Taxonomy.load(), store=None)
    model.fit(posts.slice(0, 500), posts.slice(500, 300), seed=0)
    wanted = objectives({}, LABELS)
    moderator = fitting.fit(model, posts.slice(500, 300), wanted, "author-profile")[0]
    assert "author" in moderator.reads
    (decision,) = moderator.decide(posts.slice(800, 1))
    assert decision.action == "review"  # its text is unseen


def test_nothing_readable_means_no_score_and_a_person(vision):
    (found,) = vision.assess([Post(post_id="p", video=Media(bytes=b""))])
    assert found.scores == {}
    assert found.missing == LABELS
    assert list(found.unread) == ["video"]
    assert vision.decide([Post(post_id="p", video=Media(bytes=b""))])[0].action == "review"


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_any_text_ends_in_a_decision(words, vision, text):
    for moderator in (words, vision):
        (decision,) = moderator.decide([Post(post_id="p", text=text)])
        assert set(decision.scores) == set(LABELS)


def test_halves_of_surrogate_pairs_are_mended_in_a_table():
    table = as_table([Post(post_id="p", text="\ud83d\ude00 \ud800"), Post(post_id="q", text="plain")])
    assert table["text"].to_pylist() == ["\U0001f600 \ufffd", "plain"]


def test_no_posts_are_no_assessments(words):
    assert words.assess([]) == words.decide([]) == []


# ------------------------------------------------------------------------------------------------------------ identity


def test_the_model_id_is_that_of_what_changes_a_score(words, tmp_path):
    words.save(tmp_path / "a")
    again = Moderator.load(tmp_path / "a", store=FeatureStore(None, "cpu"))
    other_policy = words.with_policy(words.policy.model_copy(update={"unseen": "allow"}))
    assert again.model_id == other_policy.model_id == words.model_id
    assert words.model_id.startswith("text-tfidf-")
    moved = by_label(words).serve_at_prevalence({"abuse": 0.001})
    assert moved.model_id != words.model_id
    steeper = words._changed(lines={**words.lines, "abuse": words.lines["abuse"]._replace(slope=9.0)})
    steeper.__dict__.pop("model_id", None)
    assert steeper.model_id != words.model_id


def by_label(moderator):
    """The same moderator, had its validation posts been drawn by the label alone."""
    return moderator._changed(drawn=dict.fromkeys(moderator.drawn, Drawn(True, 0.01)))


def test_probabilities_move_to_another_prevalence_by_the_log_odds(words, posts):
    table, base = posts.slice(800, 20), words.prevalence["abuse"]
    moved = by_label(words).serve_at_prevalence({"abuse": 0.001})
    expected = expit(logit(words.probabilities(table)[:, 0]) + logit(0.001) - logit(base))
    np.testing.assert_allclose(moved.probabilities(table)[:, 0], expected)
    np.testing.assert_array_equal(moved.probabilities(table)[:, 1:], words.probabilities(table)[:, 1:])
    for wrong in ({"abuse": 0.0}, {"abus": 0.1}):
        with pytest.raises(WorkbenchError):
            by_label(words).serve_at_prevalence(wrong)


def test_a_sample_that_was_drawn_by_more_than_the_label_moves_by_its_weights_alone(words, posts, tmp_path):
    assert not words.drawn["abuse"].by_label
    with pytest.raises(WorkbenchError, match="'abuse' cannot be moved: its validation posts were not"):
        words.serve_at_prevalence({"abuse": 0.001})
    line = Line(0.5, -1.0)
    bent = words._changed(drawn={**words.drawn, "violence": Drawn(False, 0.02, line)})
    moved, table = bent.serve_at_site(), posts.slice(800, 20)
    before = logit(words.probabilities(table)[:, LABELS.index("violence")])
    np.testing.assert_allclose(moved.probabilities(table)[:, LABELS.index("violence")], expit(line(before)))
    assert bent.model_id == words.model_id != moved.model_id
    moved.save(tmp_path / "moved")
    again = Moderator.load(tmp_path / "moved", store=FeatureStore(None, "cpu"))
    assert again.model_id == moved.model_id
    np.testing.assert_array_equal(again.probabilities(table), moved.probabilities(table))
    told = (tmp_path / "moved/README.md").read_text(encoding="utf-8")
    assert "hold at the site's mix" in told
    assert "then 0.50 x log-odds -1.00" in told
    for twice in (moved.serve_at_site, lambda: moved._changed(drawn={}).serve_at_prevalence({"abuse": 0.1})):
        with pytest.raises(WorkbenchError, match="already"):
            twice()
    plain = words._changed(drawn=dict.fromkeys(words.drawn, Drawn(True, 0.1)))
    with pytest.raises(WorkbenchError, match="nothing to move"):
        plain.serve_at_site()


def test_a_card_says_where_no_ratio_of_shares_leads(words, tmp_path):
    words.save(tmp_path / "a")
    by_label(words).save(tmp_path / "b")
    told = [(tmp_path / name / "README.md").read_text(encoding="utf-8") for name in "ab"]
    assert ["no ratio of shares" in one for one in told] == [True, False]


def test_a_service_may_narrow_the_labels(words, posts):
    narrowed = words.only(["violence"])
    (decision,) = narrowed.decide(posts.slice(800, 1))
    assert list(decision.scores) == ["violence"]
    with pytest.raises(WorkbenchError, match="did you mean 'violence'"):
        words.only(["violenc"])


def test_the_model_runs_once_for_all_posts(words, posts, monkeypatch):
    calls = []
    predict = words.classifier.predict
    monkeypatch.setattr(words.classifier, "predict", lambda table: calls.append(len(table)) or predict(table))
    words.decide(posts.slice(800, 40))
    assert calls == [40]


@pytest.mark.parametrize("kind", ["words", "vision"])
def test_the_disk_changes_no_bit(kind, posts, tmp_path, request):
    moderator, table = request.getfixturevalue(kind), posts.slice(800, 60)
    moderator.save(tmp_path / "bundle")
    again = Moderator.load(tmp_path / "bundle", store=moderator.classifier.store)  # features do not come into it
    np.testing.assert_array_equal(again.probabilities(table), moderator.probabilities(table))
    assert again.policy == moderator.policy
    assert again.reads == moderator.reads
    assert "author" not in again.reads  # nothing of it changes the answer, so it is no part of a post's identity


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("text-tfidf", {}),
        ("text-hashing", {}),
        ("text-vectors", {}),
        ("text-clip", {"encoder": "tiny"}),
        ("late-fusion", {"encoder": "tiny"}),
    ],
)
def test_a_text_that_is_not_read_to_its_end_goes_to_a_person(posts, name, options):
    store = FeatureStore(None, "cpu")
    model = create(name, options, taxonomy=Taxonomy.load(), store=store)
    model.fit(posts.slice(0, 600), posts.slice(600, 200), seed=0)
    moderator, _ = fitting.fit(model, posts.slice(600, 200), objectives({}, model.taxonomy.names), name)
    calm = moderator.policy.model_copy(
        update={"labels": {label: LabelRule(review_at=1.0, remove_at=None) for label in moderator.labels}}
    )
    long = "our garden needs rain again " * 4000
    whole, cut = moderator.with_policy(calm).decide([Post(post_id="a", text=long[:27]), Post(post_id="b", text=long)])
    assert (whole.action, whole.unread) == ("allow", ())
    assert (cut.action, cut.unread) == ("review", ("text",))
    assert "read" in cut.reasons[-1].detail


def test_a_whole_assessment(words):
    about = {"community": "garden", "language": "en", "region": "isles"}
    post = Post(post_id="p", text="our garden needs rain", created_at=NOON, **about)
    (found,) = words.assess([post])
    scores = words.probabilities(as_table([post]))[0].tolist()
    assert found == Assessment(post_id="p", scores=dict(zip(LABELS, scores, strict=True)), created_at=NOON, **about)
    evil = "see http://paypal.com@evil.example/login"
    (linked,) = words.assess([Post(post_id="q", text=evil)])
    assert linked.links == extraction.findings(evil, words.lists) != ()
    strange = Finding(np.array([0.75]), {"text": np.array([0.5]), "image": np.array([0.75])})
    beside = words.with_detector(SimpleNamespace(look=lambda table: strange))
    (told,) = beside.assess([post])
    assert (told.out_of_distribution, told.out_of_distribution_in) == (0.75, "image")
    assert told.model_copy(update={"out_of_distribution": None, "out_of_distribution_in": None}) == found


def test_the_id_is_a_digest_of_the_model_its_lines_and_what_they_are_moved_by(words):
    def digest(**parts):
        text = json.dumps({"lines": [[2.0, -1.0, 0.0]] * len(LABELS), **parts})
        return f"text-tfidf-{hashlib.sha256(text.encode()).hexdigest()[:12]}"

    drawn = {"abuse": Drawn(False, 0.1, Line(3.0, 4.0))}
    plain = words._changed(lines=dict.fromkeys(LABELS, Line(2.0, -1.0)), drawn=drawn)
    assert plain._model_id("x") == digest(model="x")
    assert plain._changed(at_site=True)._model_id("x") == digest(model="x", site={"abuse": [3.0, 4.0]})
    moved = plain._changed(prevalence={"abuse": 0.5}, serving={"abuse": 0.1})
    assert moved._shift("abuse") == pytest.approx(logit(0.1))
    assert moved._shift("nudity") == 0
    assert moved._model_id("x") != digest(model="x")


def test_a_moved_model_has_the_same_id_before_and_after_the_disk(words, tmp_path):
    fresh = by_label(words)
    fresh.__dict__.pop("_digest", None)
    fresh.__dict__.pop("model_id", None)
    moved = fresh.serve_at_prevalence({"abuse": 0.001})
    fresh.save(tmp_path / "a")
    again = Moderator.load(tmp_path / "a", store=FeatureStore(None, "cpu"))
    assert again.serve_at_prevalence({"abuse": 0.001}).model_id == moved.model_id != again.model_id


def test_what_cannot_be_moved_is_said(words):
    known = by_label(words)
    for base in (None, 0.0, 1.0):
        other = known._changed(prevalence={**known.prevalence, "abuse": base})
        with pytest.raises(WorkbenchError, match="not known at which prevalence the probabilities of 'abuse' hold"):
            other.serve_at_prevalence({"abuse": 0.5})
    for share in (0, 1, 1.5, -0.5):
        with pytest.raises(WorkbenchError, match="must be above 0 and below 1"):
            known.serve_at_prevalence({"abuse": share})
    moved = words._changed(drawn={}).serve_at_prevalence({"abuse": 0.5})  # where that is not recorded
    assert moved.serving == {"abuse": 0.5}
    assert moved.serve_at_prevalence({"nudity": 0.25}).serving == {"abuse": 0.5, "nudity": 0.25}
    with pytest.raises(WorkbenchError, match="does not record how"):
        moved.serve_at_site()
    bent = {"abuse": Drawn(False, 0.1, Line(2.0, 1.0)), "nudity": Drawn(True, 0.1)}
    with pytest.raises(WorkbenchError, match="were moved already"):
        moved._changed(drawn=bent).serve_at_site()
    few = {"abuse": Drawn(False, 0.1, IDENTITY._replace(note="too few")), "nudity": Drawn(True, 0.1)}
    with pytest.raises(WorkbenchError, match=r"so serve the bundle itself; abuse: too few$"):
        words._changed(drawn=few).serve_at_site()
    assert words._changed(drawn=bent).serve_at_site().at_site


def test_all_of_a_bundle_comes_back(words, tmp_path, monkeypatch):
    told = by_label(words).serve_at_prevalence({"abuse": 0.001}).described({"made": "today"})
    told.save(tmp_path / "bundle")
    store = FeatureStore(None, "cpu")
    again = Moderator.load(tmp_path / "bundle", store=store)
    for name in ("lines", "prevalence", "serving", "drawn", "at_site", "labels", "card", "policy", "model_id"):
        assert getattr(again, name) == getattr(told, name), name
    assert again.classifier.store is store
    assert again.detector is None
    assert Moderator.load(tmp_path / "bundle").classifier.store is not None
    read, late = bundles.read, {"drawn", "at_site"}  # the first versions did not record them
    monkeypatch.setattr(bundles, "read", lambda at: {name: some for name, some in read(at).items() if name not in late})
    first = Moderator.load(tmp_path / "bundle", store=store)
    assert (first.drawn, first.at_site) == ({}, False)


def test_a_narrowed_service_asks_no_more_than_its_labels(words):
    narrowed = words.only(["violence", "abuse"])
    assert narrowed.labels == ("abuse", "violence")
    assert set(narrowed.policy.labels) == {"abuse", "violence"}
    assert words.labels == LABELS


def test_a_policy_that_asks_a_detector_needs_one(words):
    asking = words.policy.model_copy(update={"out_of_distribution_at": 0.5})
    with pytest.raises(WorkbenchError, match="has no detector"):
        words.able(asking)
    beside = words.with_detector(SimpleNamespace())
    assert beside.able(asking) is asking
    assert beside.able(words.policy) is words.policy
    assert words.able(words.policy) is words.policy
