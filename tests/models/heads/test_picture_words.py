"""Joint heads that read the words in the picture as one more text.

The picture is a scene and what is written on it, as in "scene | written" with a `#` for the bar: the encoder sees the
scene, the recogniser's stand-in the rest.
"""

import numpy as np
import pytest
from quick_models import QUICK
from sklearn.metrics import average_precision_score

from workbench import models
from workbench.errors import WorkbenchError
from workbench.features import FeatureStore
from workbench.schema import label_matrix

HEADS = ("clip-concat", "clip-align", "clip-cross", "clip-retrieval")
WORDS = ("words", "text-hashing")
SMALL = {"name": "text-hashing", "options": {"bits": 12, "epochs": 2}}
FILLERS = [f"word{number}" for number in range(20)]


@pytest.fixture
def stores(store):
    """The function that makes a store whose encoder sees the scene alone."""
    kind = type(store.encoder("words"))

    class Scene(kind):
        def encode_image(self, pictures, report=None):
            return super().encode_image([data and data.partition(b"#")[0] for data in pictures], report)

    return lambda: FeatureStore(None, "cpu", load=lambda name, device: Scene())


@pytest.fixture
def seen(engine):
    """The pictures whose words were read."""

    def words(data):
        scene, _, text = data.decode().partition("#")
        return None if scene == "unreadable" else text.strip()

    return engine(words)


def made(n, taxonomy, seed):
    """Return posts, one in five without text and one in eight without a picture: only what is written tells a label."""
    rng, rows = np.random.default_rng(seed), []
    for number in range(n):
        labels = {name: bool(rng.random() < 0.4) for name in taxonomy.names}
        text, scene, written = (" ".join(rng.choice(FILLERS, 3)) for _ in range(3))
        written += "".join(f" {name}word" for name, holds in labels.items() if holds)
        picture = f"{scene}#{written if number % 10 else ''}"
        rows.append({"text": text if number % 5 else None, "image": picture if number % 8 else None, "labels": labels})
    return rows


@pytest.fixture
def posts(table, taxonomy):
    return [table(made(n, taxonomy, seed), taxonomy) for n, seed in ((160, 1), (60, 2), (80, 3))]


def create(name, text, taxonomy, store, **more):
    known = models.option_names(name)
    options = {key: value for key, value in QUICK.items() if key in known and key != "encoder"} | {"epochs": 15}
    options |= {
        "text_encoder": SMALL if text == "text-hashing" else text,
        "image_encoder": "scene",
        "picture_words": True,
    }
    return models.create(name, options | more, taxonomy=taxonomy, store=store)


def ranking(model, test):
    """Return the mean over labels of the average precision."""
    y, _ = label_matrix(test, model.taxonomy)
    logits = np.nan_to_num(model.logits(test), nan=-9.0)
    return np.mean([average_precision_score(y[:, k], logits[:, k]) for k in range(y.shape[1])])


@pytest.mark.parametrize(("name", "text"), [*((name, "words") for name in HEADS), ("clip-concat", "text-hashing")])
def test_what_is_written_on_the_picture_is_learnt_and_a_saved_model_reads_it(
    name, text, taxonomy, stores, seen, posts, tmp_path
):
    train, validation, test = posts
    with_words, without = (
        create(name, text, taxonomy, stores(), picture_words=asked).fit(train, validation, seed=0)
        for asked in (True, False)
    )
    assert ranking(with_words, test) > ranking(without, test) + 0.2
    assert with_words.modalities == without.modalities == ("text", "image")
    with_words.save(tmp_path / "model")
    again = models.load(tmp_path / "model", taxonomy=taxonomy, store=with_words.store)
    before = len(seen)
    np.testing.assert_array_equal(again.logits(test), with_words.logits(test))
    assert len(seen) == before == len(set(seen))  # kept in the store, by what the picture is
    assert again.parameters == with_words.parameters


