"""Byte pairs: CLIP's are open_clip's, tiktoken's are asked for and never fetched."""

import hashlib
import sys
import types

import pytest

from workbench.errors import WorkbenchError
from workbench.preprocessing.text import subwords, tokenizers
from workbench.preprocessing.text.tokenizers import Tokenizer, TokenOptions

SENTENCES = ["A photo of a cat.", "Don't!! 1,234 caf\u00e9 \u65e5\u672c \U0001f600", "unbelievably stupid"]


def test_clips_pairs_are_those_of_open_clip():
    import open_clip

    theirs = open_clip.get_tokenizer("ViT-B-32")
    backend = subwords._clip(subwords.file("clip", ""))
    assert backend.get_vocab_size() == 49_408
    for text in SENTENCES:
        ids = backend.encode(text, add_special_tokens=False).ids
        # Their ids differ (nothing is looked up in CLIP's table), their pieces do not.
        assert [backend.id_to_token(i) for i in ids] == [theirs.decoder[i] for i in theirs.encode(text)]


def test_training_stops_at_the_size_asked_for_and_starts_with_all_bytes():
    texts = [f"you are stupid number {i} and so is the lock" for i in range(50)]
    scheme = subwords.Trained(300)
    scheme.learn(texts)
    assert 256 < scheme.backend.get_vocab_size() <= 300
    long, short = (len(next(iter(scheme.cut([text])))) for text in (texts[0], "\U0001f600"))
    assert long < len(texts[0].split()) * 3
    assert short >= 4  # four bytes, and the space in front: nothing is unreadable


def test_a_published_vocabulary_is_named_by_its_file(monkeypatch, tmp_path):
    options = TokenOptions(scheme="clip")
    assert [path.name for path in tokenizers.files(options)] == ["bpe_simple_vocab_16e6.txt.gz"]
    assert tokenizers.files(TokenOptions(scheme="words")) == []
    state = Tokenizer(options).fit(SENTENCES).state()
    with pytest.raises(WorkbenchError, match="another than in training"):
        Tokenizer(options).restore({**state, "file": "0" * 64})
    monkeypatch.setattr(subwords, "ROOT", tmp_path)
    with pytest.raises(WorkbenchError, match="which is not there") as caught:
        Tokenizer(TokenOptions(scheme="tiny"))
    assert "\n" not in str(caught.value)


@pytest.fixture
def tiktoken(monkeypatch, tmp_path):
    """tiktoken as far as it is asked here, in the place of the package, and an empty folder for its files."""
    module = types.ModuleType("tiktoken")
    module.__spec__ = types.SimpleNamespace(origin="tiktoken")

    class Encoding:
        n_vocab = 1000

        @staticmethod
        def encode_ordinary(text):
            return [len(word) for word in text.split()]

    module.get_encoding = lambda name: Encoding()
    monkeypatch.setitem(sys.modules, "tiktoken", module)
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    return tmp_path


def test_tiktokens_file_is_looked_for_and_held_to_its_digest(tiktoken, monkeypatch):
    options = TokenOptions(scheme="tiktoken")
    with pytest.raises(WorkbenchError, match="nothing is fetched") as caught:
        Tokenizer(options)
    assert "\n" not in str(caught.value)
    address = subwords.TIKTOKEN["cl100k_base"][0]
    place = tiktoken / hashlib.sha1(address.encode()).hexdigest()
    place.write_bytes(b"not it")
    with pytest.raises(WorkbenchError, match="sha256 differs"):
        Tokenizer(options)
    assert place.exists()  # the package would delete it and fetch another
    digest = hashlib.sha256(b"not it").hexdigest()
    monkeypatch.setitem(subwords.TIKTOKEN, "cl100k_base", (address, digest))
    tokenizer = Tokenizer(options).fit(["a bb", "a bb"])
    assert (tokenizer.pieces, tokenizer.published) == ([1, 2], 1000)
    assert tokenizer.encode(["bb ccc"])[0].tolist() == [3, 1]


def test_without_tiktoken_or_with_an_unknown_encoding_there_is_one_sentence(monkeypatch):
    with pytest.raises(WorkbenchError, match="did you mean 'cl100k_base'"):
        Tokenizer(TokenOptions(scheme="tiktoken", encoding="cl100k_bas"))
    monkeypatch.setattr(subwords.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(WorkbenchError, match=r"moderation-workbench\[tiktoken\]"):
        Tokenizer(TokenOptions(scheme="tiktoken"))


def test_the_packages_own_encoding_where_it_is_here():
    pytest.importorskip("tiktoken", reason="the optional package tiktoken is not installed")
    try:
        tokenizer = Tokenizer(TokenOptions(scheme="tiktoken")).fit(SENTENCES * 2)
    except WorkbenchError as error:
        pytest.skip(str(error))
    assert tokenizer.published == 100_277
    # cl100k_base cuts "A photo of a cat." into A, photo, of, a, cat and the stop.
    assert len(tokenizer.encode(["A photo of a cat."])[0]) == 6
