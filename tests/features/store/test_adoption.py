"""Features that are kept although their code changed: only where a sample of them comes out the same."""

import json

import numpy as np
import pyarrow as pa
import pytest
from random_transformer import write_transformer
from stub_store import Stub, images, make, texts

from workbench.errors import WorkbenchError
from workbench.features import Blocks, FeatureStore, picture_words
from workbench.features.encoders import load_encoder
from workbench.features.store import adoption, maintenance
from workbench.features.store.adoption import adopt, compare
from workbench.preprocessing.image import ocr

POSTS = texts(*(f"text {i}" for i in range(20)), *(f"a long text {i}" for i in range(5)), "bad", None)


class Moved(Stub):
    """The stub as another version of its code gives it: every value moved by so many units in the last place."""

    def __init__(self, units=0, letter="b", weights="w"):
        super().__init__(letter * 64)
        self.units, self.weights = units, weights

    def depends(self, modality):
        return {"weights": self.weights, "options": "o", "code": self.fingerprint[:16]}

    def _encode(self, items, report):
        blocks = super()._encode(items, report)
        values = blocks.values.astype(np.float16)
        moved = values + self.units * np.spacing(np.nan_to_num(values))
        return Blocks(moved.astype(np.float32), blocks.offsets, blocks.reasons, blocks.notes)


@pytest.fixture
def folder(tmp_path):
    make(tmp_path, Moved(letter="a"))[0].text("stub", POSTS)
    make(tmp_path, Moved(letter="a"))[0].text("stub", texts("one more"))
    return tmp_path


def names(folder):
    return [space.fingerprint[:4] for space in maintenance.ls(folder)]


@pytest.mark.parametrize("units", [0, 1, -2])
def test_features_that_come_out_the_same_are_found_by_the_new_code(folder, units):
    expected, _ = make(folder, Moved(letter="a"))
    expected = expected.text("stub", POSTS)
    (line,) = adopt(folder, "aaaa", [POSTS], lambda name: Moved(units), items=10)
    assert line.startswith(f"stub text: 10 contents agree (at most {abs(units)} units")
    assert line.endswith("2 shards are now bbbbbbbbbbbb")
    assert names(folder) == ["bbbb"]
    features, encoder = make(folder, Moved())
    blocks = features.text("stub", POSTS)
    assert encoder.seen == []  # nothing is encoded again
    assert blocks.values.tobytes() == expected.values.tobytes()
    assert features.text("stub", texts("one more")).readable.all()
    assert json.loads((maintenance.ls(folder)[0].folder / "about.json").read_text())["depends"]["code"] == "b" * 16


def test_vectors_that_moved_by_more_than_two_units_are_refused_and_stay(folder):
    with pytest.raises(WorkbenchError, match=r"stub text: vectors moved by up to 3 units .* run the study"):
        adopt(folder, "aaaa", [POSTS], lambda name: Moved(3), items=20)
    assert names(folder) == ["aaaa"]
    features, encoder = make(folder, Moved(letter="a"))
    features.text("stub", POSTS)
    assert encoder.seen == []


def test_contents_that_are_read_otherwise_are_refused(folder):
    class Shorter(Moved):
        def _encode(self, items, report):
            return super()._encode([item.replace(b"long", b"lon") for item in items], report)

    with pytest.raises(WorkbenchError, match="5 of 27 contents are read otherwise"):
        adopt(folder, "aaaa", [POSTS, texts("one more")], lambda name: Shorter())


@pytest.mark.parametrize(
    ("old", "tables", "encoder", "said"),
    [
        ("cccc", [POSTS], Moved(), "'cccc' begins the fingerprint of no encoder"),
        ("", [POSTS], Moved(), "'' begins the fingerprint of no encoder"),
        ("aaaa", [texts("text 1", "unknown")], Moved(), r"have 1 of the 27 contents of aaaaaaaaaaaa \(text\), and 27"),
        ("aaaa", [POSTS], Moved(weights="v"), "'stub' has other weights now than aaaaaaaaaaaa; run its study"),
    ],
)
def test_what_cannot_be_compared_is_refused(folder, old, tables, encoder, said):
    with pytest.raises(WorkbenchError, match=said):
        adopt(folder, old, tables, lambda name: encoder)
    assert names(folder) == ["aaaa"]


def test_two_encoders_that_begin_alike_are_told_apart(folder):
    make(folder, Moved(letter="ac"))[0].text("stub", texts("one"))
    with pytest.raises(WorkbenchError, match="several encoders"):
        adopt(folder, "a", [POSTS], lambda name: Moved())


def test_adopting_again_and_beside_features_of_the_new_code_loses_nothing(folder):
    make(folder, Moved())[0].text("stub", texts("text 1", "of the new code"))
    adopt(folder, "aaaa", [POSTS], lambda name: Moved(), items=10)
    assert adopt(folder, "bbbb", [POSTS], lambda name: Moved()) == [
        "stub text: bbbbbbbbbbbb is what this encoder is known by today"
    ]
    features, encoder = make(folder, Moved())
    assert features.text("stub", texts("text 1", "of the new code", "text 2")).readable.all()
    assert encoder.seen == []


def test_the_names_of_both_folders_stay_known_and_a_torn_write_leaves_the_old_ones(folder, monkeypatch):
    class Alias(Moved):
        name = "alias"

    make(folder, Alias())[0].text("alias", texts("of the new code"))
    about = folder / ("b" * 32) / "text" / "about.json"

    def full(path, value):
        raise OSError("no space")

    before = about.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(adoption.Path, "write_text", lambda path, *_, **__: path.write_bytes(b"{torn"))
        patch.setattr("workbench.features.store.disk.write_json", full)
        adopt(folder, "aaaa", [POSTS], lambda name: Moved(), items=10)
    assert about.read_bytes() == before
    make(folder, Moved(letter="a"))[0].text("stub", texts("again"))
    adopt(folder, "aaaa", [texts("again")], lambda name: Moved())
    assert json.loads(about.read_text())["encoders"] == ["alias", "stub"]


