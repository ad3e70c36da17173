"""The policy: thresholds to decisions by hand, and no way from missing evidence to `allow`."""

from __future__ import annotations

import datetime as dt

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from workbench.decisions.objective import Chosen, Objective, Shares
from workbench.decisions.policy import Assessment, LabelRule, Override, Policy
from workbench.errors import WorkbenchError
from workbench.schema import Decision, Reason, Taxonomy

TAXONOMY = Taxonomy.load()
LABELS = TAXONOMY.names
NOON = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)


def policy(review: float | None = 0.5, remove: float | None = 0.9, **more) -> Policy:
    rules = {label: LabelRule(review_at=review, remove_at=remove) for label in LABELS}
    return Policy(name="house", date=dt.date(2026, 1, 1), labels=rules, **more)


def assessed(score: float = 0.1, **more) -> Assessment:
    given = {"scores": dict.fromkeys(LABELS, 0.1) | {"abuse": score}, "created_at": NOON} | more
    return Assessment(post_id="p", **given)


def judge(by: Policy, found: Assessment):
    return by.judge(found, TAXONOMY, "model-1")


# ----------------------------------------------------------------------------------------------------------- decisions


@pytest.mark.parametrize(
    ("score", "action"), [(0.4999, "allow"), (0.5, "review"), (0.8999, "review"), (0.9, "remove"), (1.0, "remove")]
)
def test_a_score_at_its_threshold_meets_it(score, action):
    decision = judge(policy(), assessed(score))
    assert decision.action == action
    assert [reason.label for reason in decision.reasons] == ([] if action == "allow" else ["abuse"])
    assert decision.policy_id == policy().id
    assert decision.model_id == "model-1"


def test_a_reason_says_which_variant_of_the_text_scored_and_which_training_posts_are_alike():
    found = assessed(0.95, variants={"abuse": "look-alike letters undone"})
    (reason,) = judge(policy(), found).reasons
    said = "abuse scores 0.950 by its variant with look-alike letters undone; posts are removed from 0.900 on."
    assert reason.detail == said
    (plain,) = judge(policy(), assessed(0.95)).reasons
    assert plain.detail == said.replace(" by its variant with look-alike letters undone", "")
    (named,) = judge(policy(), assessed(0.95, alike={"abuse": ("p-7", "p-2")})).reasons
    assert named.detail == f"{plain.detail} Most like it of the training posts with abuse: p-7, p-2."


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"unread": {"image": "The JPEG file is cut short."}}, "The image could not be read: The JPEG file is cut"),
        ({"unseen": ("video",)}, "does not look at the video"),
        ({"missing": ("nudity",)}, "There is no score for nudity"),
        ({"scores": {}}, "No score that the policy has a threshold for"),
        ({"scores": {"spam": 0.1}}, "No rule is set for spam"),
    ],
)
def test_what_is_missing_goes_to_a_person(more, said):
    decision = judge(policy(), assessed(**more))
    assert decision.action == "review"
    assert any(said in reason.detail for reason in decision.reasons)


def test_harm_that_is_seen_is_removed_whatever_else_is_missing():
    found = assessed(0.95, unread={"image": "why"}, unseen=("video",), missing=("nudity",))
    assert judge(policy(), found).action == "remove"


LINK = "The link to evil.example pretends to be another site before an @ sign."


def test_a_sketchy_link_sends_an_allowed_post_to_a_person_and_spares_no_removal():
    decision = judge(policy(), assessed(links=(LINK,)))
    assert decision.action == "review"
    assert [(reason.kind, reason.detail) for reason in decision.reasons] == [("link", LINK)]
    assert decision.due_at == NOON + dt.timedelta(hours=1)  # the earliest deadline of all labels
    assert judge(policy(), assessed(0.95, links=(LINK,))).action == "remove"
    ignored = judge(policy(links="ignore"), assessed(links=(LINK,)))
    assert (ignored.action, ignored.reasons) == ("allow", ())
    assert Assessment.model_validate({"post_id": "recorded before links were looked at"}).links == ()
    earlier = {"post_id": "recorded when variants were readings", "readings": {"abuse": "spaced letters joined"}}
    found = Assessment.model_validate(earlier)
    assert found.variants == earlier["readings"]
    assert Assessment.model_validate(found.model_dump(mode="json")) == found


