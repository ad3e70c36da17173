"""The taxonomy's fingerprint, what posts and decisions refuse, and how unknown labels stay unknown."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, Self

import numpy as np
import pyarrow as pa
import pytest
from pydantic import Field, ValidationError, model_validator

from workbench import schema
from workbench.errors import TaxonomyMismatch, WorkbenchError, unknown
from workbench.schema import Decision, Media, Options, Post, Taxonomy

A = {"name": "a", "title": "A", "definition": "An a."}
B = {"name": "b", "title": "B", "definition": "A b."}
C = {"name": "c", "title": "C", "definition": "A c."}


def taxonomy(*labels: dict, **fields) -> Taxonomy:
    return Taxonomy.parse({"labels": list(labels), **fields}, "taxonomy")


# --------------------------------------------------------------------------------------------------------- sentences


@pytest.mark.parametrize(
    ("value", "choices", "sentence"),
    [
        (
            "clip-cros",
            ["clip-cross", "prior"],
            "unknown model 'clip-cros'; did you mean 'clip-cross'? The choices are: clip-cross, prior",
        ),
        ("xyz", ["prior"], "unknown model 'xyz'; the choices are: prior"),
        ("xyz", [], "unknown model 'xyz'; the choices are: none"),
        (7, iter(["7a", "8"]), "unknown model '7'; did you mean '7a'? The choices are: 7a, 8"),
        ("a\nb", ["prior"], "unknown model 'a\\nb'; the choices are: prior"),  # stays one line
    ],
)
def test_unknown_names_the_value_the_choices_and_the_nearest(value, choices, sentence):
    assert unknown("model", value, choices) == sentence


class Small(Options):
    rate: float = Field(0.5, gt=0, description="A rate.")
    name: str = Field(description="A name.")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"name": "x", "rat": 1}, "here: unknown key 'rat'; did you mean 'rate'? The choices are: rate, name"),
        ({"rate": 1}, "here: key 'name' is missing"),
        (None, "here: key 'name' is missing"),
        ({"name": "x", "rate": 0}, "here: rate: Input should be greater than 0 (got 0)"),
        ({"name": "x", "rate": float("nan")}, "here: rate: Input should be a finite number (got nan)"),
        ({"name": 3}, "here: name: Input should be a valid string (got 3)"),
    ],
)
def test_options_say_where_which_key_and_what_is_accepted(values, said):
    with pytest.raises(WorkbenchError) as caught:
        Small.parse(values, "here")
    assert str(caught.value) == said


def test_two_faults_are_both_named():
    with pytest.raises(WorkbenchError, match=r"key 'name' is missing; unknown key 'nam'; did you mean 'name'\?"):
        Small.parse({"nam": "x"}, "here")


def test_a_long_value_is_cut():
    with pytest.raises(WorkbenchError) as caught:
        Small.parse({"name": "x", "rate": "9" * 1000 + "x"}, "here")
    assert len(str(caught.value)) < 250


def test_options_are_frozen():
    options = Small(name="x")
    with pytest.raises(ValidationError):
        options.name = "y"


# ---------------------------------------------------------------------------------------------------------- taxonomy


def test_the_default_taxonomy_is_the_one_that_is_documented():
    default = Taxonomy.load()
    assert default.names == ("abuse", "nudity", "violence", "misinformation")
    hours = {label.name: label.deadline_hours for label in default.labels}
    assert hours == {"abuse": 1, "nudity": 1, "violence": 1, "misinformation": 24}
    assert [label.mode for label in default.labels] == ["proactive"] * 3 + ["reactive"]


def test_the_fingerprint_is_over_names_and_exclusive_sets_as_written_down():
    # Spelt out, because stored artefacts carry it: a change here makes every one of them unreadable.
    expected = hashlib.sha256(b'{"names": ["a", "b"], "exclusive": [["a", "b"]]}').hexdigest()[:12]
    assert taxonomy(A, B, exclusive=[["b", "a"]]).fingerprint == expected


@pytest.mark.parametrize(
    "other",
    [
        taxonomy({**A, "title": "Other", "definition": "Reworded."}, B, exclusive=[["a", "b"]]),
        taxonomy({**A, "urgency": 9, "deadline_hours": 2, "mode": "reactive"}, B, exclusive=[["a", "b"]]),
        taxonomy(A, B, exclusive=[["a", "b"]], wording="2027-01-01"),
        taxonomy(A, B, exclusive=[["b", "a"]]),
    ],
    ids=["wording", "urgency and mode", "version of the wording", "order within a set"],
)
def test_what_the_fingerprint_does_not_cover(other):
    assert other.fingerprint == taxonomy(A, B, exclusive=[["a", "b"]]).fingerprint


def test_what_the_fingerprint_covers():
    different = [
        taxonomy(A, B, C),
        taxonomy(A, B),
        taxonomy(B, A, C),  # order: columns of every label matrix
        taxonomy(A, B, {**C, "name": "d"}),
        taxonomy(A, B, C, exclusive=[["a", "b"]]),
        taxonomy(A, B, C, exclusive=[["a", "b", "c"]]),
        taxonomy(A, B, C, exclusive=[["a", "b"], ["b", "c"]]),
    ]
    assert len({each.fingerprint for each in different}) == len(different)
    assert taxonomy(A, B, C, exclusive=[["b", "c"], ["a", "b"]]).fingerprint == different[-1].fingerprint


def test_another_taxonomys_artefact_is_refused_with_both_names_and_the_next_step():
    ours, theirs = taxonomy(A, B), taxonomy(B, A)
    ours.check(ours.fingerprint, "model x")
    with pytest.raises(TaxonomyMismatch) as caught:
        ours.check(theirs.fingerprint, "model x")
    for part in ("model x", ours.fingerprint, theirs.fingerprint, "a, b", "workbench run"):
        assert part in str(caught.value)
    assert isinstance(caught.value, WorkbenchError)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"labels": [A, A]}, "label names repeat: a, a"),
        ({"labels": [A], "exclusive": [["a", "z"]]}, "unknown label in `exclusive` 'z'; the choices are: a"),
        ({"labels": []}, "at least 1 item"),
        ({"labels": [{**A, "name": "A b"}]}, "labels.0.name"),
        ({"labels": [{**A, "name": "a\n"}]}, "labels.0.name"),
        ({"labels": [{**A, "deadline_hours": 0}]}, "labels.0.deadline_hours: Input should be greater than 0"),
        ({"labels": [{**A, "mode": "never"}]}, "'proactive' or 'reactive'"),
        ({"labels": [{"title": "A"}]}, "key 'labels.0.name' is missing"),
        ({"labels": ["Hate Speech"]}, "small letters, digits and _ only, as in hate_speech (got 'Hate Speech')"),
        ({"labels": [7]}, "labels.0"),
        ({"labels": ["default"]}, "cannot be called 'default'"),
        ({"labels": [{**A, "weight": 1}]}, "labels.0: unknown key 'weight'"),
        ({"labels": [A], "exclusif": []}, "did you mean 'exclusive'?"),
    ],
)
def test_a_taxonomy_that_makes_no_sense_is_refused(values, said):
    with pytest.raises(WorkbenchError) as caught:
        Taxonomy.parse(values, "taxonomy x.yaml")
    assert str(caught.value).startswith("taxonomy x.yaml: ")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_one_fault_in_a_label_is_told_once():
    with pytest.raises(WorkbenchError) as caught:
        Taxonomy.parse({"labels": [{**A, "urgency": "high"}]}, "taxonomy")
    assert str(caught.value).startswith("taxonomy: labels.0.urgency: Input should be a valid integer")
    assert "at least 1 item" not in str(caught.value)


def test_a_taxonomy_is_read_from_a_file(tmp_path):
    path = tmp_path / "t.yaml"
    path.write_text("labels:\n- {name: spam, title: Spam, definition: Ünwanted.}\n", encoding="utf-8")
    assert Taxonomy.load(path).labels[0].definition == "Ünwanted."
    assert Taxonomy.load(str(path)).names == ("spam",)


class Inner(Options):
    column: str = Field(description="A column.")
    low: int | None = Field(None, description="A number.")

    @model_validator(mode="after")
    def _low(self) -> Self:
        if self.low == 0:
            raise ValueError("`low` is nothing")
        return self


class Outer(Options):
    rules: dict[str, str | Inner] = Field({}, description="A column, or a rule on it.")
    rate: Literal["auto"] | float = Field("auto", description="A number, or not.")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"rules": {"a": 5}}, "x: rules.a: Input should be a valid string or a valid dictionary (got 5)"),
        ({"rules": {"a": {"column": 5}}}, "x: rules.a.column: Input should be a valid string (got 5)"),
        ({"rules": {"a": {"column": "c", "low": 0}}}, "x: rules.a: `low` is nothing"),
        ({"rules": {"a": {"column": "c", "lo": 1}}}, "x: rules.a: unknown key 'lo'; did you mean 'low'?"),
        ({"rate": "aut"}, "x: rate: Input should be 'auto' or a valid number"),
    ],
)
def test_a_value_of_several_kinds_is_refused_in_the_words_of_the_one_that_was_meant(given, said):
    with pytest.raises(WorkbenchError) as caught:
        Outer.parse(given, "x")
    assert str(caught.value).startswith(said)
    assert "[" not in str(caught.value)


def test_the_root_is_the_repository():
    assert (schema.ROOT / "pyproject.toml").is_file()
    assert Path(schema.__file__).is_relative_to(schema.ROOT)


# ------------------------------------------------------------------------------------------------ posts and decisions


@pytest.mark.parametrize("part", [{"text": "x"}, {"image": {"path": "a.png"}}, {"video": {"bytes": b"\0"}}])
def test_one_modality_makes_a_post(part):
    assert Post.parse({"post_id": "1", **part}, "post").post_id == "1"


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"post_id": "1"}, "at least one of text, image and video"),
        ({"post_id": "1", "text": ""}, "at least one of text, image and video"),
        ({"post_id": "1", "author": {"id": "u"}}, "at least one of text, image and video"),
        ({"text": "x"}, "key 'post_id' is missing"),
        ({"post_id": "1", "text": "x", "labels": {"abuse": True}}, "unknown key 'labels'"),
        ({"post_id": "1", "image": {"url": "x"}}, "image: unknown key 'url'"),
        ({"post_id": "1", "text": "x", "engagement": {"reports": "many"}}, "engagement.reports"),
    ],
)
def test_what_is_no_post(values, said):
    with pytest.raises(WorkbenchError) as caught:
        Post.parse(values, "post")
    assert said in str(caught.value)


def test_a_posts_fields_are_the_inputs_of_a_corpus():
    # One row of INPUTS is one Post: the same names, so that no door sees a field another does not.
    assert list(Post.model_fields) == schema.INPUTS.names
    for name, model in (("image", Media), ("author", schema.Author), ("engagement", schema.Engagement)):
        assert list(model.model_fields) == [field.name for field in schema.INPUTS.field(name).type]


def test_a_row_of_a_corpus_is_a_post():
    moment = datetime(2026, 5, 1, 12, tzinfo=UTC)
    row = {"post_id": "1", "image": {"bytes": b"\x89PNG", "path": None}, "author": {"posts": 3}, "created_at": moment}
    table = pa.Table.from_pylist([row], schema=schema.INPUTS)
    post = Post.parse(table.to_pylist()[0], "post")
    assert (post.image.bytes, post.author.posts, post.created_at, post.text) == (b"\x89PNG", 3, moment, None)


@pytest.mark.parametrize("part", [{"text": " \n"}, {"image": {}}, {"video": {"bytes": None, "path": None}}])
def test_a_post_with_nothing_in_it_is_no_post(part):
    with pytest.raises(WorkbenchError):
        Post.parse({"post_id": "1", **part}, "post")


DECISION = {"post_id": "1", "action": "allow", "scores": {"a": 0.5}, "model_id": "m", "policy_id": "p"}


@pytest.mark.parametrize("action", ["review", "remove"])
def test_what_could_not_be_read_is_never_allowed(action):
    with pytest.raises(WorkbenchError, match=r"could not be read \(image, video\) cannot be allowed"):
        Decision.parse({**DECISION, "unread": ["image", "video"]}, "decision")
    assert Decision.parse({**DECISION, "unread": ["image"], "action": action}, "decision").action == action


def test_a_policy_may_allow_what_the_model_does_not_look_at():
    assert Decision.parse({**DECISION, "unseen": ["image"]}, "decision").unseen == ("image",)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"action": "ban"}, "'allow', 'review', 'remove' or 'wait'"),
        ({"scores": {"a": float("nan")}}, "finite"),
        ({"reasons": [{"kind": "mood"}]}, "'label', 'link', 'reports', 'unread', 'rule' or 'sample'"),
        ({"model": "m"}, "did you mean 'model_id'?"),
    ],
)
def test_what_is_no_decision(change, said):
    with pytest.raises(WorkbenchError) as caught:
        Decision.parse({**DECISION, **change}, "decision")
    assert said in str(caught.value)


@pytest.mark.parametrize("score", [-0.1, 1.5])
def test_a_score_is_a_probability(score):
    with pytest.raises(WorkbenchError):
        Decision.parse({**DECISION, "scores": {"a": score}}, "decision")


def test_a_decision_survives_json():
    reason = {"kind": "label", "label": "a", "score": 0.9, "threshold": 0.8}
    due = datetime(2026, 5, 1, tzinfo=UTC)
    decision = Decision.parse({**DECISION, "action": "remove", "reasons": [reason], "due_at": due}, "decision")
    assert Decision.model_validate_json(decision.model_dump_json()) == decision


# ------------------------------------------------------------------------------------------------------------ tables


def corpus(rows: list[dict], labels: Taxonomy) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=schema.corpus_schema(labels))


def test_a_corpus_has_the_inputs_then_what_models_never_see():
    both = schema.corpus_schema(taxonomy(A, B))
    assert both.names == [*schema.INPUTS.names, "group", "split", "weight", "labels"]
    assert [field.name for field in both.field("labels").type] == ["a", "b"]
    assert schema.inputs(both.empty_table()).schema == schema.INPUTS


ROWS = [
    {"post_id": "0", "labels": {"a": True, "b": None}},
    {"post_id": "1", "labels": {"a": False, "b": True}},
    {"post_id": "2", "labels": None},
]


def test_an_unknown_label_is_zero_and_not_known():
    y, known = schema.label_matrix(corpus(ROWS, taxonomy(A, B)), taxonomy(A, B))
    assert y.dtype == np.float32
    np.testing.assert_array_equal(y, [[1, 0], [0, 1], [0, 0]])
    np.testing.assert_array_equal(known, [[True, False], [True, True], [False, False]])


def test_label_columns_follow_the_taxonomy_not_the_table():
    y, known = schema.label_matrix(corpus(ROWS, taxonomy(A, B)), taxonomy(B, A))
    np.testing.assert_array_equal(y, [[0, 1], [1, 0], [0, 0]])
    np.testing.assert_array_equal(known, [[False, True], [True, True], [False, False]])


def test_label_matrix_of_slices_chunks_and_nothing():
    labels = taxonomy(A, B)
    table = corpus(ROWS, labels)
    y, known = schema.label_matrix(pa.concat_tables([table.slice(1), table.slice(0, 1)]), labels)
    np.testing.assert_array_equal(y, [[0, 1], [0, 0], [1, 0]])
    np.testing.assert_array_equal(known, [[True, True], [False, False], [True, False]])
    y, known = schema.label_matrix(table.slice(0, 0), labels)
    assert (y.shape, known.shape) == ((0, 2), (0, 2))


def test_declared_is_what_a_post_brings_readable_or_not():
    rows = [
        {"text": "x", "image": {"path": "gone.png"}},
        {"text": " \t\n\u2003"},  # nothing a reader sees
        {"text": None, "image": {"bytes": b"not a picture"}, "video": {"path": "clip.mp4"}},
        {"text": "", "image": {"bytes": None, "path": None}},  # a struct with nothing in it
    ]
    table = corpus([{"post_id": str(i), **row} for i, row in enumerate(rows)], taxonomy(A))
    found = schema.declared(table)
    assert tuple(found) == schema.MODALITIES
    assert found["text"].tolist() == [True, False, False, False]
    assert found["image"].tolist() == [True, False, True, False]
    assert found["video"].tolist() == [False, False, True, False]
    assert schema.declared(table.slice(2))["image"].tolist() == [True, False]
    assert all(values.shape == (0,) and values.dtype == bool for values in schema.declared(table.slice(0, 0)).values())
