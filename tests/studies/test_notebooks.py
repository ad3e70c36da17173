"""What a notebook takes is checked before a kernel starts; what happened to it is recorded as it happened."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import nbformat
import pytest
from papermill import execute_notebook

from workbench.errors import WorkbenchError
from workbench.schema import ROOT
from workbench.studies import notebooks
from workbench.studies.notebooks import Watch
from workbench.studies.parameters import resolve


def make(path: Path, *cells: str, parameters: str | None = "x: int = 1") -> Path:
    """Write a notebook: a markdown cell, the parameters cell, then the cells given (index 2 and on)."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# Toy")])
    if parameters is not None:
        notebook.cells.append(nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]}))
    notebook.cells += [nbformat.v4.new_code_cell(cell) for cell in cells]
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    path.write_text(nbformat.writes(notebook))
    return path


def states(path: Path) -> list[str]:
    """Return papermill's state of each cell that has one."""
    cells = nbformat.read(path, 4).cells
    return [cell.metadata.papermill.status for cell in cells if "papermill" in cell.metadata]


def errors(path: Path) -> list[str]:
    """Return the error outputs of a notebook."""
    cells = [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]
    return [output.evalue for cell in cells for output in cell.outputs if output.output_type == "error"]


# ----------------------------------------------------------------------------------------------- before a kernel starts

ALL = """
from_text: str = "clip"  # which model
count: int = 3
rate: float = 0.5
quick: bool = False
options: dict = {"a": [1, None]}
seeds: list[int] = [0, 1]
limit: int | None = None
kind: Literal["a", "b"] = "a"
"""
READ = "print(from_text, count, rate, quick, options, seeds, limit, kind)"


def test_every_supported_type_takes_its_values_and_keeps_its_defaults(tmp_path):
    path = make(tmp_path / "n.ipynb", READ, parameters=ALL)
    got = resolve(path, {"rate": 2, "limit": 7, "kind": "b", "seeds": [4]})
    assert got == {
        "from_text": "clip",
        "count": 3,
        "rate": 2.0,  # an int is a fine float
        "quick": False,
        "options": {"a": [1, None]},
        "seeds": [4],
        "limit": 7,
        "kind": "b",
    }
    assert isinstance(got["rate"], float)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("count", "3"),
        ("count", True),
        ("count", 3.0),
        ("count", None),
        ("rate", "0.5"),
        ("rate", True),
        ("rate", float("nan")),
        ("quick", 1),
        ("from_text", 7),
        ("options", [1]),
        ("options", {1: "papermill would turn this key into text"}),
        ("seeds", ["1"]),
        ("seeds", (1, 2)),
        ("limit", "none"),
        ("kind", "c"),
        ("options", {"when": __import__("datetime").date(2024, 1, 1)}),
    ],
)
def test_a_wrong_type_is_refused_and_not_converted(tmp_path, name, value):
    path = make(tmp_path / "n.ipynb", READ, parameters=ALL)
    with pytest.raises(WorkbenchError, match=f"parameter '{name}' of n.ipynb must be") as caught:
        resolve(path, {name: value})
    assert "\n" not in str(caught.value)


def test_a_mistyped_parameter_is_refused_with_the_one_that_was_meant(tmp_path):
    path = make(tmp_path / "n.ipynb", READ, parameters=ALL)
    with pytest.raises(WorkbenchError, match=r"unknown parameter of n\.ipynb 'cuont'; did you mean 'count'"):
        resolve(path, {"cuont": 1})


@pytest.mark.parametrize("name", ["x = 1\nimport os", "a b", "class", "", "x\n", 3])
def test_a_name_that_could_carry_code_is_refused(tmp_path, name):
    path = make(tmp_path / "n.ipynb", "print(x)")
    with pytest.raises(WorkbenchError, match="no plain identifier") as caught:
        notebooks.execute(path, tmp_path / "out.ipynb", {name: 1})
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out.ipynb").exists()


