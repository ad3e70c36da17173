"""What staff read: the sentence, the numbers beside their thresholds, and nothing that could act as markup."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta

import pytest

from workbench.decisions.objective import Chosen, Objective
from workbench.decisions.policy import Assessment, LabelRule, Policy
from workbench.preprocessing.links import extraction
from workbench.schema import Label, Taxonomy
from workbench.serving.demo import verdict
from workbench.serving.demo.verdict import ShownDecision, numbers, sentence, within

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
TAXONOMY = Taxonomy(
    labels=(
        Label(name="abuse", title="Abuse", definition="Attacks a person.", urgency=2, deadline_hours=1),
        Label(name="misinformation", title="Misinformation", definition="Misleads.", deadline_hours=24),
    )
)
RULES = {
    "abuse": LabelRule(review_at=0.41, remove_at=0.9),
    "misinformation": LabelRule(review_at=0.5, remove_at=None),
}


def judged(scores, policy=None, given=("text",), looks=("text", "image"), **known) -> ShownDecision:
    """Return what is shown for these scores, decided by the real policy."""
    policy = policy or Policy(name="house", date=NOW.date(), labels=RULES)
    assessment = Assessment(post_id="p", scores=scores, **known)
    decision = policy.judge(assessment, TAXONOMY, "model-1", now=NOW)
    return ShownDecision(
        decision=decision,
        taxonomy=TAXONOMY,
        rules=policy.labels,
        given=given,
        looks=looks,
        unread=assessment.unread,
        alike=assessment.alike,
        moved=assessment.moved,
        missing=assessment.missing,
        policy_date="2026-03-01",
    )


@pytest.mark.parametrize(
    ("scores", "known", "said"),
    [
        (
            {"abuse": 0.83, "misinformation": 0.1},
            {},
            "Review by a person within 1 hour: abuse 0.83 is at or above the review threshold 0.41.",
        ),
        (  # only what led to the removal is named, though misinformation is above its review threshold too
            {"abuse": 0.95, "misinformation": 0.7},
            {},
            "Remove: abuse 0.95 is at or above the removal threshold 0.90.",
        ),
        (  # a day, because only misinformation is concerned
            {"abuse": 0.1, "misinformation": 0.7},
            {},
            "Review by a person within 24 hours: misinformation 0.70 is at or above the review threshold 0.50.",
        ),
        (  # the more urgent label in full, the others by name
            {"abuse": 0.5, "misinformation": 0.7},
            {"unread": {"image": "It is cut short."}},
            "Review by a person within 1 hour: abuse 0.50 is at or above the review threshold 0.41; misinformation "
            "reaches its too; the picture could not be read: It is cut short.",
        ),
        (  # nothing could be scored: why, not what follows from it
            {},
            {"unread": {"image": "It is cut short."}, "missing": ("abuse", "misinformation")},
            "Review by a person within 1 hour: the picture could not be read: It is cut short.",
        ),
        (
            {"abuse": 0.1},
            {"missing": ("misinformation",)},
            "Review by a person within 1 hour: there is no score for misinformation, so a person looks.",
        ),
        ({"abuse": 0.1, "misinformation": 0.2}, {}, "Allow: every score is below its thresholds."),
        (
            {"abuse": 0.1, "misinformation": 0.2},
            {"unread": {"video": "The clip file is damaged."}},
            "Review by a person within 1 hour: the clip could not be read: The clip file is damaged.",
        ),
        (
            {"abuse": 0.1, "misinformation": 0.2},
            {"unseen": ("image",)},
            "Review by a person within 1 hour: the model does not look at the picture of this post.",
        ),
    ],
)
def test_the_verdict_is_one_sentence(scores, known, said):
    assert sentence(judged(scores, **known), NOW) == said


def test_what_a_policy_lets_pass_unseen_is_said_so():
    policy = Policy(name="lax", date=NOW.date(), labels=RULES, unseen="allow")
    shown = judged({"abuse": 0.1, "misinformation": 0.2}, policy, given=("text", "video"), unseen=("video",))
    assert sentence(shown, NOW).startswith("Allow")
    assert "<b>Clip</b> not looked at by this service" in verdict.looked_at(shown)


@pytest.mark.parametrize(
    ("score", "thresholds", "said"),
    [
        (0.83, [0.41], ("0.83", "0.41")),
        (0.4096, [0.41], ("0.4096", "0.4100")),  # two or three decimals would make them equal
        (0.409, [0.41], ("0.409", "0.410")),
        (0.41, [0.41, None], ("0.41", "0.41", "")),  # equal, so at the threshold
        (1.0, [0.9999999], ("1.000000", "1.000000")),  # closer than six decimals
    ],
)
def test_numbers_never_contradict_the_verdict(score, thresholds, said):
    assert numbers(score, thresholds) == said


@pytest.mark.parametrize(
    ("minutes", "said"),
    [
        (-5, "at once"),
        (0.3, "at once"),
        (1, "within 1 minute"),
        (40, "within 40 minutes"),
        (59.9, "within 1 hour"),
        (24 * 60, "within 24 hours"),
    ],
)
def test_time_left_in_words(minutes, said):
    assert within(timedelta(minutes=minutes)) == said


def test_scores_stand_beside_their_thresholds():
    drawn = verdict.scores(judged({"abuse": 0.83, "misinformation": 0.1}))
    assert drawn.index("Abuse") < drawn.index("Misinformation")
    assert '<b class="score">0.83</b>' in drawn
    assert "review from 0.41 · remove from 0.90" in drawn
    assert "review from 0.50 · no removal threshold" in drawn
    assert 'class="fill review" style="width:83.00%"' in drawn
    assert 'class="mark review" style="left:41.00%"' in drawn
    assert 'class="mark remove" style="left:90.00%"' in drawn
    assert drawn.count('class="mark') == 3  # misinformation has no removal threshold, so no mark for it
    assert ">Review</span>" in drawn
    assert ">Below</span>" in drawn
    assert "Attacks a person." in drawn


@pytest.mark.parametrize(
    ("proven", "said"),
    [
        (0.8, "nothing is removed: a precision of at least 0.9, sure to 90 %, is not proven, one of 0.8 is"),
        (None, "nothing is removed: a precision of at least 0.9, sure to 90 %, is not proven<"),
    ],
)
def test_where_removal_is_not_proven_that_is_said(proven, said):
    asked = Objective(precision=0.9, sure=0.9)
    none = Chosen(objective=asked, at=None, posts=100, harmful=9, why="too few", proven=proven)
    rules = {**RULES, "misinformation": LabelRule(review_at=0.5, remove_at=None, remove_for=none)}
    policy = Policy(name="house", date=NOW.date(), labels=rules)
    assert said in verdict.scores(judged({"abuse": 0.83, "misinformation": 0.1}, policy))
    by_hand = {**RULES, "misinformation": LabelRule(review_at=0.5, remove_at=0.95, remove_for=none)}
    drawn = verdict.scores(judged({"misinformation": 0.1}, Policy(name="house", date=NOW.date(), labels=by_hand)))
    assert "remove from 0.95" in drawn
    assert "nothing is removed" not in drawn


def test_a_label_without_a_score_is_for_review():
    drawn = verdict.scores(judged({"abuse": 0.1}, missing=("misinformation",)))
    assert drawn.count("no score") == 1
    assert drawn.count(">Review</span>") == 1


def test_a_label_without_a_rule_is_for_review():
    shown = judged({"abuse": 0.1, "misinformation": 0.2})
    lone = ShownDecision(**{**shown.__dict__, "rules": {"abuse": RULES["abuse"]}})
    assert "the policy has no rule for this label" in verdict.scores(lone)
    assert verdict.scores(lone).count(">Review</span>") == 1


def test_what_was_looked_at_names_every_kind_of_content():
    shown = judged(
        {"abuse": 0.1}, given=("text", "image"), looks=("text", "image"), unread={"image": "It is cut short."}
    )
    drawn = verdict.looked_at(shown)
    assert "<b>Text</b> read" in drawn
    assert "<b>Picture</b> could not be read: It is cut short." in drawn
    assert "<b>Clip</b> none in this post, and not looked at anyway" in drawn


def test_versions_carry_the_date():
    drawn = verdict.versions(judged({"abuse": 0.1}))
    assert "<code>model-1</code>" in drawn
    assert "<code>house@1-" in drawn
    assert drawn.endswith("of 2026-03-01</p>")


HOSTILE = '<img src=x onerror=alert(1)>\n\n[link](javascript:alert(1)) "quoted" \ud800 \x00'


def test_nothing_that_comes_in_acts_as_markup():
    shown = judged({"abuse": 0.1}, given=("video",), looks=("video",), unread={"video": HOSTILE}, missing=(HOSTILE,))
    for drawn in (verdict.summary(shown, NOW), verdict.whole(shown, NOW), verdict.told(HOSTILE)):
        assert "<img" not in drawn
        assert "\n" not in drawn  # a blank line would end the block of HTML and begin Markdown
        drawn.encode()
    assert verdict.safe(HOSTILE).startswith("&lt;img src=x onerror=alert(1)&gt; [link]")


def test_training_posts_that_a_score_comes_from_are_named_beside_it():
    named = {"abuse": ("a-1", "<b>", "a-3")}
    shown = verdict.scores(judged({"abuse": 0.83, "misinformation": 0.1}, alike=named))
    assert shown.count("most like the training posts") == 1
    assert "remove from 0.90 · most like the training posts a-1, &lt;b&gt; and a-3" in shown


def test_what_the_model_is_worth_stands_in_the_verdict_and_no_colour_speaks_for_one_that_is_worth_nothing():
    shown = judged({"abuse": 0.1, "misinformation": 0.1})
    assert '<div class="verdict allow"' in verdict.summary(shown, NOW)
    assert "<p>" not in verdict.summary(shown, NOW)
    noted = verdict.summary(dataclasses.replace(shown, note="For <trying>."), NOW)
    assert '<div class="verdict allow"' in noted
    assert "</h2><p>For &lt;trying&gt;.</p></div>" in noted
    unreal = verdict.summary(dataclasses.replace(shown, note="Means nothing.", unreal=True), NOW)
    assert '<div class="verdict unreal"' in unreal
    assert "Allow" in unreal


def test_links_are_named_with_what_was_found_of_them():
    text = "https://youtu.be/x http://bit.ly/1 http://127.0.0.1/<b>" + "".join(f" a{n}.example" for n in range(4))
    links = extraction.shown(text, extraction.LinkLists.load())
    shown = verdict.looked_at(dataclasses.replace(judged({"abuse": 0.1}), links=links))
    assert "<b>youtu.be</b> an embed: the site moderates itself" in shown
    assert '<li class=""><b>bit.ly</b> seen: hides where it leads</li>' in shown
    assert '<li class="bad"><b>127.0.0.1</b> suspicious: names a number in place of a site</li>' in shown
    assert '<li class=""><b>a1.example</b> </li><li>and 2 more</li>' in shown
    assert "Links" not in verdict.looked_at(judged({"abuse": 0.1}))


def test_reports_are_part_of_the_verdict():
    shown = judged({"abuse": 0.1, "misinformation": 0.1}, reports=4)
    said = "Review by a person within 1 hour: the post was reported at least 3 times; from there on, a person looks."
    assert sentence(shown, NOW) == said


def test_what_numbers_around_a_post_did_stands_beside_its_score_and_in_the_reason():
    told = ("the author's prior reports 30 (odds times 6.5)", "<b>impressions</b> 3 (odds times 1.2)")
    shown = judged({"abuse": 0.1, "misinformation": 0.7}, moved={"misinformation": told})
    assert f"Against a typical post: {told[0]}, {told[1]}." in shown.decision.reasons[0].detail
    page = verdict.whole(shown)
    assert "against a typical post: the author&#x27;s prior reports 30 (odds times 6.5), &lt;b&gt;impressions" in page
    assert page.count("against a typical post") == 1  # of the label that they moved