def test_a_policy_may_let_pass_what_the_model_does_not_look_at():
    assert judge(policy(unseen="allow"), assessed(unseen=("image",))).action == "allow"
    assert judge(policy(unseen="allow"), assessed(unseen=("image",), scores={})).action == "review"


def test_without_any_threshold_a_person_looks():
    assert judge(policy(None, None), assessed(1.0)).action == "review"


def test_a_label_whose_score_leads_to_nothing_is_told_with_the_reason():
    asked = Chosen(objective=Objective(recall=0.95), at=None, posts=9, harmful=0, why="none of them is harmful")
    rule = LabelRule(review_at=None, remove_at=None, review_for=asked)
    by = policy()
    assert by.idle() == {}
    some = by.model_copy(update={"labels": {**by.labels, "abuse": rule}})
    assert list(some.idle()) == ["abuse"]
    assert "none of them is harmful" in some.idle()["abuse"]
    there = Override(region="DE", labels={"abuse": rule.model_copy(update={"remove_at": 0.9})})
    assert some.model_copy(update={"overrides": (there,)}).idle() == {}  # there it does lead to something


def test_due_by_the_earliest_deadline_of_what_is_concerned():
    hours = {label.name: label.deadline_hours for label in TAXONOMY.labels}
    assert (hours["abuse"], hours["misinformation"]) == (1, 24)
    slow = {"abuse": 0.1, "misinformation": 0.6}
    assert judge(policy(), assessed(scores=slow)).due_at == NOON + dt.timedelta(hours=24)
    assert judge(policy(), assessed(scores={**slow, "abuse": 0.6})).due_at == NOON + dt.timedelta(hours=1)
    assert judge(policy(), assessed(scores=slow, unread={"image": "why"})).due_at == NOON + dt.timedelta(hours=1)
    assert judge(policy(), assessed(0.95)).due_at is None  # it is gone already


@given(
    scores=st.dictionaries(st.sampled_from(LABELS), st.floats(0, 1)),
    missing=st.sets(st.sampled_from(LABELS)),
    unread=st.sets(st.sampled_from(["text", "image", "video"])),
    unseen=st.sets(st.sampled_from(["text", "image", "video"])),
    cuts=st.tuples(st.none() | st.floats(0, 1), st.none() | st.floats(0, 1)),
    passing=st.sampled_from(["review", "allow"]),
    out_of_distribution=st.none() | st.floats(0, 1),
    out_of_distribution_at=st.none() | st.floats(0.1, 0.9),
)
def test_missing_evidence_is_never_allowed(
    scores, missing, unread, unseen, cuts, passing, out_of_distribution, out_of_distribution_at
):
    low, high = cuts if None in cuts else sorted(cuts)
    by = policy(low, high, unseen=passing, out_of_distribution_at=out_of_distribution_at)
    found = Assessment(
        post_id="p",
        scores=scores,
        missing=tuple(missing),
        unread=dict.fromkeys(unread, "why"),
        unseen=tuple(unseen),
        out_of_distribution=out_of_distribution,
    )
    action = judge(by, found).action
    strange = out_of_distribution_at is not None and (
        out_of_distribution is None or out_of_distribution >= out_of_distribution_at
    )
    if unread or missing or not scores or strange or (unseen and passing == "review"):
        assert action != "allow"
    at_once = [score for label, score in scores.items() if label != "misinformation"]  # which acts on a signal
    assert (action == "remove") == (high is not None and any(score >= high for score in at_once))


# ----------------------------------------------------------------------------------------------------------- overrides


def test_the_last_override_that_applies_counts():
    strict, mild = (LabelRule(review_at=at, remove_at=None) for at in (0.05, 0.99))
    by = policy(
        overrides=(Override(language="de", labels={"abuse": strict}), Override(region="Isles", labels={"abuse": mild}))
    )
    assert judge(by, assessed()).action == "allow"
    assert judge(by, assessed(language="de-AT")).action == "review"
    assert judge(by, assessed(language="den")).action == "allow"  # another language
    assert judge(by, assessed(0.97, language="de", region="isles")).action == "allow"
    assert "for language de" in judge(by, assessed(language="de")).reasons[0].detail