@pytest.mark.parametrize(
    ("parameters", "cells", "sentence"),
    [
        (None, ["print(1)"], "exactly one cell tagged `parameters`, but it has 0"),
        ("x = 1", ["print(x)"], "only lines like `name: int = 1`, not `x = 1`"),
        ("import os", ["print(os)"], "only lines like"),
        ("x: int = 1", ["x = 2"], "'x' of n.ipynb is read by no later cell"),
        ("x: int = 1", [], "read by no later cell"),
        ("x: int = f()", ["print(x)"], "must be a literal, not `f()`"),
        ("x: int = '1'", ["print(x)"], "parameter 'x' of n.ipynb must be int"),
        ("x: Path = 'a'", ["print(x)"], "the type `Path` of parameter 'x'"),
        ("x: int = 1", ["print(x", "y"], "cell 2 of n.ipynb is not valid Python"),
    ],
)
def test_a_notebook_that_could_mislead_is_refused(tmp_path, parameters, cells, sentence):
    path = make(tmp_path / "n.ipynb", *cells, parameters=parameters)
    with pytest.raises(WorkbenchError) as caught:
        resolve(path, {})
    assert sentence in str(caught.value)


def test_two_parameter_cells_are_refused_and_so_is_an_executed_notebook(tmp_path):
    path = make(tmp_path / "n.ipynb", "print(x)")
    notebook = nbformat.read(path, 4)
    notebook.cells[2].metadata.tags = ["parameters"]
    nbformat.write(notebook, path)
    with pytest.raises(WorkbenchError, match="but it has 2"):
        resolve(path, {})
    notebook.cells[2].metadata.tags = ["injected-parameters"]
    nbformat.write(notebook, path)
    with pytest.raises(WorkbenchError, match="output of an earlier execution"):
        resolve(path, {})


def test_magics_are_understood_and_what_they_mention_counts_as_read(tmp_path):
    cells = ["%load_ext autoreload\n%autoreload 2", "%%time\nprint(x)", "!ls {folder}"]
    path = make(tmp_path / "n.ipynb", *cells, parameters="x: int = 1\nfolder: str = 'out'")
    assert resolve(path, {"x": 2}) == {"x": 2, "folder": "out"}


@pytest.mark.parametrize("content", ["", "{", "[]", "{}"])
def test_a_file_that_is_no_notebook_is_one_sentence(tmp_path, content):
    path = tmp_path / "n.ipynb"
    path.write_text(content)
    with pytest.raises(WorkbenchError):
        resolve(path, {})
    with pytest.raises(WorkbenchError, match="cannot read notebook"):
        resolve(tmp_path / "absent.ipynb", {})


# --------------------------------------------------------------------------------------------------------- how it ended


def test_a_run_that_ends_well_gives_its_values_to_the_cells_in_this_python(tmp_path, monkeypatch):
    # A user's own kernelspec named python3 must not decide which interpreter runs.
    other = tmp_path / "jupyter" / "kernels" / "python3"
    other.mkdir(parents=True)
    (other / "kernel.json").write_text('{"argv": ["/bin/false"], "display_name": "x", "language": "python"}')
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    # Braces in a path are not a field to fill in.
    out = tmp_path / "out {x}.ipynb"
    path = make(tmp_path / "n.ipynb", "import sys\nprint(x, sys.executable)\nprint('a warning', file=sys.stderr)")
    end = notebooks.execute(path, out, {"x": 5}, log=tmp_path / "log.txt")
    assert (end.state, end.cell, end.error) == ("done", None, None)
    assert set(states(out)) == {"completed"}
    assert (tmp_path / "log.txt").read_text().splitlines()[0] == f"5 {sys.executable}"
    assert not out.with_suffix(".partial.ipynb").exists()


@pytest.mark.parametrize("level", ["1", "2"])
def test_a_check_that_fails_is_red_where_the_environment_leaves_checks_out(tmp_path, monkeypatch, level):
    monkeypatch.setenv("PYTHONOPTIMIZE", level)
    path = make(tmp_path / "n.ipynb", "assert x == 2, 'the prose is no longer true'")
    end = notebooks.execute(path, tmp_path / "o.ipynb", {})
    assert (end.state, end.error) == ("failed", "AssertionError: the prose is no longer true")


def test_without_checks_no_kernel_imports_the_workbench():
    ask = "import ipykernel.kernelapp, workbench"
    done = subprocess.run([sys.executable, "-O", "-c", ask], capture_output=True, text=True, check=False)
    assert "ImportError: Python runs without asserts here" in done.stderr
    assert subprocess.run([sys.executable, "-O", "-c", "import workbench"], check=False).returncode == 0