def test_patches_and_tokens_are_adopted_as_such(folder):
    class Whole(Moved):
        dim = 2

        @property
        def unpooled(self):
            return Moved()

    adopt(folder, "aaaa", [POSTS], lambda name: Whole(), items=10)
    assert names(folder) == ["bbbb"]


def test_an_encoder_without_patches_says_so_in_a_sentence(tmp_path):
    encoder = load_encoder(f"transformer:mean:16:{write_transformer(tmp_path / 'bert')}")
    with pytest.raises(WorkbenchError, match="does not give patches and tokens"):
        encoder.unpooled  # noqa: B018


def test_a_folder_that_names_no_encoder_is_refused_without_advice_that_deletes(folder):
    (maintenance.ls(folder)[0].folder / "about.json").unlink()
    with pytest.raises(WorkbenchError, match="names the encoder") as refused:
        adopt(folder, "aaaa", [POSTS])
    assert "delete" not in str(refused.value)


def test_a_kill_between_vectors_and_manifest_loses_nothing(folder, monkeypatch):
    def killed(self, target):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(adoption.Path, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            adopt(folder, "aaaa", [POSTS], lambda name: Moved(), items=10)
    features, encoder = make(folder, Moved(letter="a"))
    features.text("stub", POSTS)
    assert encoder.seen == []
    adopt(folder, "aaaa", [POSTS], lambda name: Moved(), items=10)
    features, encoder = make(folder, Moved())
    features.text("stub", POSTS)
    assert encoder.seen == []


def test_all_modalities_under_one_name_are_adopted_and_pictures_count_by_their_bytes(folder):
    pictures = images({"bytes": b"x"}, {"bytes": b"y"})
    make(folder, Moved(letter="a"))[0].image("stub", pictures)
    both = POSTS.slice(0, 2).append_column("image", pictures["image"])
    lines = adopt(folder, "aaaa", [POSTS, texts("one more"), both], lambda name: Moved())
    assert sorted(line.split(":")[0] for line in lines) == ["stub image", "stub text"]


def test_the_unit_is_that_of_float16_with_a_floor_for_values_near_zero():
    def block(*values):
        return Blocks(np.array([values], np.float32), np.array([0, 1]), [None])

    # float16 has 2^-10 between neighbours from 1 to 2, and 2^-20 from 2^-10 on, which holds for smaller values too
    assert compare(block(1, 0), block(1 + 2 * 2**-10, 0), "x").units == 2
    assert compare(block(1, 2**-14), block(1, 2**-14 + 2**-20), "x").units == 1
    with pytest.raises(WorkbenchError, match="3 units"):
        compare(block(1, 0), block(1 + 3 * 2**-10, 0), "x")
    with pytest.raises(WorkbenchError, match=r"cosine 0\.7"):  # short vectors can turn within two units
        compare(block(2**-19, 0), block(2**-19, 2**-19), "x")


WRITTEN = {b"a": "buy now", b"b": "", b"c": "two\nlines", b"bad": None}
PICTURES = images(*({"bytes": picture} for picture in WRITTEN))
PICTURES = PICTURES.append_column("text", pa.nulls(len(WRITTEN), pa.string()))


@pytest.fixture
def words(tmp_path, monkeypatch):
    """A store with the words in pictures, recognised by code that has changed since; the second is what reads now."""
    reads = dict(WRITTEN)
    monkeypatch.setattr(ocr, "available", lambda: True)
    monkeypatch.setattr(ocr, "weights", lambda: "w" * 64)
    monkeypatch.setattr(ocr, "words", reads.get)
    then = picture_words.WordReader()
    monkeypatch.setattr(then, "identity", lambda modality: "a" * 64)
    FeatureStore(tmp_path, "cpu").image(then, PICTURES)
    assert names(tmp_path) == ["aaaa"]
    return tmp_path, reads


def test_words_in_pictures_that_come_out_the_same_are_kept(words, monkeypatch):
    folder, _ = words
    (line,) = adopt(folder, "aaaa", [PICTURES])
    assert line.startswith("ocr image: 4 contents agree (at most 0 units in the last place, cosine at least 1.000000)")
    monkeypatch.setattr(ocr, "words", lambda data: pytest.fail("they are in the store"))
    reader = picture_words.WordReader()
    posts, reasons = picture_words.written(FeatureStore(folder, "cpu"), reader, PICTURES)
    assert posts["text"].to_pylist() == ["buy now", None, "two\nlines", None]
    assert [reason is None for reason in reasons] == [True, True, True, False]


@pytest.mark.parametrize(
    ("picture", "now", "said"),
    [(b"a", "bux now", "moved by up to"), (b"b", "!", "read otherwise"), (b"bad", "legible", "read otherwise")],
)
def test_words_that_are_read_otherwise_now_are_refused_for_a_single_letter(words, picture, now, said):
    folder, reads = words
    reads[picture] = now
    with pytest.raises(WorkbenchError, match=said):
        adopt(folder, "aaaa", [PICTURES])
    assert names(folder) == ["aaaa"]


def test_words_are_not_adopted_where_none_can_be_read(words, monkeypatch):
    monkeypatch.setattr(ocr, "available", lambda: False)
    with pytest.raises(WorkbenchError, match="install the extra `ocr`"):
        adopt(words[0], "aaaa", [PICTURES])