# ---------------------------------------------------------------------------------------------------------------- YAML


def test_a_policy_comes_back_from_its_file(tmp_path):
    chosen = Chosen(objective=Objective(precision=0.95), at=0.9, posts=100, harmful=9, flagged=20, caught=19)
    rule = LabelRule(review_at=0.5, remove_at=0.9, remove_for=chosen)
    by = policy(overrides=(Override(region="isles", labels={"abuse": rule}),))
    by.dump(tmp_path / "policy.yaml")
    assert Policy.load(tmp_path / "policy.yaml") == by
    assert Policy.load(tmp_path / "policy.yaml").id == by.id


def test_the_id_changes_with_the_content():
    assert policy().id != policy(remove=0.91).id
    assert policy().id != policy(unseen="allow").id
    assert (
        len({one.id for one in (policy(), policy(reports_at=4), policy(reports_at=None), policy(reactive="remove"))})
        == 4
    )
    assert policy().id.startswith("house@1-")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name: a\ndate: 2026-01-01\nlabels: {abuse: {review_at: 0.9, remove_at: 0.5}}", "must not be above remove_at"),
        ("name: a\ndate: 2026-01-01\nlabels: {abuse: {review_at: 1.5, remove_at: null}}", "less than or equal to 1"),
        ("name: a\ndate: 2026-01-01\nlabels: {}\nunsen: allow", "did you mean 'unseen'"),
        (
            "name: a\ndate: 2026-01-01\nlabels: {}\n"
            "overrides: [{region: '', labels: {abuse: {review_at: 0.5, remove_at: null}}}]",
            "region.*at least 1 character",
        ),
        ("name: a b\ndate: 2026-01-01\nlabels: {}", "name"),
        ("name: a\nlabels: {}", "'date' is missing"),
        ("name: a\ndate: 2026-01-01\nlabels: {}\nname: b", "stands twice"),
    ],
)
def test_a_policy_that_is_none_is_one_sentence(tmp_path, text, said):
    (tmp_path / "policy.yaml").write_text(text)
    with pytest.raises(WorkbenchError, match=said) as told:
        Policy.load(tmp_path / "policy.yaml")
    assert "\n" not in str(told.value)


def test_a_policy_must_fit_the_labels():
    with pytest.raises(WorkbenchError, match="no rule for label 'spam' of the model"):
        policy().check([*LABELS, "spam"], "the model")
    with pytest.raises(WorkbenchError, match="unknown label of the model 'misinformation'"):
        policy().check(LABELS[:3], "the model")


@pytest.mark.parametrize(
    ("objective", "said"),
    [({}, "not none"), ({"precision": 0.9, "recall": 0.9}, "not precision, recall"), ({"f1": "good"}, "'best'")],
)
def test_an_objective_is_one_thing(objective, said):
    with pytest.raises(WorkbenchError, match=said):
        Objective.parse(objective, "policy")


def test_what_a_threshold_did_is_said_in_numbers():
    chosen = Chosen(objective=Objective(recall=0.8), at=0.25, posts=1000, harmful=40, flagged=64, caught=32)
    assert chosen.precision[0] == 0.5
    assert chosen.recall[0] == 0.8
    assert "64 reach it, 32 of them harmful: precision 0.50 [0.38, 0.62], recall 0.80 [0.65, 0.90]" in chosen.promise
    by_hand = LabelRule(review_at=0.3, remove_at=None, review_for=chosen)
    assert by_hand.says("review") == "set by hand; for recall of at least 0.8 it was 0.250"
    assert by_hand.says("remove") == "never"


