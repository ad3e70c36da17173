"""tiktoken's encodings from a made file: cuts by hand, files that are none, and what a saved model brings along."""

import hashlib

import pytest

from tests import made_ranks
from workbench.errors import WorkbenchError
from workbench.preprocessing.text import ranks, tokenizers
from workbench.preprocessing.text.tokenizers import Tokenizer, TokenOptions


def pieces(path, text, encoding):
    scheme = ranks.Ranked(encoding, path)
    scheme.learn([])
    names = {rank: piece.decode("latin-1") for piece, rank in scheme.ranks.items()}
    return [names[rank] for rank in next(iter(scheme.cut([text])))]


@pytest.mark.parametrize(
    ("encoding", "text", "cut"),
    [
        # "he" has the lowest rank, then "the", then " the"; "stu", "p" and "id" leave "up" nothing to join.
        ("cl100k_base", "the the", ["the", " the"]),
        ("cl100k_base", "stupid", ["stu", "p", "id"]),
        # Numbers have three digits at most here, and any number of them in the older encodings.
        ("cl100k_base", "1234", ["123", "4"]),
        ("r50k_base", "1234", ["12", "34"]),
        ("cl100k_base", "aXb", ["aX", "b"]),
        ("o200k_base", "aXb", ["a", "X", "b"]),  # a capital after small letters begins another word
    ],
)
def test_texts_are_cut_as_the_ranks_say(tmp_path, encoding, text, cut):
    assert pieces(made_ranks.write(tmp_path / "made.tiktoken"), text, encoding) == cut


def test_a_saved_vocabulary_needs_its_file_no_more_and_an_earlier_one_does(tmp_path):
    path = made_ranks.write(tmp_path / "made.tiktoken")
    options = TokenOptions(scheme="tiktoken", file=path)
    assert [str(file) for file in tokenizers.files(options)] == [path]
    tokenizer = Tokenizer(options).fit(["the stupid", "the stu"])
    assert tokenizer.published == 256 + len(made_ranks.PIECES)
    state, ids = tokenizer.state(), tokenizer.encode(["the stu new"])[0].tolist()
    earlier = {name: value for name, value in state.items() if name != "ranks"}
    earlier["file"] = hashlib.sha256((tmp_path / "made.tiktoken").read_bytes()).hexdigest()
    assert Tokenizer(options).restore(earlier).encode(["the stu new"])[0].tolist() == ids
    with pytest.raises(WorkbenchError, match="another than in training"):
        Tokenizer(options).restore(earlier | {"file": "0" * 64})
    (tmp_path / "made.tiktoken").unlink()
    assert Tokenizer(options).restore(state).encode(["the stu new"])[0].tolist() == ids
    with pytest.raises(WorkbenchError, match="check `file`"):
        tokenizers.files(options)


@pytest.mark.parametrize(
    ("lines", "wrong"),
    [
        ([*made_ranks.lines(), "!! 300"], "line 268 is no piece in base64 with its rank"),
        ([*made_ranks.lines(), "aGU="], "line 268 is no piece"),
        ([*made_ranks.lines(), "aGVy 3"], "one rank to two pieces"),
        (made_ranks.lines()[1:], "no rank for 1 of the 256 bytes"),
    ],
)
def test_a_file_that_is_none_is_refused_in_one_sentence(tmp_path, lines, wrong):
    (tmp_path / "made.tiktoken").write_text("\n".join(lines))
    with pytest.raises(WorkbenchError, match=wrong) as caught:
        Tokenizer(TokenOptions(scheme="tiktoken", file=str(tmp_path / "made.tiktoken"))).fit(["text"])
    assert "\n" not in str(caught.value)


def test_without_a_named_file_that_of_tiktokens_cache_is_held_to_its_digest(tmp_path, monkeypatch):
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    options = TokenOptions(scheme="tiktoken", encoding="o200k_base")
    with pytest.raises(WorkbenchError, match="nothing is fetched; name yours in `file`"):
        tokenizers.files(options)
    cached = tmp_path / "fb374d419588a4632f3f557e76b4b70aebbca790"  # as tiktoken 0.14 names it
    made_ranks.write(cached)
    with pytest.raises(WorkbenchError, match="sha256 differs"):
        Tokenizer(options).fit(["text"])
    digest = hashlib.sha256(cached.read_bytes()).hexdigest()
    known = ranks.ENCODINGS["o200k_base"]._replace(sha256=digest)
    monkeypatch.setitem(ranks.ENCODINGS, "o200k_base", known)
    assert Tokenizer(options).fit(["the"]).published == len(made_ranks.PIECES) + 256


def test_wrong_options_are_told():
    with pytest.raises(WorkbenchError, match="did you mean 'cl100k_base'"):
        Tokenizer(TokenOptions(scheme="tiktoken", encoding="cl100k_bas"))
    with pytest.raises(WorkbenchError, match="scheme tiktoken alone"):
        TokenOptions.parse({"scheme": "words", "file": "a.tiktoken"}, "tokens")
