"""The detector beside the moderator: strange posts are found without labels, and reviewed only where a policy asks."""

import zlib

import numpy as np
import pyarrow as pa
import pytest

from workbench.decisions import out_of_distribution
from workbench.decisions.moderator import Moderator
from workbench.decisions.out_of_distribution import OutOfDistribution, OutOfDistributionOptions
from workbench.errors import WorkbenchError
from workbench.features import Blocks, FeatureStore
from workbench.schema import INPUTS


class Cones:
    """Texts starting with `odd` lie around another axis than all others; pictures likewise, by their bytes."""

    name, dim, fingerprint, weights = "cones", 8, "cones", "cones"

    def __init__(self, version=1):
        self.recipe = {"version": version, "dtype": "float32"}

    def identity(self, modality):
        return self.fingerprint

    def depends(self, modality):
        return {"weights": self.fingerprint}

    def encode_text(self, texts, report=None):
        rows = []
        for text in texts:
            draw = np.random.default_rng(zlib.crc32((text or "").encode()))
            axis = np.eye(8)[1 if (text or "").startswith("odd") else 0]
            rows.append(axis + 0.1 * draw.normal(size=8))
        counts = [0 if text in (None, "bad") else 1 for text in texts]
        kept = [row for row, count in zip(rows, counts, strict=True) if count]
        reasons = ["cannot be read" if text == "bad" else None for text in texts]
        return Blocks.build(np.array(kept).reshape(-1, 8), counts, reasons)

    def encode_image(self, pictures, report=None):
        return self.encode_text([None if data is None else data.decode() for data in pictures])

    encode_video = encode_image


def table(rows):
    full = [{"post_id": f"p{i}", **row} for i, row in enumerate(rows)]
    for row in full:
        if "image" in row:
            row["image"] = {"bytes": row["image"].encode(), "path": None}
    return pa.Table.from_pylist([{name: row.get(name) for name in INPUTS.names} for row in full], schema=INPUTS)


@pytest.fixture
def store():
    return FeatureStore(None, "cpu", load=lambda name, device: Cones())


@pytest.fixture
def detector(store):
    train = table([{"text": f"a {i}", **({"image": f"b {i}"} if i % 2 else {})} for i in range(400)])
    validation = table([{"text": f"c {i}", **({"image": f"d {i}"} if i % 2 else {})} for i in range(200)])
    return OutOfDistribution.fit(train, validation, store=store, options=OutOfDistributionOptions(encoder="cones"))


def test_what_is_unlike_the_training_posts_is_more_unusual_than_all_of_validation(detector):
    posts = table([{"text": "odd one"}, {"text": "plain", "image": "odd"}, {"text": "odd", "image": "plain"}])
    found = detector.look(posts)
    assert found.share.tolist() == [1.0, 1.0, 1.0]
    assert [found.where(i) for i in range(3)] == ["text", "image", "text"]
    assert np.isnan(found.by["image"][0])
    assert "video" not in found.by  # no training post has one


