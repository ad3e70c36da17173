"""Mutants: which lines are made wrong and how, and that a mutant dies where a test looks and lives where none does."""

from __future__ import annotations

from pathlib import Path

import mutants
import pytest
from mutations import Mutation, mutations

CODE = '''
from __future__ import annotations


def few(n: int | None) -> bool:
    """Return whether there are 1 to 19."""
    return n < 20 and bool(
        n
    )
'''
LIMIT = "return n < 20 and bool("
TESTS = """
from workbench.tiny import few


def test_few():
    assert few(3)
    assert not few(0)
    assert not few(40)  # and what of 20?
"""


def after(code: str) -> list[str]:
    return [one.after for one in mutations("workbench/x.py", code)]


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("a <= b", ["a < b"]),
        ("(a) not in (b)", ["(a) in (b)"]),
        ("a is not b", ["a is b"]),
        ("ä * (b - c)", ["ä * (b + c)", "ä / (b - c)"]),  # columns are characters, not bytes
        ("a and b or not c", ["a and b and not c", "a and b or c", "a or b or not c"]),
        ("-(a)", ["(a)"]),
        ("x = 3", ["x = 4"]),
        ("x = 0.5", ["x = 1.0"]),
        ("x = False", ["x = True"]),
        ("x += y", ["x -= y"]),
        ("np.minimum(a, b)", ["np.maximum(a, b)"]),
        ("sum(a)", []),  # there is no `mean` to call
        ("f(a, b=c)", ["f(a)"]),
        ("f(b=c, d=e)", ["f( d=e)", "f(b=c)"]),
        ("zip(a, b, strict=True)", []),
        ("x: int | None", []),
        ('"a" + b', []),
        ('f"{a + b}"', []),
        ("y if x else z", ["y if not x else z"]),
        ("[x for x in y if f(x)]", ["[x for x in y if not f(x)]"]),
        ("def f() -> float: return a", ['def f() -> float: return float("nan")']),
    ],
)
def test_a_line_is_made_wrong_in_each_way_there_is(line, wrong):
    assert after(line) == wrong


def test_a_mutation_changes_one_line_alone():
    assert Mutation("workbench/x.py", 2, "b=c,", "") in mutations("workbench/x.py", "f(a,\n  b=c,\n  d=e)")
    assert after("x = (a\n  + b)") == ["- b)"]
    assert after("not (\n  a)") == ["("]
    assert after("min(\n  a)") == ["max("]


def test_every_mutant_of_the_workbench_is_python():
    found = mutants.candidates(mutants.ROOT, mutants.PACKAGES)
    assert {one.path.split("/")[1] for one in found} == set(mutants.PACKAGES)
    assert not [one for one in found if "/plots/" in one.path]
    for one in found[::25]:
        lines = (mutants.ROOT / one.path).read_text("utf-8").split("\n")
        assert lines[one.line - 1].strip() == one.before != one.after
        lines[one.line - 1] = lines[one.line - 1].replace(one.before, one.after, 1)
        compile("\n".join(lines), one.path, "exec")


@pytest.fixture
def tree(tmp_path) -> Path:
    """A working tree with one module and its tests, which ask nothing at the limit of `few`."""
    for name, text in {
        "workbench/__init__.py": "",
        "workbench/tiny/__init__.py": CODE,
        "tests/tiny/test_tiny.py": TESTS,
        "experiments/LOG.md": f"- `workbench/tiny/__init__.py: {LIMIT} -> {LIMIT.replace('20', '21')}`",
        "pyproject.toml": '[tool.pytest.ini_options]\nmarkers = ["slow", "campaign", "gpu"]',
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_a_mutant_dies_where_a_test_looks_and_lives_where_none_does(tree, capsys, monkeypatch):
    before = {path: path.read_bytes() for path in tree.rglob("*") if path.is_file()}
    results = dict(mutants.campaign(tree, ["tiny"], 100, seed=0, jobs=1))
    assert {one.after: state for one, state in results.items()} == {
        "return n < 20 or bool(": "killed",  # then 40 are few
        "return n <= 20 and bool(": "survived",
        "return n < 21 and bool(": "equivalent",  # says LOG.md
    }
    assert "killed" in capsys.readouterr().out
    assert {path: path.read_bytes() for path in before} == before
    assert {path.relative_to(tree).parts[0] for path in tree.rglob("*") if path not in before} >= {"artifacts"}

    # a second time all is known already, and of a torn line nothing
    (log,) = tree.glob("artifacts/mutants/*/mutants.jsonl")
    lines = log.read_text().splitlines(keepends=True)
    log.write_text("".join(lines[:-1]) + lines[-1][:9])
    tried = []
    judge = mutants.judge
    monkeypatch.setattr(mutants, "judge", lambda *given: tried.append(given[1]) or judge(*given))
    assert dict(mutants.campaign(tree, ["tiny"], 100, seed=0, jobs=1)) == results
    assert len(tried) == 1


def test_what_fails_without_a_mutant_kills_nothing(tree):
    (tree / "tests/tiny/test_tiny.py").write_text("def test_tiny():\n    assert False\n")
    with pytest.raises(SystemExit, match=r"tests/tiny/test_tiny\.py fails without a mutant"):
        mutants.campaign(tree, ["tiny"], 1, seed=0, jobs=1)


def test_the_same_seed_draws_the_same_and_another_others():
    found = [Mutation("workbench/x.py", n, "a", "b") for n in range(100)]
    assert mutants.drawn(found, 9, seed=1) == mutants.drawn(found, 9, seed=1) != mutants.drawn(found, 9, seed=2)
    assert len(mutants.drawn(found, 300, seed=1)) == 100


def test_a_hanging_mutant_is_stopped(tree, monkeypatch):
    (tree / "tests/tiny/test_tiny.py").write_text("import time\n\n\ndef test_long():\n    time.sleep(60)\n")
    assert mutants.pytest(tree, ["tests/tiny/test_tiny.py"], 0.5) is None


def test_nearest_tests_are_asked_first_and_no_more_than_there_is_time_for():
    one = Mutation("workbench/metrics/intervals.py", 7, "a", "b")
    lines = {"workbench/metrics/intervals.py": [7]}
    far, near, own, long, elsewhere = (
        mutants.Reach("tests/comparison/test_compare.py", 5.0, lines),
        mutants.Reach("tests/metrics/test_testing.py", 9.0, lines),
        mutants.Reach("tests/metrics/test_intervals.py", 8.0, lines),
        mutants.Reach("tests/comparison/test_slices.py", mutants.SECONDS, lines),
        mutants.Reach("tests/metrics/test_ranking.py", 1.0, {"workbench/metrics/intervals.py": [8]}),
    )
    assert mutants.asked(one, [far, elsewhere, near, long, own]) == [own, near, far]
    assert mutants.asked(one, [long]) == [long]  # at least one, however long it takes


def test_the_summary_counts_what_is_not_equivalent():
    one = Mutation("workbench/x.py", 7, "a < b", "a <= b")
    said, share = mutants.summary([(one, "survived"), *[(one, "killed")] * 8, (one, "timeout"), (one, "equivalent")])
    # Clopper-Pearson of 9 in 10
    assert said == "workbench/x.py:7 a < b -> a <= b\nkilled 9 of 10: 90.0 % [55.5, 99.7]; 1 equivalent ones aside"
    assert share == 0.9
