"""Corpora as they come: a bad one is refused in one sentence, or loaded with what is wrong in plain vision."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pytest

from workbench import corpora
from workbench.corpora import profile
from workbench.corpora.splits import SPLITS, SplitOptions, assign
from workbench.errors import WorkbenchError
from workbench.evidence import audit
from workbench.preprocessing.media import picture
from workbench.schema import ROOT, Taxonomy, label_matrix

TAXONOMY = Taxonomy.load()
MAPPED = {"post_id": "i", "text": "t", "labels": {"abuse": "y"}}


class Case(NamedTuple):
    """A file that is not as it should be, its mapping, and the sentence, or what holds of the corpus."""

    data: str | bytes
    options: dict
    said: str | None = None
    holds: Callable[[corpora.Corpus], bool] = lambda corpus: True
    name: str = "a.csv"


def texts(corpus: corpora.Corpus) -> list[str | None]:
    return corpus.table["text"].to_pylist()


def known(corpus: corpora.Corpus) -> list[float | None]:
    y, there = label_matrix(corpus.table, TAXONOMY)
    return [float(value) if ok else None for value, ok in zip(y[:, 0], there[:, 0], strict=True)]


def rows(n: int, label: Callable[[int], int]) -> str:
    return "i,t,y\n" + "".join(f"{k},words {k},{label(k)}\n" for k in range(n))


def leaks(corpus: corpora.Corpus) -> bool:
    """Say whether the gate of a study stops at the corpus's own split."""
    found = assign(corpus.table, TAXONOMY, SplitOptions())
    sets = {name: corpus.table.filter(pa.array(found == name)) for name in SPLITS}
    try:
        audit.hold(audit.overlap(sets), audit.LeakOptions())
    except audit.LeakFound:
        return True
    return False


# Four families, each in all three splits.
LEAKY = "i,t,y,s,g\n" + "".join(f"{k},words {k},{k % 2},{SPLITS[k % 3]},family {k % 4}\n" for k in range(24))