def test_a_policy_from_before_more_was_said_of_thresholds_loads_and_keeps_its_id():
    old = """
name: house
date: 2026-01-01
labels:
  abuse:
    review_at: 0.5
    remove_at: 0.9
    review_for: null
    remove_for: {objective: {precision: 0.95}, at: 0.9, posts: 100, harmful: 9, flagged: 20, caught: 19, why: null}
  nudity:
    review_at: null
    remove_at: null
    review_for: {objective: {recall: 0.95}, at: null, posts: 9, harmful: 0, flagged: 0, caught: 0, why: none is harmful}
    remove_for: null
"""
    by = Policy.parse(yaml.safe_load(old), "policy")
    assert by.id == "house@1-b4463c45"
    assert by.labels["abuse"].remove_for.precision[0] == 0.95
    assert by.labels["abuse"].adds("remove") == []
    assert by.labels["nudity"].flags_from is None


def test_what_is_said_of_a_threshold_comes_back_from_its_file(tmp_path):
    shares = Shares(precision=(0.9, 0.8, 0.95), recall=None, few=True)
    about = {"objective": Objective(precision=0.9, sure=0.9), "posts": 100, "harmful": 9}
    found = Chosen(**about, at=0.9, flagged=20, caught=18, sample=shares, site=shares)
    missing = Chosen(**about, at=None, why="too few", proven=0.8, seen=0.92, needed=4000)
    rules = {"abuse": LabelRule(review_at=None, remove_at=0.9, remove_for=found)}
    rules["nudity"] = LabelRule(review_at=None, remove_at=None, remove_for=missing)
    by = policy().model_copy(update={"labels": rules})
    by.dump(tmp_path / "policy.yaml")
    assert Policy.load(tmp_path / "policy.yaml") == by
    assert by.id != by.model_copy(update={"labels": {**rules, "nudity": LabelRule(review_at=None, remove_at=None)}}).id
    assert found.more[1] == "By the site's own mix of posts: precision 0.90 [0.80, 0.95] (few)."
    assert missing.more == [
        "A precision of 0.8 is proven, sure to 90 %; the precision seen at best is 0.92, and if that holds about 4,000 "
        "labelled groups of posts like those of validation would prove 0.9."
    ]
    hopeless = missing.model_copy(update={"proven": None, "seen": 0.85, "needed": None})
    assert hopeless.more == [
        "No lower precision is proven; the precision seen at best is 0.85, so that more posts alone would not prove "
        "0.9."
    ]


def test_a_policy_that_asks_for_the_detector_keeps_the_id_that_it_had_when_the_key_was_another():
    assert policy(out_of_distribution_at=0.99).id == "house@1-c0dd9c20"
    assert policy(out_of_distribution_at=0.99).id != policy().id


# --------------------------------------------------------------------------------------------- every word of a decision


def reason(label: str | None, score: float | None, threshold: float | None, detail: str, kind: str = "label") -> Reason:
    return Reason(kind=kind, label=label, score=score, threshold=threshold, detail=detail)


def test_a_whole_decision():
    scores = {"misinformation": 0.7, "abuse": 0.95, "spam": 0.2, "nudity": 0.1, "violence": 0.5}
    found = assessed(
        scores=scores, missing=("x", "y"), unread={"video": "cut"}, unseen=("image", "text"), links=(LINK,)
    )
    by = policy()
    assert judge(by, found) == Decision(
        post_id="p",
        action="remove",
        scores=scores,
        reasons=(
            # the most urgent label first; one that the taxonomy does not know is as urgent as the least
            reason("violence", 0.5, 0.5, "violence scores 0.500; posts are sent to review from 0.500 on."),
            reason("abuse", 0.95, 0.9, "abuse scores 0.950; posts are removed from 0.900 on."),
            reason("misinformation", 0.7, 0.5, "misinformation scores 0.700; posts are sent to review from 0.500 on."),
            reason("spam", 0.2, None, "No rule is set for spam.", "rule"),
            reason(None, None, None, "The video could not be read: cut", "unread"),
            reason(None, None, None, "There is no score for x, y, so a person looks.", "rule"),
            reason(None, None, None, "The model does not look at the image and the text of this post.", "rule"),
            reason(None, None, None, LINK, "link"),
        ),
        unread=("video",),
        unseen=("image", "text"),
        due_at=None,
        model_id="model-1",
        policy_id=by.id,
    )
    first, second = judge(by, assessed(scores={"spam": 0.2, "misinformation": 0.7})).reasons
    assert (first.label, second.label) == ("spam", "misinformation")
    nothing = reason(
        None, None, None, "No score that the policy has a threshold for is there, so a person looks.", "rule"
    )
    assert judge(by, assessed(scores={})).reasons == (nothing,)