@pytest.mark.parametrize(("most", "kept"), [(400, 400), (399, 200), (100, 100), (1, 1)])
def test_training_vectors_are_kept_up_to_a_limit_evenly_spaced(store, most, kept):
    train = table([{"text": f"a {i}"} for i in range(400)])
    options = OutOfDistributionOptions(encoder="cones", max_vectors=most, k=1)
    memory = OutOfDistribution.fit(train, train, store=store, options=options).memory["text"]
    assert len(memory) == kept  # 400 posts, every first, second, fourth or 400th
    every = OutOfDistribution.fit(
        train, train, store=store, options=OutOfDistributionOptions(encoder="cones", k=1)
    ).memory["text"]
    assert np.array_equal(memory, every[:: 400 // kept])


def test_the_share_is_calibrated_on_posts_like_those_of_validation(detector):
    found = detector.look(table([{"text": f"e {i}", **({"image": f"f {i}"} if i % 2 else {})} for i in range(1000)]))
    # 200 validation posts and 1,000 others of the same kind: about a tenth of them are beyond 90 % (4 sigma: 0.09)
    assert abs((found.share >= 0.9).mean() - 0.1) < 0.09
    assert abs((found.share >= 0.5).mean() - 0.5) < 0.15


def test_a_post_by_itself_and_what_cannot_be_read(detector):
    posts = table([{"text": f"g {i}", "image": f"h {i}"} for i in range(30)] + [{"text": "bad"}, {}])
    whole = detector.look(posts)
    assert np.isnan(whole.share[-2:]).all()
    assert whole.where(31) is None
    alone = np.concatenate([detector.look(posts.slice(i, 1)).share for i in range(32)])
    assert np.array_equal(alone, whole.share, equal_nan=True)


def test_a_saved_detector_says_the_same_and_is_held_against_its_encoder(detector, store, tmp_path):
    detector.save(tmp_path / "detector")
    posts = table([{"text": f"i {i}"} for i in range(20)])
    again = OutOfDistribution.load(tmp_path / "detector", store=store)
    assert np.array_equal(again.look(posts).share, detector.look(posts).share)
    other = FeatureStore(None, "cpu", load=lambda name, device: Cones(version=2))
    with pytest.raises(WorkbenchError, match="another encoder than 'cones'"):
        OutOfDistribution.load(tmp_path / "detector", store=other)
    path = tmp_path / "detector" / "arrays.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(WorkbenchError, match="sha256"):
        OutOfDistribution.load(tmp_path / "detector", store=store)


def test_without_a_readable_post_there_is_no_detector(store):
    with pytest.raises(WorkbenchError, match="that can be read"):
        OutOfDistribution.fit(table([{"text": "bad"}]), table([{"text": "x"}]), store=store)


def test_a_policy_can_send_unusual_posts_to_people_and_by_default_does_not(words, detector, store, tmp_path):
    posts = table([{"text": "odd thing nobody ever wrote"}, {"text": "c 1"}])
    beside = words.with_detector(detector)
    assert beside.policy.id == words.policy.id
    assert [d.reasons for d in beside.decide(posts)] == [d.reasons for d in words.decide(posts)]

    asking = words.policy.model_copy(update={"out_of_distribution_at": 0.99})
    assert asking.id != words.policy.id
    decisions = beside.with_policy(asking).decide(posts)
    assert decisions[0].action in ("review", "remove")
    reason = decisions[0].reasons[-1]
    assert (reason.kind, reason.score, reason.threshold) == ("rule", 1.0, 0.99)
    assert reason.detail == (
        "The text is more unlike the training posts than 100.0% of the validation posts; from 99.0% on, a person looks."
    )
    assert not [reason for reason in decisions[1].reasons if reason.threshold == 0.99]
    with pytest.raises(WorkbenchError, match="no detector"):
        words.with_policy(asking)
    (unknown,) = beside.with_policy(asking).decide(table([{"text": "bad"}]))  # the detector's encoder cannot read it
    assert unknown.action != "allow"
    assert "could not be told how unusual" in unknown.reasons[-1].detail
    # a policy that comes later is asked about what was assessed before
    judged = asking.judge(beside.assess(posts)[0], words.taxonomy, words.model_id)
    assert judged.reasons[-1].detail == reason.detail

    beside.with_policy(asking).save(tmp_path / "bundle")
    again = Moderator.load(tmp_path / "bundle", store=store)
    for one, expected in zip(again.decide(posts), decisions, strict=True):
        assert one.model_copy(update={"due_at": expected.due_at}) == expected  # which counts from now
    assert again.model_id == words.model_id  # its scores are the same
    words.with_policy(words.policy).save(tmp_path / "bundle")  # without it the folder is gone
    assert not (tmp_path / "bundle" / "unusual").exists()


def units(texts: list[str]) -> np.ndarray:
    vectors = Cones().encode_text(texts).values.astype(np.float64)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def farthest(texts: list[str], memory: np.ndarray, k: int) -> np.ndarray:
    """The cosine distance of each text to the k-th nearest of the memory."""
    return 1 - np.sort(units(texts) @ memory.T, axis=1)[:, -k]


@pytest.mark.parametrize(("k", "train", "chunk"), [(1, 40, 1024), (3, 40, 7), (10, 4, 1024)])
def test_a_distance_is_that_to_the_kth_nearest_and_a_share_counts_what_is_nearer(store, monkeypatch, k, train, chunk):
    monkeypatch.setattr(out_of_distribution, "CHUNK", chunk)
    known, seen = [f"a {i}" for i in range(train)], [f"c {i}" for i in range(30)]
    new = [*(f"e {i}" for i in range(10)), "odd", "c 3"]
    made = OutOfDistribution.fit(
        table([{"text": text} for text in known]),
        table([*({"text": text} for text in seen), {"text": "bad"}]),
        store=store,
        options=OutOfDistributionOptions(encoder="cones", k=k),
    )
    memory = units(known).astype(np.float16).astype(np.float64)
    expected = np.sort(farthest(seen, memory, min(k, train)))
    np.testing.assert_allclose(made.seen["text"], expected, atol=2e-6)
    assert np.array_equal(made.seen["text"], np.round(made.seen["text"], 6))
    np.testing.assert_allclose(made.overall, np.arange(30) / 30, atol=1e-6)
    far = farthest(new, memory, min(k, train))
    found = made.look(table([{"text": text} for text in new]))
    near = np.abs(far[:, None] - expected).min(axis=1) < 1e-5  # which may be either side of it
    assert np.allclose(found.by["text"][~near], (expected < far[:, None]).mean(axis=1)[~near])
    assert np.allclose(found.share, found.by["text"])
    nearest = made.look(table([{"text": seen[int(np.argmin(farthest(seen, memory, min(k, train))))]}]))
    assert nearest.share.tolist() == nearest.by["text"].tolist() == [0.0]
    assert nearest.where(0) == "text"


def test_a_share_is_what_lies_below():
    ordered, values = np.array([0.1, 0.2, 0.2, 0.5], np.float32), np.array([0.1, 0.2, 0.3, 0.6, np.nan])
    np.testing.assert_array_equal(out_of_distribution._share(ordered, values), [0, 0.25, 0.75, 1, np.nan])
    assert out_of_distribution._share(ordered[:1], np.array([0.2])).tolist() == [1.0]
    assert out_of_distribution._share(ordered[:0], np.array([0.2])).tolist() == [0.0]


def test_options_have_bounds_and_a_detector_does_without_them(store):
    assert OutOfDistributionOptions().model_dump() == {"encoder": "tiny", "k": 10, "max_vectors": 20_000}
    for name, allowed, refused in (("k", (1, 1000), (0, 1001)), ("max_vectors", (1,), (0,))):
        for value in allowed:
            assert getattr(OutOfDistributionOptions(**{name: value}), name) == value
        for value in refused:
            with pytest.raises(ValueError, match=name):
                OutOfDistributionOptions(**{name: value})
    some = table([{"text": "a"}])
    assert OutOfDistribution.fit(some, some, store=store).options == OutOfDistributionOptions()