CASES = {
    "a missing column": Case(rows(3, int), MAPPED | {"text": "words"}, "unknown column 'words'; the choices are: i"),
    "a missing label column": Case(rows(3, int), MAPPED | {"labels": {"abuse": "hate"}}, "unknown column 'hate'"),
    "a column missing in every row": Case("i,t,y\n1,a,\n2,b,\n", MAPPED, None, lambda c: known(c) == [None, None]),
    "a row once more": Case("i,t,y\n1,a,0\n1,a,0\n", MAPPED, None, lambda c: texts(c) == ["a"]),
    "duplicate ids of unlike content": Case(
        "i,t,y\n1,a,0\n1,b,0\n", MAPPED, "1 post ids occur more than once over different rows, such as '1'"
    ),
    "a label outside the taxonomy": Case(
        rows(3, int), MAPPED | {"labels": {"hate": "y"}}, "unknown label 'hate'; the choices are: abuse, nudity"
    ),
    "a value that is no label": Case("i,t,y\n1,a,high\n2,b,low\n", MAPPED, "high (1), low (1), not yes or no; list"),
    "no positives for a label": Case(
        rows(4, lambda k: 0), MAPPED, None, lambda c: profile.labels(c.table, TAXONOMY).loc["abuse", "positives"] == 0
    ),
    "all of one class": Case(
        rows(4, lambda k: 1), MAPPED, None, lambda c: profile.labels(c.table, TAXONOMY).loc["abuse", "prevalence"] == 1
    ),
    "conflicting duplicates": Case(
        "i,t,y\n1,Same,0\n2,same ,1\n3,other,0\n",
        MAPPED,
        None,
        lambda c: known(c) == [0, 1, 0] and len(set(c.table["group"].to_pylist()[:2])) == 1,
    ),
    "a group that leaks": Case(LEAKY, MAPPED | {"group": "g", "split": "s"}, None, leaks),
    "groups that do not leak": Case(LEAKY, MAPPED | {"group": "g"}, None, lambda c: not leaks(c)),
    "a split that is none": Case("i,t,y,s\n1,a,0,holdout\n", MAPPED | {"split": "s"}, "unknown split 'holdout'"),
    "pictures none of which is there": Case(
        "i,t,y,p\n1,a,0,x.png\n", MAPPED | {"image": "p"}, "none of the 1 pictures is there, such as"
    ),
    "a picture that is not there": Case(
        "i,t,y,p\n1,a,0,a.csv\n2,b,0,x.png\n",
        MAPPED | {"image": "p"},
        None,
        lambda c: "No such file" in picture(c.table["image"][1].as_py()).reason,
    ),
    "a picture path with a NUL": Case(
        b"i,t,y,p\n1,a,0,a.csv\n2,b,0,x\x00.png\n",
        MAPPED | {"image": "p"},
        None,
        lambda c: picture(c.table["image"][1].as_py()).reason is not None,
    ),
    "a clip path that leaves its folder": Case(
        "i,t,y,v\n1,a,0,../../x.mp4\n", MAPPED | {"video": "v"}, "the clip path '../../x.mp4' leaves"
    ),
    "mixed encodings": Case(
        "i,t,y\n1,café,0\n".encode() + "2,café,1\n".encode("latin-1"),
        MAPPED,
        "line 3, byte 6 of the line (0xe9) is not utf-8; set `encoding` (often latin-1 or cp1252), or mend the line",
    ),
    "UTF-16": Case("i,t,y\n1,é,0\n".encode("utf-16"), MAPPED, None, lambda c: texts(c) == ["é"]),
    "UTF-16 without its mark": Case("i,t,y\n1,a,0\n".encode("utf-16-be"), MAPPED, None, lambda c: texts(c) == ["a"]),
    "UTF-16, said to be UTF-8": Case(
        "i,t,y\n1,a,0\n".encode("utf-16"),
        MAPPED | {"encoding": "utf-8"},
        "it starts like UTF-16; set `encoding: utf-16`",
    ),
    "UTF-16, said so": Case(
        "i,t,y\n1,é,0\n".encode("utf-16"), MAPPED | {"encoding": "utf-16"}, None, lambda c: texts(c) == ["é"]
    ),
    "a byte order mark": Case(b"\xef\xbb\xbfi,t,y\n1,a,0\n", MAPPED, None, lambda c: texts(c) == ["a"]),
    "a byte order mark in JSON lines": Case(
        b'\xef\xbb\xbf{"i": 1, "t": "a", "y": 0}\r\n', MAPPED, None, lambda c: texts(c) == ["a"], "a.jsonl"
    ),
    "CRLF, and a line end inside quotes": Case(
        'i,t,y\r\n1,"a\r\nb",0\r\n2,c,1\r\n', MAPPED, None, lambda c: texts(c) == ["a\r\nb", "c"]
    ),
    "old Mac line ends": Case("i,t,y\r1,a,0\r2,b,1\r", MAPPED, None, lambda c: texts(c) == ["a", "b"]),
    "a row that is too short": Case("i,t,y\n1,a,0\n2,b\n", MAPPED, "line 3 has 2 cells, but the header names 3"),
    "a row that is too long": Case("i,t,y\n1,a,0\n2,b,1,x\n", MAPPED, "line 3 has 4 cells, but the header names 3"),
    "a quote that is never closed": Case(
        'i,t,y\n1,"a,0\n2,"b",1\n3,"c\n', MAPPED, 'line 2: the `"` there opens a cell that takes in'
    ),
    "NUL bytes": Case(b"i,t,y\n1,a\x00b,0\n", MAPPED, None, lambda c: texts(c) == ["a\0b"]),
    "NUL bytes alone": Case(bytes(5000), MAPPED, "unknown column 'i'; the choices are: \\x00\\x00"),
    "a thousand columns": Case(
        ",".join(f"column_{k}" for k in range(1000)),
        {"text": "column999"},
        "did you mean 'column_999'? The choices are: column_999, column_0, column_1",
    ),
    "an empty file": Case("", MAPPED, "is empty"),
    "a header alone": Case("i,t,y\n", MAPPED, "has no rows"),
    "two columns of one name": Case("i,t,t\n1,a,b\n", MAPPED, "more than one column 't'; rename one"),
    "a torn line of JSON lines": Case(
        '{"i": 1, "t": "a", "y": 0}\n{"i":', MAPPED, "line 2 is not valid JSON", name="a.jsonl"
    ),
    "lone surrogates": Case('{"i": 1, "t": "\\ud800", "y": 0}\n', MAPPED, None, lambda c: texts(c) == ["?"], "a.jsonl"),
    "Parquet that is none": Case(b"PAR1 nonsense PAR1", MAPPED, "cannot be read as Parquet", name="a.parquet"),
    "an unknown format": Case("i", MAPPED, "unknown file ending '.doc'", name="a.doc"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_bad_corpus_has_a_sentence_or_loads_for_what_it_is(tmp_path, case):
    path = tmp_path / case.name
    path.write_bytes(case.data.encode() if isinstance(case.data, str) else case.data)
    config = {"source": "files", "path": str(path), **case.options}
    if case.said is None:
        assert case.holds(corpora.load(config, TAXONOMY, cache=tmp_path / "cache"))
        return
    for work in (corpora.load, corpora.digest):
        try:
            work(config, TAXONOMY)
        except WorkbenchError as error:
            said = str(error)
    assert case.said in said
    assert "\n" not in said
    assert len(said) < 600 + len(str(tmp_path))


MEASURED = """
import json, resource, sys
from pathlib import Path
from workbench.corpora.files import SourceOptions, build
from workbench.schema import Taxonomy
options = SourceOptions(path=sys.argv[1], post_id="i", text="t", author="a", labels={"abuse": "y"})
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
table = build(options, Taxonomy.load(), Path("/"))
after = resource.getrusage(resource.RUSAGE_SELF)
groups = len(set(table["group"].to_pylist()))
print(json.dumps([table.num_rows, groups, (after.ru_maxrss - before) / 1024, after.ru_utime + after.ru_stime]))
"""


def measured(path: Path, n: int) -> list[float]:
    """Return rows, groups, MiB that building took at its peak, and seconds of the processor."""
    with open(path, "w") as file:
        file.write("i,t,y,a\n")
        file.writelines(
            f'{k},"some, words {k % 900_001} {"and so on " * 8}",{k % 50 == 0:d},a{k % 500}\n' for k in range(n)
        )
    command = [sys.executable, "-c", MEASURED, str(path)]
    return json.loads(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout)


def test_a_hundred_thousand_rows_take_bounded_time(tmp_path):
    count, groups, _, seconds = measured(tmp_path / "large.csv", 100_000)
    assert (count, groups) == (100_000, 100_000)
    assert seconds < 120  # a second and the imports on an idle core


@pytest.mark.slow
def test_a_million_rows_fit_into_a_laptop(tmp_path):
    count, groups, peak, _ = measured(tmp_path / "large.csv", 1_000_000)
    assert (count, groups) == (1_000_000, 900_001)
    assert peak < 2000  # MiB, for a file of 110 MB