def test_words_that_cannot_be_read_are_told_of_the_picture(taxonomy, stores, engine, table, posts):
    engine(lambda data: None if data.startswith(b"dark") else data.decode().partition("#")[2].strip())
    model = create("clip-concat", "words", taxonomy, stores(), epochs=1).fit(*posts[:2], seed=0)
    rows = [
        {"text": "word1", "image": "word2#unreadable"},
        {"text": "word1", "image": "dark#abuseword"},
        {"text": "word1", "image": "word2#"},
        {"text": "word1", "image": None},
        {"text": None, "image": "word2#abuseword"},
    ]
    made = model.predict(table(rows, taxonomy))
    assert made.unread["image"] == ["cannot be read", "nothing in the image could be read", None, None, None]
    assert made.unread["text"] == [None] * 5
    assert np.isfinite(made.logits).all()


@pytest.mark.parametrize("pooling", ["noisy-or", "attention"])
def test_a_post_alone_scores_as_among_others_also_where_frames_are_pooled(
    taxonomy, stores, seen, table, posts, pooling
):
    """Frames of a clip, variants of a text and of what is written on the picture beside it."""
    clips = [{"video": "word1|word2|word3", "text": "word4", "image": f"word{n}#word6 abuseword"} for n in range(4)]
    rows = [*clips, *({"video": "word1|word2", "labels": {"abuse": bool(n % 2)}} for n in range(20))]
    train = table([*made(120, taxonomy, 1), *rows], taxonomy)
    model = create("clip-concat", "words", taxonomy, stores(), pooling=pooling, epochs=2, head="mlp")
    model.fit(train, posts[1], seed=0)
    few = table(
        [{"video": "word1|word2", "text": "word4 | word5", "image": "word7#abuseword | word8"}, *clips], taxonomy
    )
    logits = model.logits(few)
    for row in range(len(few)):
        np.testing.assert_allclose(model.logits(few.slice(row, 1))[0], logits[row], atol=1e-5)
    parts = [
        {"video": "word1|word2", "text": text, "image": f"word7#{written}"}
        for text in ("word4", "word5")
        for written in ("abuseword", "word8")
    ]
    np.testing.assert_allclose(logits[0], model.logits(table(parts, taxonomy)).max(axis=0), atol=1e-5)


def test_another_reader_of_words_is_another_encoder(taxonomy, stores, seen, posts, tmp_path, monkeypatch):
    from workbench.preprocessing.image import ocr

    model = create("clip-concat", "words", taxonomy, stores(), epochs=1).fit(*posts[:2], seed=0)
    model.save(tmp_path / "model")
    monkeypatch.setattr(ocr, "weights", lambda: "others")
    with pytest.raises(WorkbenchError, match="another encoder than 'ocr' is now"):
        models.load(tmp_path / "model", taxonomy=taxonomy, store=stores())


def test_without_the_extra_it_is_one_sentence_before_anything_trains(
    taxonomy, stores, seen, posts, tmp_path, monkeypatch
):
    from workbench.preprocessing.image import ocr

    model = create("clip-concat", "words", taxonomy, stores(), epochs=1).fit(*posts[:2], seed=0)
    model.save(tmp_path / "model")
    monkeypatch.setattr(ocr, "available", lambda: False)
    asked = {"encoder": "tiny", "picture_words": True}
    for text in WORDS:
        with pytest.raises(WorkbenchError, match="install the extra `ocr`"):
            create("clip-concat", text, taxonomy, stores()).fit(*posts[:2], seed=0)
    with pytest.raises(WorkbenchError, match=r"the model in .*model reads words in pictures.*install the extra `ocr`"):
        models.load(tmp_path / "model", taxonomy=taxonomy, store=stores())
    with pytest.raises(WorkbenchError, match="install the extra `ocr`") as caught:
        models.check("clip-concat", asked)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "given", "said"),
    [
        ("clip-attention", {}, "take `clip-cross`"),
        ("clip-finetune", {}, "take `clip-cross`"),
        ("clip-concat", {"modality_dropout": 0.4}, "each is hidden in a third"),
        ("text-clip", {}, "picture_words"),
    ],
)
def test_where_it_cannot_stand_is_one_sentence(seen, name, given, said):
    with pytest.raises(WorkbenchError, match=said) as caught:
        models.check(name, {"encoder": "tiny", "picture_words": True} | given)
    assert "\n" not in str(caught.value)