@pytest.mark.parametrize("length", [60, 90, 150])
def test_a_long_folder_for_temporary_files_is_no_fault(tmp_path, monkeypatch, length):
    place = tmp_path / ("d" * max(1, length - len(str(tmp_path)) - 1))
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    end = notebooks.execute(make(tmp_path / "n.ipynb", "print(x)"), tmp_path / "o.ipynb", {})
    assert (end.state, end.error) == ("done", None)
    monkeypatch.setattr(notebooks, "_socket_folder", lambda cleanup: None)  # as where no folder is short enough
    assert notebooks.execute(tmp_path / "n.ipynb", tmp_path / "o.ipynb", {}).state == "done"


def test_an_error_names_its_cell_and_its_last_line_and_keeps_later_cells_pending(tmp_path):
    path = make(tmp_path / "n.ipynb", "print(x)", "raise ValueError('first line\\nthe column is missing')", "y = 1")
    end = notebooks.execute(path, tmp_path / "out.ipynb", {"x": 5})
    assert (end.state, end.cell, end.error) == ("failed", 3, "ValueError: the column is missing")
    assert states(tmp_path / "out.ipynb")[-2:] == ["failed", "pending"]


def test_a_cell_that_takes_too_long_is_a_timeout_at_that_cell(tmp_path):
    path = make(tmp_path / "n.ipynb", "print(x)", "import time\nprint('so far')\ntime.sleep(600)", "y = 1")
    start = time.monotonic()
    end = notebooks.execute(path, tmp_path / "out.ipynb", {}, timeout=4)
    assert (end.state, end.cell, end.error) == ("timeout", 3, "the cell ran longer than 4 s")
    assert time.monotonic() - start < 300
    assert states(tmp_path / "out.ipynb")[-3:] == ["completed", "failed", "pending"]
    notebook = nbformat.read(tmp_path / "out.ipynb", 4)
    assert notebook.metadata.papermill.exception is True
    assert notebook.cells[3].outputs[0].text == "so far\n"  # what it said before is kept
    assert errors(tmp_path / "out.ipynb") == ["the cell ran longer than 4 s"]


def test_a_killed_kernel_is_recorded_with_its_cell_and_signal(tmp_path):
    path = make(tmp_path / "n.ipynb", "print(x)", "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", "y = 1")
    end = notebooks.execute(path, tmp_path / "out.ipynb", {})
    assert (end.state, end.cell) == ("kernel-died", 3)
    assert "SIGKILL" in end.error
    assert states(tmp_path / "out.ipynb")[-3:] == ["completed", "failed", "pending"]
    assert nbformat.read(tmp_path / "out.ipynb", 4).metadata.papermill.exception is True


def test_a_kernel_that_does_not_start_leaves_every_cell_pending(tmp_path, monkeypatch):
    command = {**notebooks.get_kernel_dict(), "argv": [sys.executable, "-c", "raise SystemExit(1)"]}
    monkeypatch.setattr(notebooks, "get_kernel_dict", lambda: command)
    path = make(tmp_path / "n.ipynb", "print(x)")
    end = notebooks.execute(path, tmp_path / "out.ipynb", {})
    assert (end.state, end.cell) == ("kernel-died", None)
    assert set(states(tmp_path / "out.ipynb")) == {"pending"}  # papermill would call them completed
    assert nbformat.read(tmp_path / "out.ipynb", 4).metadata.papermill.exception is True


def test_a_stop_from_outside_ends_it_as_interrupted_and_leaves_no_process(tmp_path):
    path = make(tmp_path / "n.ipynb", "print(x)", "import time\ntime.sleep(600)")
    watch = Watch()

    def stop_in_the_second_cell():
        while watch.cell != 3:
            time.sleep(0.05)
        kernels.append(watch.kernel)
        watch.stop()

    kernels: list[int] = []
    stopper = threading.Thread(target=stop_in_the_second_cell)
    stopper.start()
    end = notebooks.execute(path, tmp_path / "out.ipynb", {}, watch=watch)
    stopper.join()
    assert (end.state, end.cell) == ("interrupted", 3)
    with pytest.raises(ProcessLookupError):
        os.kill(kernels[0], 0)


def test_a_stop_before_the_kernel_is_up_runs_no_cell(tmp_path):
    path = make(tmp_path / "n.ipynb", f"open({str(tmp_path / 'ran')!r}, 'w').write(str(x))")
    watch = Watch()
    watch.stop()
    end = notebooks.execute(path, tmp_path / "out.ipynb", {}, watch=watch)
    assert end.state == "interrupted"
    assert not (tmp_path / "ran").exists()


