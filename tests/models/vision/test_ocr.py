"""`picture-words`: what is written on a picture raises a score, never lowers it; without the extra it is off."""

import io
import logging

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from workbench import models
from workbench.errors import WorkbenchError
from workbench.preprocessing.image import ocr


@pytest.fixture
def reader(engine):
    """Words are read without the engine: a picture of n pixels' width says the n-th of these."""
    said = {10: "abuseword word1", 11: "word2 word3", 12: ""}

    def words(data):
        try:
            return said[Image.open(io.BytesIO(data)).size[0]]
        except OSError:
            return None

    return engine(words)


def picture(width):
    file = io.BytesIO()
    Image.new("RGB", (width, 8)).save(file, "PNG")
    return file.getvalue()


def given(table, taxonomy, rows):
    """A table of (text, bytes of a picture)."""
    made = table([{"text": text} for text, _ in rows], taxonomy)
    cells = [None if data is None else {"bytes": data, "path": None} for _, data in rows]
    return made.set_column(made.schema.get_field_index("image"), "image", pa.array(cells, made["image"].type))


def fit(table, rows, taxonomy, store, **options):
    model = models.create("picture-words", options, taxonomy=taxonomy, store=store)
    return model.fit(table(rows(200, taxonomy, 1), taxonomy), table(rows(40, taxonomy, 2), taxonomy), seed=0)


def test_the_higher_of_text_and_words_counts(reader, table, rows, taxonomy, store, tmp_path):
    model = fit(table, rows, taxonomy, store)
    assert model.modalities == ("text", "image")
    harm, calm, blank = picture(10), picture(11), picture(12)
    posts = [("word5", harm), ("word5", None), ("abuseword word1", None), (None, harm), ("abuseword word1", calm)]
    posts += [(None, blank), (None, b"no picture"), ("word5", blank)]
    logits = model.logits(given(table, taxonomy, posts))
    k = taxonomy.names.index("abuse")
    assert logits[0, k] == logits[2, k] == logits[3, k] > logits[1, k]
    assert (logits[4] >= logits[2]).all()
    assert np.isnan(logits[5:7]).all()
    np.testing.assert_array_equal(logits[7], logits[1])
    said = model.predict(given(table, taxonomy, posts)).unread["image"]
    wordless = "there are no words in the picture, and the rest is not looked at"  # a person looks, whatever the text
    assert said == [None] * 5 + [wordless, "nothing in the image could be read", wordless]
    seen = len(reader)
    model.save(tmp_path / "model")
    again = models.load(tmp_path / "model", taxonomy=taxonomy, store=store)
    assert np.array_equal(again.logits(given(table, taxonomy, posts)), logits, equal_nan=True)
    assert seen == len(reader) == 4  # different pictures, each read once


def test_without_the_extra_the_path_is_off_and_says_so(monkeypatch, table, rows, taxonomy, store, caplog):
    monkeypatch.setattr(ocr, "available", lambda: False)
    with caplog.at_level(logging.WARNING):
        model = fit(table, rows, taxonomy, store)
    assert [record.getMessage() for record in caplog.records] == [ocr.OFF]
    assert model.modalities == ("text",)
    assert np.isnan(model.logits(given(table, taxonomy, [(None, picture(10))]))).all()
    with pytest.raises(WorkbenchError, match="install the extra `ocr`"):
        ocr.words(picture(10))


def test_a_model_of_more_than_texts_is_refused(taxonomy, store):
    with pytest.raises(WorkbenchError, match="needs a model of texts alone, not 'image-clip'"):
        models.create("picture-words", {"model": "image-clip"}, taxonomy=taxonomy, store=store)


def test_words_that_the_model_of_texts_cannot_read_are_told(engine, table, rows, taxonomy, store):
    engine(lambda data: "unreadable")
    model = fit(table, rows, taxonomy, store, model="text-clip", options={"encoder": "words", "epochs": 1})
    made = model.predict(given(table, taxonomy, [("word5", picture(10)), ("word5", None), ("unreadable", None)]))
    assert made.unread == {"text": [None, None, "cannot be read"], "image": ["cannot be read", None, None]}