def test_how_unusual_a_post_is_counts_from_the_share_that_the_policy_names():
    by = policy(out_of_distribution_at=0.99)
    said = "is more unlike the training posts than 99.0% of the validation posts; from 99.0% on, a person looks."
    at = {"out_of_distribution": 0.99}
    assert judge(by, assessed(**at)).reasons == (reason(None, 0.99, 0.99, f"The post {said}", "rule"),)
    told = judge(by, assessed(**at, out_of_distribution_in="image"))
    assert told.reasons == (reason(None, 0.99, 0.99, f"The image {said}", "rule"),)
    assert (told.action, told.due_at) == ("review", NOON + dt.timedelta(hours=1))
    assert judge(by, assessed(out_of_distribution=0.9899)).action == "allow"
    untold = reason(None, None, None, "It could not be told how unusual the post is; a person looks.", "unread")
    assert judge(by, assessed()).reasons == (untold,)
    assert judge(policy(), assessed(out_of_distribution=1.0)).action == "allow"


def test_a_deadline_counts_from_when_the_post_was_made_or_else_from_now():
    hour, later = dt.timedelta(hours=1), NOON + dt.timedelta(days=3)

    def due(created_at, now=None):
        return policy().judge(assessed(0.6, created_at=created_at), TAXONOMY, "model-1", now=now).due_at

    assert due(NOON, later) == NOON + hour
    assert due(None, later) == later + hour
    assert due(NOON.replace(tzinfo=None)) == NOON + hour  # without a zone it is UTC
    assert due(NOON.astimezone(dt.timezone(dt.timedelta(hours=5)))) == NOON + hour
    before = dt.datetime.now(dt.UTC)
    assert before + hour <= due(None) <= dt.datetime.now(dt.UTC) + hour
    assert due(later, NOON) == NOON + hour  # nobody is in the future: never later than from when it came
    end = dt.datetime.max.replace(tzinfo=dt.UTC)
    assert due(end, NOON) == NOON + hour
    assert due(end, end) == end  # there is no later time
    unknown = assessed(scores={"spam": 0.1})
    assert judge(policy(), unknown).due_at == NOON + hour  # the earliest of all where the label has none
    assert judge(policy(), assessed(scores={})).due_at == NOON + hour


def test_what_is_said_and_added_of_a_rule():
    found = Chosen(objective=Objective(recall=0.8, sure=0.9), at=0.25, posts=1000, harmful=40, flagged=64, caught=32)
    none = Chosen(objective=Objective(precision=0.8, sure=0.9), at=None, posts=9, harmful=1, why="too few")
    rule = LabelRule(review_at=0.25, remove_at=None, review_for=found, remove_for=none)
    assert rule.says("review") == f"recall of at least 0.8, sure to 90 %: {found.promise}"
    assert rule.adds("review") == found.more != []
    kept = "precision of at least 0.8, sure to 90 %: nothing is removed; no threshold qualifies (too few)"
    assert rule.says("remove") == kept
    assert rule.adds("remove") == ["No lower precision is proven."]
    other = LabelRule(review_at=None, remove_at=0.9, review_for=none, remove_for=found)
    assert other.says("review") == "precision of at least 0.8, sure to 90 %: no threshold qualifies (too few)"
    assert other.says("remove") == "set by hand; for recall of at least 0.8, sure to 90 % it was 0.250"
    assert other.adds("remove") == []
    removed = LabelRule(review_at=0.2, remove_at=0.25, remove_for=found, review_for=none)
    assert removed.says("remove") == f"recall of at least 0.8, sure to 90 %: {found.promise}"
    assert removed.says("review") == "set by hand; for precision of at least 0.8, sure to 90 % it was none"
    by_hand = LabelRule(review_at=None, remove_at=0.9)
    assert (by_hand.says("review"), by_hand.says("remove")) == ("never", "set by hand")
    assert by_hand.adds("review") == by_hand.adds("remove") == []
