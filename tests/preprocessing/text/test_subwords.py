"""Byte pairs: CLIP's are open_clip's, trained ones stop where they are told to."""

import pytest

from workbench.errors import WorkbenchError
from workbench.preprocessing.text import subwords, tokenizers
from workbench.preprocessing.text.tokenizers import Tokenizer, TokenOptions

SENTENCES = ["A photo of a cat.", "Don't!! 1,234 caf\u00e9 \u65e5\u672c \U0001f600", "unbelievably stupid"]


def test_clips_pairs_are_those_of_open_clip():
    import open_clip

    theirs = open_clip.get_tokenizer("ViT-B-32")
    backend = subwords._clip(subwords.file("clip"))
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
