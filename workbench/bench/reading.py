"""`workbench bench reading`: people's files against pandas and pyarrow, which read them without asking what is in them.

Each way reads in a process of its own on one thread, by turns (on Linux, whose /proc tells a process's own peak); what
is compared is its processor time and how much its memory grew, as multiples of the other way and of the file.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from workbench.bench import machine, write

TURNS = 3
_MEASURED = """
import json, re, sys, time
{imports}
path, peak = sys.argv[1], lambda: int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])
before, began = peak(), time.process_time()
held = {call}
print(json.dumps([time.process_time() - began, (peak() - before) * 1024, len(held)]))
"""
_SET_UP = (
    "from pathlib import Path; from workbench.corpora import files, splits\n"
    "from workbench.corpora.reading import read; from workbench.schema import Taxonomy\n"
    "mapping = {'post_id': 'id', 'text': 'text', 'author': 'author', 'labels': {'abuse': 'label'}}\n"
    "options = files.SourceOptions.parse({'path': sys.argv[1], **mapping}, 'the bench'); labels = Taxonomy.load()"
)
_BUILT = "(files.digest(options, labels), files.build(options, labels))[1]"
OURS = {  # the reader alone; with ids, families of equal content, labels and their counts; with train and test
    "reader": (_SET_UP, "read(Path(path), options.columns).table"),
    "corpus": (_SET_UP, _BUILT),
    "corpus and split": (_SET_UP, f"splits.assign({_BUILT}, labels, splits.SplitOptions())"),
}
_OTHERS = {
    "csv": ("pandas", "import pandas", "pandas.read_csv(path, dtype=str)"),
    "jsonl": (
        "pyarrow",
        "import pyarrow.json as pj",
        "pj.read_json(path, pj.ReadOptions(use_threads=False, block_size=2**22))",
    ),
}


def reading(rows: int = 1_000_000, out: Path | None = None) -> dict[str, Any]:
    """Measure OURS in both formats, print a line each, write all to `out` as JSON, and return it."""
    result: dict[str, Any] = {"machine": machine(), "rows": rows}
    with tempfile.TemporaryDirectory() as folder:
        for kind, (other, *theirs) in _OTHERS.items():
            path = Path(folder) / f"posts.{kind}"
            (_write_csv if kind == "csv" else _write_jsonl)(path, rows if kind == "csv" else rows // 5)
            ways = {other: theirs, **OURS}
            turns = [{name: _measure(path, *way) for name, way in ways.items()} for _ in range(TURNS)]
            seconds = {name: median(turn[name][0] for turn in turns) for name in ways}
            memory = {name: median(turn[name][1] for turn in turns) / path.stat().st_size for name in ways}
            result[kind] = {"bytes": path.stat().st_size, "seconds": seconds, "memory": memory}
            result[kind]["ratio"] = {name: seconds[name] / seconds[other] for name in OURS}
            for name in OURS:
                print(
                    f"{kind}, {turns[0][name][2]:,} rows, {path.stat().st_size / 1e6:.0f} MB, {name}: "
                    f"{seconds[name]:.2f} s of the processor, {seconds[name] / seconds[other]:.1f} times {other}; "
                    f"memory grew by {memory[name]:.1f} times the file"
                )
    return write(result, out)


def _measure(path: Path, imports: str, call: str) -> list[float]:
    """Return seconds of the processor, bytes that memory grew by, and rows."""
    code = _MEASURED.format(imports=imports, call=call)
    told = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True).stdout
    return json.loads(told)


def _write_csv(path: Path, rows: int) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.write("id,text,label,author\n")
        file.writelines(f'{n},"some, words {n} {"and so on " * 8}",{n % 50 == 0:d},a{n % 500}\n' for n in range(rows))


def _write_jsonl(path: Path, rows: int) -> None:
    with open(path, "w", encoding="utf-8") as file:
        for n in range(rows):
            author = {"id": f"u{n % 500}", "posts": n % 7}
            row = {"id": n, "text": f"some words {n} {'and so on ' * 12}", "label": n % 50 == 0, "author": author}
            file.write(json.dumps(row) + "\n")
