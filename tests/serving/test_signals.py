"""A reactive service is asked by a signal only: until then a post waits, unscored, and says so."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from threading import Thread

import httpx
import pytest
from oracles import history
from stand_in import StandIn, configured

from workbench.corpora import log
from workbench.errors import WorkbenchError
from workbench.preprocessing.links.extraction import LinkLists
from workbench.schema import Decision, Engagement, Media, Post, Taxonomy
from workbench.serving.config import ServingConfig, SignalOptions
from workbench.serving.engine import Engine
from workbench.serving.refused import Busy, RateLimited
from workbench.serving.signals import drawn, sentence, signal

SIGNALS = {"reports": 3, "impressions": 1000, "reactions_per_hour": 50, "links": True, "sample": 0}
REACTIVE = {"mode": "reactive", "signals": SIGNALS}
BAD_LINK = "see http://192.168.0.1/login"
WHY = (
    "Not asked: no signal; this service looks at a post from 3 reports on, from 1,000 views on, from 50 reactions an "
    "hour on, or for a suspicious link."
)


@pytest.fixture
def reactive(make_engine):
    return make_engine({"misinformation": REACTIVE})


def post(text: str = "mild", post_id: str = "p1", **more) -> Post:
    return Post(post_id=post_id, text=text, **more)


def moderate(engine, **of):
    return engine.moderate("misinformation", post(**of))


def report(engine, number: int, post_id: str = "p1") -> bool:
    return engine.event(post_id, "report", datetime(2026, 1, 1, 0, number, tzinfo=UTC), {}, f"user {number}")


NOW = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.mark.parametrize(
    ("told", "reports", "expected"),
    [
        ({}, 2, ""),
        ({}, 3, "reports"),
        ({"engagement": Engagement(reports=3)}, 0, "reports"),
        ({"engagement": Engagement(impressions=999, reports=2)}, 2, ""),
        ({"engagement": Engagement(impressions=1000)}, 0, "spread"),
        ({"engagement": Engagement(reactions=49)}, 0, ""),
        ({"engagement": Engagement(reactions=50)}, 0, "spread"),  # posted who knows when: within the hour
        ({"engagement": Engagement(reactions=99), "created_at": NOW - timedelta(hours=2)}, 0, ""),  # 49.5 an hour
        ({"engagement": Engagement(reactions=100), "created_at": NOW - timedelta(hours=2)}, 0, "spread"),
        ({"engagement": Engagement(reactions=49), "created_at": NOW - timedelta(minutes=1)}, 0, ""),
        ({"text": BAD_LINK}, 0, "link"),
        ({"text": "see https://example.com/a"}, 0, ""),
    ],
)
def test_each_signal_from_its_number_on(told, reports, expected):
    assert signal(SignalOptions(**SIGNALS), post(**told), reports, LinkLists.load(), NOW) == expected


def test_signals_that_are_off_are_none():
    off = SignalOptions(reports=None, impressions=None, reactions_per_hour=None, links=False, sample=1)
    told = post(BAD_LINK, engagement=Engagement(reports=9, impressions=10**6, reactions=10**6))
    assert signal(off, told, 9, LinkLists.load(), NOW) == "sample"
    assert sentence(off) == "if drawn, as 1 of all posts are"


def test_a_share_of_posts_is_drawn_by_their_ids():
    ids = [f"t3_{number}" for number in range(20_000)]
    few, more = ({one for one in ids if drawn(one, share)} for share in (0.05, 0.2))
    assert abs(len(few) - 1000) < 4 * (20_000 * 0.05 * 0.95) ** 0.5  # four standard deviations of a fair draw
    assert few < more  # a larger share adds posts and loses none
    assert few == {one for one in ids if drawn(one, 0.05)}


def test_a_post_without_a_signal_waits_and_no_model_runs(reactive, stand_in):
    answer = moderate(reactive)
    assert (stand_in.calls, answer.stored, answer.decision.action) == ([], False, "wait")
    assert [(reason.kind, reason.detail) for reason in answer.decision.reasons] == [("rule", WHY)]
    assert (answer.assessment.scores, set(answer.assessment.missing)) == ({}, set(stand_in.labels))
    assert answer.decision.due_at is None
    assert moderate(reactive).stored
    assert reactive.lookup("misinformation", "p1").decision == answer.decision
    assert reactive.moderate("text", post()).decision.action == "allow"  # other services score it
    assert [row["decision"]["action"] for row in history(reactive.records, "misinformation", "p1")] == ["wait"]
    assert reactive.probe("misinformation", post()).decision.action == "allow"  # a person who tries a post is asking


def test_a_post_with_a_signal_is_scored_at_once_and_never_waits_again(reactive, stand_in):
    answer = moderate(reactive, engagement=Engagement(impressions=5000))
    assert (stand_in.calls, answer.decision.action, answer.assessment.scores["abuse"]) == ([1], "allow", 0.05)
    assert moderate(reactive).decision.action == "allow"  # the same post: what is scored stays scored
    assert moderate(reactive, text="another").decision.action == "wait"


def test_a_signal_that_a_later_put_brings_scores_the_post(reactive, stand_in):
    assert moderate(reactive, text="harm").decision.action == "wait"
    told = moderate(reactive, text="harm", engagement=Engagement(reactions=60))
    assert (told.stored, told.decision.action, stand_in.calls) == (False, "remove", [1])
    assert reactive.lookup("misinformation", "p1").decision == told.decision


def test_the_report_that_completes_the_signal_scores_the_post_as_it_was_sent(reactive, stand_in):
    picture = Media(bytes=b"no picture")
    moderate(reactive, text="harm", image=picture, region="NZ")
    assert [report(reactive, number) for number in (1, 2, 2)] == [True, True, False]
    assert (stand_in.calls, reactive.lookup("misinformation", "p1").decision.action) == ([], "wait")
    report(reactive, 3)
    told = reactive.lookup("misinformation", "p1")
    assert (stand_in.calls, told.decision.action, told.decision.unread) == ([1], "remove", ("image",))
    assert {reason.kind for reason in told.decision.reasons} == {"label", "unread", "reports"}
    assert told.assessment.region == "NZ"
    assert moderate(reactive, text="harm", image=picture, region="NZ").stored
    report(reactive, 4)
    assert stand_in.calls == [1]


def test_reports_of_before_the_first_put_are_a_signal(reactive, stand_in):
    for number in range(3):
        report(reactive, number)
    assert moderate(reactive).decision.action == "review"
    assert stand_in.calls == [1]


def test_a_report_that_comes_while_a_post_is_put_to_wait_scores_it(reactive, stand_in, monkeypatch):
    record = reactive.records.record

    def slow(*of, **more):
        if not stand_in.calls:
            for number in range(3):
                reactive.records.event(
                    "p1", "report", datetime(2026, 1, 1, 0, number, tzinfo=UTC), {}, f"user {number}"
                )
        return record(*of, **more)

    monkeypatch.setattr(reactive.records, "record", slow)
    assert moderate(reactive).decision.action == "review"
    assert stand_in.calls == [1]


def test_a_put_with_a_signal_does_not_share_the_answer_of_one_without(reactive, stand_in, monkeypatch):
    record, threads, told = reactive.records.record, [], []

    def slow(*of, **more):
        if not threads:
            spread = Engagement(impressions=5000)
            threads.append(Thread(target=lambda: told.append(moderate(reactive, engagement=spread))))
            threads[0].start()
            threads[0].join(0.3)  # it waits for this one only if it shares its answer
        return record(*of, **more)

    monkeypatch.setattr(reactive.records, "record", slow)
    assert moderate(reactive).decision.action == "allow"  # what has been scored meanwhile
    assert reactive.lookup("misinformation", "p1").decision.action == "allow"
    threads[0].join(30)
    assert ([one.decision.action for one in told], stand_in.calls) == (["allow"], [1])


def test_a_report_that_cannot_be_acted_on_now_is_when_it_is_told_again(reactive, stand_in, monkeypatch):
    moderate(reactive)
    with monkeypatch.context() as patch:
        patch.setattr(reactive, "submit", lambda *_, **__: (_ for _ in ()).throw(Busy("full", 1)))
        report(reactive, 1)
        report(reactive, 2)
        with pytest.raises(Busy):
            report(reactive, 3)
    assert not report(reactive, 3)
    assert reactive.lookup("misinformation", "p1").decision.action == "review"


def test_posts_that_wait_count_for_rate_limits_once(make_engine, stand_in):
    limits = {"author_burst": 1, "author_per_minute": 0.001}
    engine = make_engine({"misinformation": {**REACTIVE, "limits": limits}})
    author = {"author": {"id": "a"}}
    moderate(engine, **author)
    with pytest.raises(RateLimited):
        moderate(engine, post_id="p2", **author)
    for number in range(3):
        report(engine, number)  # its post has been counted
    assert engine.lookup("misinformation", "p1").decision.action == "review"


def test_other_signals_are_told_anew_and_a_proactive_service_scores_what_waited(make_engine, records, tmp_path):
    moderate(make_engine({"misinformation": REACTIVE}))
    later = make_engine({"misinformation": {"mode": "reactive", "signals": SIGNALS | {"reports": 5}}})
    answer = moderate(later)
    assert (answer.stored, "from 5 reports on" in answer.decision.reasons[0].detail) == (False, True)
    assert moderate(make_engine()).decision.action == "allow"


def test_what_waits_stands_in_the_log_as_such_until_it_is_scored(reactive, records):
    moderate(reactive)
    options = log.SourceOptions(folder=str(records.folder), service="misinformation")
    assert [row["action"] for row in log.build(options, Taxonomy.load())["meta"].to_pylist()] == ["wait"]
    moderate(reactive, engagement=Engagement(reports=3))
    rows = log.build(options, Taxonomy.load()).to_pylist()
    assert [(row["post_id"], row["meta"]["action"]) for row in rows] == [("p1", "review")]


def test_the_api_says_so_with_null_confidences(reactive, serve):
    url = serve(reactive).url
    answer = httpx.put(f"{url}/v1/moderate/misinformation/p1", json={"features": {"text": "mild"}})
    said = answer.json()
    assert answer.status_code == 200
    assert {one["confidence"] for one in said["results"]} == {None}
    assert (said["decision"]["action"], said["decision"]["reasons"][0]["detail"]) == ("wait", WHY)
    assert httpx.get(f"{url}/v1/moderate/misinformation/p1").json()["decision"] == said["decision"]
    services = {one["name"]: one for one in httpx.get(f"{url}/v1/services").json()["services"]}
    assert (services["misinformation"]["mode"], services["misinformation"]["signals"]) == ("reactive", SIGNALS)
    assert (services["text"]["mode"], services["text"]["signals"]) == ("proactive", None)
    assert 'workbench_signals_total{service="misinformation",signal="none"} 1.0' in httpx.get(f"{url}/metrics").text


def test_wrong_signals_are_refused_in_a_sentence(tmp_path):
    none = dict.fromkeys(("reports", "impressions", "reactions_per_hour")) | {"links": False, "sample": 0}
    for given, said in (
        ({"mode": "reactive", "signals": none}, "no post would ever be looked at"),
        ({"signals": SIGNALS}, "`signals` go with `mode: reactive`"),
    ):
        with pytest.raises(WorkbenchError, match=said):
            configured(tmp_path, {"misinformation": given})
    with pytest.raises(ValueError, match="has no scores"):
        Decision(post_id="p", action="wait", scores={"abuse": 0.1}, model_id="m", policy_id="p")


def test_the_file_that_ships_asks_for_misinformation_by_a_signal_and_for_all_else_at_once():
    modes = {name: service.mode for name, service in ServingConfig.load().services.items()}
    assert modes.pop("misinformation") == "reactive"
    assert set(modes.values()) == {"proactive"}


def test_a_report_is_acted_on_by_a_server_that_has_only_just_started(reactive, records, tmp_path):
    moderate(reactive)
    fresh_model = StandIn()
    changed = {"misinformation": REACTIVE}
    fresh = Engine(configured(tmp_path, changed), records, device="cpu", load=lambda *_, **__: fresh_model)
    try:
        for number in range(3):
            report(fresh, number)
        assert (fresh_model.calls, fresh.lookup("misinformation", "p1").decision.action) == ([1], "review")
    finally:
        fresh.close(1)
