"""Mutants: one line of the code made wrong at a time, and whether a test dies of it. `make mutants`.

Mutations are drawn by a seed over the packages whose numbers people act on. Each is written into a copy of the tree,
never into the tree itself, and meets the test files that reach its line, its module's own first, until one fails. Which
lines a test file reaches is measured once, by coverage.py, and kept with the results under `artifacts/mutants/` by the
content of all code; an interrupted run is taken up where it was.

No library does this: mutmut 3 draws none by a seed, and holds all mutants of a function in its file, which breaks what
reads the code (fingerprints); cosmic-ray has one test command for all mutants; mutatest had its last release in 2022.

Open doubts: slow tests and those of other packages are not asked, so a survivor may die in `make test-all`; it has met
the nearest files only, as many as take `SECONDS` together.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import os
import queue
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from coverage import CoverageData
from mutations import Mutation, mutations
from scipy import stats

from workbench import fingerprint

ROOT = Path(__file__).parents[1]
PACKAGES = ("metrics", "comparison", "decisions", "evidence")
DRAWING = "workbench/metrics/plots/*"  # left out: the width of a line is no number
NOT_COPIED = (".git", ".venv", "*__pycache__", "artifacts", "out", "data/cache", "data/records", "experiments/*/*")
SECONDS = 40  # how long the tests of one mutant may take in all, as measured without it
ENOUGH = 0.9  # the share of mutants that must die


# -------------------------------------------------------------------------------------------------- tests and mutants


@dataclass(frozen=True)
class Reach:
    """What one test file reaches: file -> lines, and the seconds that it takes."""

    test: str
    seconds: float
    lines: dict[str, list[int]]


def copied(root: Path, tree: Path) -> Path:
    """Copy a working tree without its environment, caches and results."""

    def left_out(folder: str, names: list[str]) -> list[str]:
        here = Path(folder).relative_to(root)
        return [
            name for name in names if any(fnmatch.fnmatch((here / name).as_posix(), pattern) for pattern in NOT_COPIED)
        ]

    return Path(shutil.copytree(root, tree, ignore=left_out))


def pytest(tree: Path, tests: Sequence[str], limit: float, *coverage: str, **environment: str) -> int | None:
    """Return how pytest ended on test files of a copied tree, at the first failure; None: not within the limit."""
    path = os.pathsep.join([str(tree), *filter(None, [os.environ.get("PYTHONPATH")])])
    about = ["-x", "-q", "-m", "not slow and not campaign and not gpu", "-p", "no:cacheprovider"]
    about += ["-p", "no:schemathesis"]  # it takes longer to import than most test files to run
    command = [sys.executable, *coverage, "-m", "pytest", *about, *tests]
    variables = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path, **environment}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "start_new_session": True}
    process = subprocess.Popen(command, cwd=tree, env=variables, **quiet)
    try:
        return process.wait(limit)
    except subprocess.TimeoutExpired:
        return None
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def reach(tree: Path, test: str, packages: Sequence[str]) -> Reach:
    """Run one test file without a mutant and return what it reaches; raises where it fails."""
    data, began = tree / f"{test.replace('/', '-')}.coverage", time.perf_counter()
    include = ",".join(f"workbench/{package}/*" for package in packages)
    ended = pytest(tree, [test], 1800, "-m", "coverage", "run", f"--data-file={data}", f"--include={include}")
    if ended not in (0, 5):  # 5: all of its tests are deselected
        raise SystemExit(f"{test} fails without a mutant, so it would kill every one; mend it first")
    measured = CoverageData(str(data))
    measured.read()
    files = {Path(name).relative_to(tree).as_posix(): measured.lines(name) for name in measured.measured_files()}
    return Reach(test, time.perf_counter() - began, files)


def asked(mutation: Mutation, reaches: Sequence[Reach]) -> list[Reach]:
    """Return the test files that reach a mutation, nearest first, as far as they fit into `SECONDS`; one at least."""
    module = Path(mutation.path).with_suffix("").relative_to("workbench")
    module = module.parent if module.name == "__init__" else module
    own, folder = Path("tests", module.parent, f"test_{module.name}.py"), Path("tests", module.parent)

    def distance(one: Reach) -> tuple[bool, bool, float]:
        return Path(one.test) != own, not Path(one.test).is_relative_to(folder), one.seconds

    there = sorted((one for one in reaches if mutation.line in one.lines.get(mutation.path, ())), key=distance)
    sums = [sum(one.seconds for one in there[: n + 1]) for n in range(len(there))]
    return [one for n, one in enumerate(there) if not n or sums[n] <= SECONDS]


def judge(tree: Path, mutation: Mutation, reaches: Sequence[Reach]) -> str:
    """Return what becomes of a mutant in a copied tree, which is then as it was: killed, timeout or survived."""
    tests = asked(mutation, reaches)
    if not tests:
        return "survived"
    file = tree / mutation.path
    source = file.read_text("utf-8")
    lines = source.splitlines(keepends=True)
    lines[mutation.line - 1] = lines[mutation.line - 1].replace(mutation.before, mutation.after, 1)
    for compiled in (file.parent / "__pycache__").glob(f"{file.stem}.*.pyc"):
        compiled.unlink()  # of the same second and size, it would be taken for the mutant's
    file.write_text("".join(lines), "utf-8")
    try:
        limit = 30 + 5 * sum(one.seconds for one in tests)
        ended = pytest(tree, [one.test for one in tests], limit, PYTHONDONTWRITEBYTECODE="1")
    finally:
        file.write_text(source, "utf-8")
    return {None: "timeout", 0: "survived"}.get(ended, "killed")


# -------------------------------------------------------------------------------------------------------- the campaign


def candidates(root: Path, packages: Sequence[str]) -> list[Mutation]:
    """Return all mutations of some packages, by file and line."""
    files = sorted(file for package in packages for file in (root / "workbench" / package).rglob("*.py"))
    names = [(file, file.relative_to(root).as_posix()) for file in files]
    return [
        m
        for file, name in names
        if not fnmatch.fnmatch(name, DRAWING)
        for m in mutations(name, file.read_text("utf-8"))
    ]


def drawn(found: Sequence[Mutation], count: int, seed: int) -> list[Mutation]:
    """Return `count` of the mutations, or all where there are fewer, in an order by chance."""
    return random.Random(seed).sample(list(found), min(count, len(found)))


def _kept(file: Path) -> list[dict]:
    """Return the whole lines of a log; the last one may be torn."""
    lines = file.read_text("utf-8").split("\n")[:-1] if file.is_file() else []
    file.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    return [json.loads(line) for line in lines]


class Trees:
    """Copies of a working tree, one for each job."""

    def __init__(self, root: Path, place: Path, jobs: int) -> None:
        self.jobs, self.free = jobs, queue.SimpleQueue()
        for number in range(jobs):
            self.free.put(copied(root, place / str(number)))

    def each(self, work: Callable[[Path, Any], dict], items: Sequence[Any], log: Path) -> Iterator[dict]:
        """Do the work for each item in a tree; write down and yield what comes out, in the order of the items."""

        def one(item: Any) -> dict:
            tree = self.free.get()
            try:
                return work(tree, item)
            finally:
                self.free.put(tree)

        with ThreadPoolExecutor(self.jobs) as pool, log.open("a", encoding="utf-8") as lines:
            for done in pool.map(one, items):
                lines.write(json.dumps(done) + "\n")
                lines.flush()
                yield done


def reached(trees: Trees, packages: Sequence[str], log: Path, tests: Sequence[str]) -> list[Reach]:
    """Return what each test file reaches, measured once."""
    kept = [Reach(**one) for one in _kept(log)]
    rest = [test for test in tests if test not in {one.test for one in kept}]
    for n, one in enumerate(trees.each(lambda tree, test: asdict(reach(tree, test, packages)), rest, log), 1):
        print(f"what tests reach: {n} of {len(rest)}, {one['seconds']:.0f} s {one['test']}", flush=True)
        kept.append(Reach(**one))
    return kept


def campaign(root: Path, packages: Sequence[str], count: int, seed: int, jobs: int) -> list[tuple[Mutation, str]]:
    """Draw mutations, try what has not been tried yet, and return what became of each."""
    code = sorted(file for part in ("workbench", "tests") for file in (root / part).rglob("*.py"))
    known = {file.relative_to(root).as_posix(): fingerprint.of_file(file) for file in code}
    folder = root / "artifacts" / "mutants" / fingerprint.of_json([*packages, known])[:16]
    folder.mkdir(parents=True, exist_ok=True)
    chosen = drawn(candidates(root, packages), count, seed)
    equivalent = (root / "experiments" / "LOG.md").read_text("utf-8")
    states = {one: "equivalent" for one in chosen if one.name in equivalent}
    states |= {Mutation(**one["mutation"]): one["state"] for one in _kept(folder / "mutants.jsonl")}
    tests = [t.relative_to(root).as_posix() for p in packages for t in sorted((root / "tests" / p).rglob("test_*.py"))]
    with tempfile.TemporaryDirectory() as place:
        trees = Trees(root, Path(place).resolve(), jobs)
        reaches = reached(trees, packages, folder / "reach.jsonl", tests)

        def tried(tree: Path, one: Mutation) -> dict:
            began = time.perf_counter()
            return {"mutation": asdict(one), "state": judge(tree, one, reaches), "seconds": time.perf_counter() - began}

        rest = [one for one in chosen if one not in states]
        for n, (one, done) in enumerate(zip(rest, trees.each(tried, rest, folder / "mutants.jsonl"), strict=True), 1):
            states[one] = done["state"]
            print(f"{n} of {len(rest)}: {done['state']:<9}{done['seconds']:4.0f} s {one.path}:{one.line}", flush=True)
    return [(one, states[one]) for one in chosen]


def summary(results: Sequence[tuple[Mutation, str]]) -> tuple[str, float]:
    """Return the survivors and the share killed with its exact interval, and that share."""
    lines = [f"{one.path}:{one.line} {one.before} -> {one.after}" for one, state in results if state == "survived"]
    tried = [state for _, state in results if state != "equivalent"]
    killed = len(tried) - len(lines)
    if not tried:
        return "no mutation was tried", 1.0
    low, high = stats.binomtest(killed, len(tried)).proportion_ci(0.95, method="exact")
    share, aside = killed / len(tried), len(results) - len(tried)
    said = f"killed {killed} of {len(tried)}: {100 * share:.1f} % [{100 * low:.1f}, {100 * high:.1f}]"
    return "\n".join([*lines, said + (f"; {aside} equivalent ones aside" if aside else "")]), share


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=300, help="how many mutations are drawn (default: 300)")
    parser.add_argument("--seed", type=int, default=0, help="what they are drawn by (default: 0)")
    parser.add_argument("--jobs", type=int, default=2, help="how many are tried at once (default: 2)")
    parser.add_argument("--packages", nargs="+", default=PACKAGES, help="of which packages of workbench/")
    given = parser.parse_args()
    said, share = summary(campaign(ROOT, given.packages, given.count, given.seed, given.jobs))
    print(said)
    return int(share < ENOUGH)


if __name__ == "__main__":
    sys.exit(main())