def test_what_a_killed_process_left_is_finished_truthfully(tmp_path):
    out = tmp_path / "out.ipynb"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("x") for _ in range(3)])
    for cell, status in zip(notebook.cells, ("completed", "running", "pending"), strict=True):
        cell.metadata.papermill = {"status": status, "exception": False}
    notebook.metadata.papermill = {"exception": None}
    out.with_suffix(".partial.ipynb").write_text(nbformat.writes(notebook))
    notebooks.salvage(out, "the run's process was ended by SIGKILL")
    assert states(out) == ["completed", "failed", "pending"]
    assert errors(out) == ["the run's process was ended by SIGKILL"]
    assert not out.with_suffix(".partial.ipynb").exists()
    out.with_suffix(".partial.ipynb").write_text("torn")
    notebooks.salvage(tmp_path / "out.ipynb", "again")  # a torn one is dropped, what is there stays
    assert states(out) == ["completed", "failed", "pending"]


def papermill(*arguments: object) -> subprocess.CompletedProcess:
    """Call papermill's own command line."""
    command = [sys.executable, "-m", "papermill", "--no-progress-bar", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_plain_papermill_still_works_with_such_notebooks(tmp_path):
    path = make(tmp_path / "n.ipynb", "print('x is', x)")
    done = papermill(path, tmp_path / "out.ipynb", "-p", "x", "7")
    assert done.returncode == 0, done.stderr
    assert "x is 7" in (tmp_path / "out.ipynb").read_text()


def test_papermill_with_the_strict_engine_keeps_the_states_true(tmp_path):
    path = make(tmp_path / "n.ipynb", "print(x)", "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", "y = 1")
    done = papermill("--engine", "strict", path, tmp_path / "out.ipynb", "-p", "x", "7")
    assert done.returncode != 0
    assert states(tmp_path / "out.ipynb")[-3:] == ["completed", "failed", "pending"]
    assert signal.SIGKILL.name in errors(tmp_path / "out.ipynb")[0]


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"modle": "x"}, "unknown parameter of the notebook 'modle'"),
        ({"x": "three"}, "must be int, not str"),
        ({"x\nimport os": 1}, "is no plain identifier"),
    ],
)
def test_the_engine_checks_what_papermill_was_given(tmp_path, given, sentence):
    path = make(tmp_path / "n.ipynb", "print(x)")
    with pytest.raises(WorkbenchError, match=sentence):
        execute_notebook(str(path), str(tmp_path / "out.ipynb"), given, engine_name="strict", progress_bar=False)


@pytest.mark.parametrize(
    ("parameter", "given", "shown"),
    [
        ("x: list[int] = [1]", "[0,1]", "list[int], not str '[0,1]'; papermill's -p gives a text or a number, so write "
         "-y 'x: [0,1]'"),
        ("x: list[int] = [1]", "0", "so write -y 'x: [0]'"),
        ("x: list = []", "words, bytes", "so write -y 'x: [words, bytes]'"),
        ("x: dict = {}", "{a: 1}", "so write -y 'x: {a: 1}'"),
        ("x: list[str] = []", "it's", "so write -y 'x: ...'"),
    ],
)  # fmt: skip
def test_what_p_cannot_give_is_one_sentence_that_says_how(tmp_path, parameter, given, shown):
    path = make(tmp_path / "n.ipynb", "print(x)", parameters=parameter)
    done = papermill("--engine", "strict", path, tmp_path / "out.ipynb", "-p", "x", given)
    assert done.returncode == 1
    (line,) = done.stderr.strip().splitlines()[-1:]
    assert line.startswith("Error: parameter 'x' of the notebook must be ")
    assert line.endswith(shown)
    assert "Traceback" not in done.stderr


def test_plain_papermill_cannot_make_a_text_of_a_list(tmp_path):
    cells = "from workbench.studies.parameters import hold\n\nhold(globals())", "print(x, y)"
    path = make(tmp_path / "n.ipynb", *cells, parameters="x: list[int] = [1]\ny: str | list = ''")
    assert papermill(path, tmp_path / "out.ipynb", "-y", "x: [0, 2]", "-p", "y", "a").returncode == 0
    done = papermill(path, tmp_path / "out.ipynb", "-p", "x", "[0, 2]")
    assert done.returncode == 1
    assert "parameter 'x' of this notebook must be list[int], not str '[0, 2]'" in done.stderr
    assert "write -y 'x: [0, 2]'" in done.stderr


def test_every_notebook_holds_its_parameters():
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        cells = [cell.source for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]
        assert any("hold(globals())" in source for source in cells[1:3]), path
