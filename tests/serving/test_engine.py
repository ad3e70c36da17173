"""The engine: scored once, recorded before it is answered, the same again from the records."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from oracles import counts, history
from stand_in import LABELS, SERVICES, StandIn, configured, policy_of, until

from workbench.decisions.policy import LabelRule, Override
from workbench.errors import WorkbenchError
from workbench.records import Records
from workbench.schema import Author, Engagement, Media, Post
from workbench.serving import served
from workbench.serving.engine import Busy, Engine, RateLimited


def post(text="harm", post_id="p1", **more):
    return Post(post_id=post_id, text=text, **more)


def test_the_same_post_again_runs_no_model(engine, stand_in):
    first, second = (engine.moderate("text", post()) for _ in range(2))
    assert (first.stored, second.stored, stand_in.calls) == (False, True, [1])
    assert first.decision == second.decision == engine.lookup("text", "p1").decision
    assert first.decision.action == "remove"
    assert first.contents == second.contents


def test_what_tells_posts_apart(engine, stand_in):
    """Service, post, model and the features that are read; another feature changes nothing."""
    engine.moderate("text", post())
    same = [
        post(engagement=Engagement(reports=2)),
        post(author=Author(id="a", posts=2)),
        post(region="NZ", language="mi", community="c"),
        post(created_at=datetime(2026, 1, 1, tzinfo=UTC)),
    ]
    other = [post("harm "), post(post_id="p2"), post(image=Media(bytes=b""))]
    assert [engine.moderate("text", one).stored for one in same] == [True] * len(same)
    assert [engine.moderate("text", one).stored for one in other] == [False] * len(other)
    assert not engine.moderate("post", post()).stored
    stand_in.model_id = "another-model"
    assert not engine.moderate("text", post()).stored


def test_what_a_policy_alone_looks_at_is_applied_to_recorded_scores(make_engine, stand_in, tmp_path):
    strict = Override(region="NZ", labels={"abuse": LabelRule(review_at=0.01, remove_at=0.02)})
    policy_of(overrides=(strict,)).dump(tmp_path / "policy.yaml")
    engine = make_engine({"text": {"policy": tmp_path / "policy.yaml"}})
    actions = [engine.moderate("text", post("mild", region=region)).decision.action for region in (None, "NZ", None)]
    assert (actions, stand_in.calls) == (["allow", "remove", "remove"], [1])  # what is not told anew stays
    assert engine.lookup("text", "p1").assessment.region == "NZ"
    times = [datetime(2026, 1, day, tzinfo=UTC) for day in (1, 2)]
    assert [engine.moderate("text", post("mild", created_at=at)).assessment.created_at for at in times] == [
        times[0]
    ] * 2


def test_posts_that_differ_in_what_a_policy_looks_at_do_not_share_an_answer_under_way(make_engine, stand_in, tmp_path):
    strict = Override(region="NZ", labels={"abuse": LabelRule(review_at=0.01, remove_at=0.02)})
    policy_of(overrides=(strict,)).dump(tmp_path / "policy.yaml")
    engine = make_engine({"text": {"policy": tmp_path / "policy.yaml"}})
    stand_in.gate.clear()
    asked = [engine.submit("text", post("mild", region=region)) for region in (None, "NZ")]
    stand_in.gate.set()
    assert asked[1].result(30).decision.action == "remove"
    assert counts(engine.records)["entries"] == 1


def test_a_hundred_at_once_share_one_run(engine, stand_in):
    stand_in.gate.clear()
    with ThreadPoolExecutor(100) as pool:
        asked = [pool.submit(engine.moderate, "text", post()) for _ in range(100)]
        stand_in.gate.set()
        answers = [one.result(30) for one in asked]
    assert stand_in.calls == [1]
    assert len({one.decision.model_dump_json() for one in answers}) == 1
    assert counts(engine.records)["entries"] == 1


def test_different_posts_at_once_are_scored_together(make_engine, stand_in):
    engine = make_engine(batch=16)
    stand_in.gate.clear()
    futures = [engine.submit("text", post(post_id="first"))]
    until(lambda: stand_in.calls)
    futures += [engine.submit("text", post(post_id=f"p{number}")) for number in range(32)]
    until(lambda: not len(engine._lookup))
    stand_in.gate.set()
    assert {future.result(30).decision.post_id for future in futures} >= {"p0", "p31"}
    assert stand_in.scored == 33
    assert len(stand_in.calls) <= 5  # 1, then 32 in sixteens, whatever had not come through yet in one more
    assert max(stand_in.calls) == 16


def test_a_text_does_not_wait_for_media(engine, stand_in):
    stand_in.gate.clear()
    slow = engine.submit("post", post("x", "slow", image=Media(bytes=b"no picture")))
    until(lambda: stand_in.calls)
    fast = engine.submit("post", post("y", "fast"))
    until(lambda: len(stand_in.calls) == 2)  # it is in the model while the other is
    stand_in.gate.set()
    assert fast.result(30).decision.action == "allow"
    assert slow.result(30).decision.action == "review"


def test_a_changed_policy_is_applied_to_stored_scores(make_engine, stand_in, tmp_path, monkeypatch):
    monkeypatch.setattr(served, "LOOK_AGAIN", 0)
    path = tmp_path / "policy.yaml"
    policy_of(review=0.5, remove=0.9).dump(path)
    engine = make_engine({"text": {"policy": path}})
    before = engine.moderate("text", post())
    assert before.decision.action == "remove"
    policy_of(review=0.5, remove=None).dump(path)
    after = engine.moderate("text", post())
    assert (after.decision.action, after.stored, stand_in.calls) == ("review", True, [1])
    assert after.policy_id != before.policy_id
    assert engine.lookup("text", "p1").decision == after.decision
    decisions = history(engine.records, "text", "p1")
    assert [one["policy_id"] for one in decisions] == [before.policy_id, after.policy_id]


def test_the_bundles_own_policy_may_be_edited_too(make_engine, tmp_path, monkeypatch):
    monkeypatch.setattr(served, "LOOK_AGAIN", 0)
    engine = make_engine()
    policy_of(review=0.01, remove=None).dump(tmp_path / "bundle" / "0" / "policy.yaml")
    assert engine.moderate("text", post()).decision.action == "review"


def test_a_broken_policy_file_leaves_the_last_one_in_force(make_engine, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(served, "LOOK_AGAIN", 0)
    path = tmp_path / "policy.yaml"
    policy_of().dump(path)
    engine = make_engine({"text": {"policy": path}})
    before = engine.policy("text")
    path.write_text("labels: {abuse: {review_at: 2}}")
    assert engine.policy("text") == before
    assert "keeps policy house@1" in caplog.text
    path.unlink()
    assert engine.policy("text") == before


def test_a_label_without_a_threshold_is_told_at_the_start(make_engine, tmp_path, caplog):
    path = tmp_path / "policy.yaml"
    policy_of(review=None, remove=None).dump(path)
    make_engine({"text": {"policy": path}})
    assert "no score on 'abuse' leads to anything: never" in caplog.text


def test_a_policy_that_asks_what_the_bundle_cannot_tell_is_refused_and_never_in_force(
    make_engine, tmp_path, monkeypatch, caplog
):
    monkeypatch.setattr(served, "LOOK_AGAIN", 0)
    path = tmp_path / "policy.yaml"
    policy_of().dump(path)
    engine = make_engine({"text": {"policy": path}})
    before = engine.policy("text")
    asking = policy_of().model_copy(update={"out_of_distribution_at": 0.99})
    asking.dump(path)
    assert engine.policy("text") == before
    assert "no detector" in caplog.text
    with pytest.raises(WorkbenchError, match="no detector"):
        make_engine({"text": {"policy": path}})


def test_a_policy_must_cover_the_labels_of_its_service(make_engine, tmp_path):
    path = tmp_path / "policy.yaml"
    policy_of(labels=("abuse",)).dump(path)
    make_engine({"text": {"policy": path, "labels": ["abuse"]}})
    with pytest.raises(WorkbenchError, match="no rule for label 'nudity'"):
        make_engine({"text": {"policy": path}})


def test_a_service_answers_for_its_own_labels(make_engine, stand_in):
    engine = make_engine({"misinformation": {"labels": ["misinformation"]}})
    answer = engine.moderate("misinformation", post())  # abuse is at 0.95, but that is another service's
    assert answer.decision.action == "allow"
    assert set(answer.decision.scores) == set(answer.assessment.scores) == {"misinformation"}
    assert engine.lookup("misinformation", "p1").assessment.scores.keys() == {"misinformation"}
    assert engine.services()["misinformation"].labels == ("misinformation",)
    with pytest.raises(WorkbenchError, match="did you mean 'abuse'"):
        make_engine({"text": {"labels": ["abus"]}})


def test_a_probe_has_the_same_scores_and_leaves_nothing(engine, records, tmp_path):
    probed = engine.probe("text", post(image=Media(bytes=b"x")))
    assert engine.lookup("text", "p1") is None
    assert counts(records)["entries"] == 0
    assert not list((tmp_path / "records" / "contents").glob("*/*"))
    answer = engine.moderate("text", post(image=Media(bytes=b"x")))
    assert answer.assessment == probed.assessment
    assert answer.decision.action == probed.decision.action


def test_deleting_takes_the_content_and_leaves_the_audit_line(engine, records, stand_in):
    answer = engine.moderate("post", post(image=Media(bytes=b"picture")))
    assert engine.content(answer.contents["image"]) == b"picture"
    assert engine.about(answer.contents["image"]) == {"kinds": ["image"], "bytes": 7, "vectors": []}
    assert engine.delete("post", "p1")
    assert engine.lookup("post", "p1") is None
    assert engine.content(answer.contents["image"]) is None
    assert engine.about(answer.contents["text"]) is None
    assert not engine.delete("post", "p1")
    assert history(records, "post", "p1")[0]["decision"]["action"] == "remove"
    assert not engine.moderate("post", post()).stored  # it was forgotten


def test_every_feature_is_logged_by_value(engine, records):
    given = post(
        author=Author(id="a", prior_removals=2), engagement=Engagement(reports=1), community="c", language="en"
    )
    answer = engine.moderate("text", given)
    (entry,) = records.entries()
    assert entry.features["author"] == {"id": "a", "prior_removals": 2}
    assert entry.features["engagement"] == {"reports": 1}
    assert entry.features["text"] == {"id": answer.contents["text"], "bytes": 4}
    assert (entry.model_id, entry.policy_id) == (answer.model_id, answer.policy_id)
    assert set(entry.assessment["scores"]) == set(LABELS)


def test_floods_of_one_author(make_engine, caplog):
    engine = make_engine({"text": {"limits": {"author_burst": 2, "author_per_minute": 1}}})
    author = {"author": Author(id="a")}
    for number in range(2):
        engine.moderate("text", post(post_id=str(number), **author))
    with pytest.raises(RateLimited) as limited:
        engine.moderate("text", post(post_id="2", **author))
    assert 0 < limited.value.seconds <= 60
    assert "author 'a' is over the rate limit of service text" in caplog.text
    assert engine.moderate("text", post(post_id="1", **author)).stored  # asking again costs nothing
    assert engine.moderate("text", post(post_id="2")).decision
    assert engine.moderate("post", post(post_id="2", **author)).decision  # each service has its own limit
    assert b'workbench_floods_total{service="text"} 1.0' in engine.gauges.text()


def test_floods_of_one_content_from_many_authors(make_engine, caplog):
    engine = make_engine({"text": {"limits": {"copies_burst": 2, "copies_per_minute": 1}}})
    copied = "the same words, long enough that nobody says them by chance"
    sent = [post(copied, str(number), author=Author(id=f"author {number}")) for number in range(4)]
    for one in sent[:2]:
        engine.moderate("text", one)
    for one in sent[2:]:
        with pytest.raises(RateLimited, match="this content comes in more new posts than are scored"):
            engine.moderate("text", one)
    assert caplog.text.count("is over the rate limit of service text") == 1
    assert b'workbench_copy_floods_total{service="text"} 2.0' in engine.gauges.text()
    assert engine.moderate("text", sent[0]).stored
    for number in range(5):  # what many people say in a few words is no copy
        assert engine.moderate("text", post("happy birthday", f"short {number}")).decision
    assert engine.moderate("text", post(copied + "!", "5")).decision


def test_one_post_that_breaks_the_model_fails_alone(make_engine, stand_in):
    engine = make_engine(wait_ms=200)
    futures = [engine.submit("text", post(text, text)) for text in ("fine", "poison", "good")]
    assert futures[0].result(30).decision.action == "allow"
    assert futures[2].result(30).decision.action == "allow"
    with pytest.raises(RuntimeError, match="the model broke"):
        futures[1].result(30)
    assert engine.lookup("text", "poison") is None


def test_what_cannot_be_recorded_is_not_answered(engine, records, monkeypatch):
    def full(*_):
        raise WorkbenchError("make room on the disk")

    with monkeypatch.context() as patch:
        patch.setattr(records, "record", full)
        with pytest.raises(WorkbenchError, match="make room"):
            engine.moderate("text", post())
    assert not engine.moderate("text", post()).stored  # and once there is room, it is


def test_lone_surrogates_are_scored_and_recorded(engine):
    answer = engine.moderate("text", post("harm \ud83d", region="\udc00", author=Author(id="\ud800")))
    assert answer.decision.action == "remove"
    (entry,) = engine.records.entries()
    assert (entry.features["region"], entry.features["author"]) == ("\ufffd", {"id": "\ufffd"})
    assert engine.content(answer.contents["text"]) == "harm \ufffd".encode()


def test_media_by_path_are_refused(engine, tmp_path):
    with pytest.raises(WorkbenchError, match="give its bytes"):
        engine.moderate("post", post(image=Media(path=str(tmp_path / "x.png"))))


def test_an_unknown_service(engine):
    for call in (engine.lookup, engine.delete):
        with pytest.raises(WorkbenchError, match="did you mean 'text'"):
            call("txt", "p1")
    with pytest.raises(WorkbenchError, match="did you mean 'text'"):
        engine.moderate("txt", post())


def test_too_much_at_once_is_refused_and_forgotten(make_engine, stand_in):
    engine = make_engine({name: {"limits": {"waiting": 1, "seconds": 5}} for name in SERVICES}, batch=1)
    stand_in.gate.clear()
    kept, refused = [], 0
    for number in range(20):
        try:
            kept.append(engine.submit("text", post(post_id=str(number))))
        except Busy:
            refused += 1
    stand_in.gate.set()
    for future in kept:
        try:
            future.result(30)
        except Busy:
            refused += 1
    assert 0 < refused < 20
    assert not engine._flights
    assert engine.moderate("text", post(post_id="19")).decision


def test_a_slow_answer_can_be_had_later(make_engine, stand_in):
    engine = make_engine({"text": {"limits": {"seconds": 0.1}}})
    stand_in.gate.clear()
    with pytest.raises(Busy, match="still being scored"):
        engine.moderate("text", post())
    future = engine.submit("text", post())  # joins the one under way
    stand_in.gate.set()
    assert future.result(30).decision.action == "remove"
    assert stand_in.calls == [1]


def test_closing_answers_what_waits(make_engine, stand_in):
    engine = make_engine()
    stand_in.seconds = 0.2
    futures = [engine.submit("text", post(post_id=str(number))) for number in range(5)]
    assert engine.ready
    engine.close(5)
    assert all(future.result(0).decision.action == "remove" for future in futures)
    assert not engine.ready
    with pytest.raises(Busy, match="being closed"):
        engine.submit("text", post(post_id="late"))


def test_two_processes_on_one_folder_give_one_answer(tmp_path, records):
    """The other engine records first, while this one's model is at work."""
    mine, other = StandIn(), StandIn()
    other.policy = policy_of(remove=0.96)
    with Records(tmp_path / "records") as again:
        engines = [
            Engine(configured(tmp_path), place, device="cpu", load=lambda *_, model=model, **__: model)
            for place, model in ((records, mine), (again, other))
        ]
        for engine in engines:
            engine.load()
        mine.gate.clear()
        waiting = engines[0].submit("text", post())
        until(lambda: mine.calls)
        assert engines[1].moderate("text", post()).decision.action == "review"
        mine.gate.set()
        found = waiting.result(30)
        assert found.stored
        assert found.policy_id == engines[0].policy("text").id  # its own policy, applied to the recorded scores
        assert counts(records)["entries"] == 1
        for engine in engines:
            engine.close(1)


def test_a_sweep_that_fails_at_the_start_is_logged(make_engine, monkeypatch, caplog):
    def fails(self):
        raise WorkbenchError("the disk is full")

    monkeypatch.setattr(Records, "sweep", fails)
    assert make_engine().moderate("text", post()).decision.action == "remove"
    until(lambda: "could not be removed: the disk is full" in caplog.text)
