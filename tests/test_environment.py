"""Set-up: conda's files and the Makefile agree with pyproject.toml, and installing says what to do when it cannot."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import socket
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

# Where conda-forge calls a package otherwise than PyPI; torch is a different package with and without CUDA.
CONDA_NAMES = {
    "open_clip_torch": "open-clip-torch",
    "ImageHash": "imagehash",
    "matplotlib": "matplotlib-base",
    "opencv-python-headless": "py-opencv",
    "playwright": "playwright-python",
    "prometheus-client": "prometheus_client",
}
TORCH = {"environment.yml": "pytorch-cpu", "environment-cuda.yml": "pytorch-gpu"}
# Tests that look at a subprocess of make need make.
needs_make = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


def required() -> dict[str, SpecifierSet]:
    """Return PyPI name -> versions, of what the workbench and its development need."""
    lines = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["dev"]]
    return {requirement.name: requirement.specifier for requirement in map(Requirement, lines)}


@pytest.mark.parametrize("file", sorted(TORCH))
def test_conda_asks_for_the_same_packages_and_versions(file):
    environment = yaml.safe_load((ROOT / file).read_text(encoding="utf-8"))
    listed = dict(f"{line} ".split(" ", 1) for line in environment["dependencies"])
    names = {**CONDA_NAMES, "torch": TORCH[file]}
    expected = {names.get(name, name): versions for name, versions in required().items()}
    expected |= {"python": SpecifierSet(PROJECT["requires-python"]), "pip": SpecifierSet()}
    assert {name: SpecifierSet(versions.strip()) for name, versions in listed.items()} == expected


def test_the_two_conda_files_differ_in_torch_only():
    environments = [yaml.safe_load((ROOT / file).read_text(encoding="utf-8")) for file in sorted(TORCH)]
    assert environments[0]["channels"] == environments[1]["channels"] == ["conda-forge", "nodefaults"]
    difference = set(environments[0]["dependencies"]) ^ set(environments[1]["dependencies"])
    assert sorted(line.split()[0] for line in difference) == ["pytorch-cpu", "pytorch-gpu"]


def test_the_makefile_accepts_the_pythons_that_the_package_does():
    bounds = re.search(r"\((\d), (\d+)\) <= sys\.version_info\[:2\] < \((\d), (\d+)\)", makefile())
    assert bounds, "the Makefile states no bounds for Python"
    least, below = "{}.{}".format(*bounds.groups()[:2]), "{}.{}".format(*bounds.groups()[2:])
    assert SpecifierSet(PROJECT["requires-python"]) == SpecifierSet(f">={least},<{below}")


def test_what_runs_the_tests_is_what_is_declared():
    for name, versions in required().items():
        installed = importlib.metadata.version(name)
        assert versions.contains(installed, prereleases=True), f"{name} {installed} is not {versions}"


# ------------------------------------------------------------------------------------------------------ the Makefile


def makefile() -> str:
    return (ROOT / "Makefile").read_text(encoding="utf-8")


@pytest.fixture
def clone(tmp_path):
    """A folder with the Makefile and pyproject.toml, and a `bin` to put a made-up python3 into."""
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "bin").mkdir()
    for tool in ("sh", "make", "sed", "head", "touch", "rm", "find", "mkdir", "cat"):
        (tmp_path / "bin" / tool).symlink_to(shutil.which(tool))
    return tmp_path


def script(path: Path, body: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
    path.chmod(0o755)


def make(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    """Run make where nothing but `folder/bin` is on the path."""
    environment = {"PATH": str(folder / "bin"), "HOME": str(folder)}
    command = [str(folder / "bin" / "make"), *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False)


# A Python that can do just what the installation asks of it: its pip fails as often as the file `broken` has lines.
PYTHON = f"""
case "$*" in
  "-V") echo Python 3.12.1 ;;
  *version_info*) exec {sys.executable} "$@" ;;
  *"import ensurepip"*) exit 0 ;;
  "-m venv"*) mkdir -p .venv/bin; cat "$0" > .venv/bin/python; exec {shutil.which("chmod")} +x .venv/bin/python ;;
  "-m pip --version") exit 0 ;;
  "-m pip install"*)
    echo "$*" >> asked
    if [ -s broken ]; then rm broken; echo "ERROR: the line went dead"; exit 2; fi
    echo "Installing collected packages: torch" ;;
  *) echo "$*" ;;
esac
"""


@needs_make
def test_help_names_every_target_with_its_sentence():
    run = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True)
    for target in ("setup", "compare", "test", "test-all", "lint", "app", "lab", "clean"):
        assert re.search(rf"^  make {target} +\w.+", run.stdout, re.M), target


@needs_make
@pytest.mark.parametrize(
    ("python", "said"),
    [
        (None, "found none"),
        ('[ "$1" = -V ] && echo Python 3.10.4; exit 1', "found Python 3.10.4"),
        ("case $2 in *ensurepip*) exit 1;; esac", "apt-get install python3-venv"),
    ],
    ids=["no python", "too old", "no venv module"],
)
def test_setup_says_in_one_sentence_what_is_missing(clone, python, said):
    if python:
        script(clone / "bin" / "python3", python)
    run = make(clone, "setup")
    assert run.returncode != 0
    assert said in run.stderr.splitlines()[0]
    assert not (clone / ".venv").exists()


@needs_make
def test_an_interrupted_installation_is_taken_up_again_and_a_finished_one_is_not_repeated(clone):
    script(clone / "bin" / "python3", PYTHON)
    (clone / "broken").write_text("once\n", encoding="utf-8")
    first = make(clone, "setup")
    assert first.returncode != 0
    assert "the line went dead" in first.stderr
    assert "run make again" in first.stderr
    second = make(clone, "setup")
    assert (second.returncode, "Installed." in second.stdout) == (0, True), second.stderr
    assert "Making" not in second.stdout  # the half-made .venv was good enough to go on with
    assert "Installing" not in make(clone, "test").stdout
    assert len((clone / "asked").read_text(encoding="utf-8").splitlines()) == 2
    os.utime(clone / "pyproject.toml", (2**31, 2**31))  # edited later than the installation
    assert "Installing" in make(clone, "test").stdout


@needs_make
def test_settings_reach_the_command(clone):
    script(clone / "bin" / "python3", PYTHON)
    make(clone, "setup")
    script(clone / ".venv" / "bin" / "workbench", 'echo "workbench $*"')
    run = make(clone, "compare", "DEVICE=cuda", "JOBS=3", "STUDY=experiments/x.yaml")
    assert run.stdout.splitlines()[-1] == "workbench run experiments/x.yaml --jobs 3 --device cuda"


@needs_make
def test_clean_removes_results_and_keeps_studies(clone):
    kept = ["experiments/a.yaml", "experiments/LOG.md", ".venv/lib/__pycache__/x.pyc", "data/taxonomy.yaml"]
    gone = ["experiments/a/k1/run.json", "data/cache/x", "workbench/__pycache__/y.pyc", ".pytest_cache/z", "out/o"]
    for name in kept + gone:
        (clone / name).parent.mkdir(parents=True, exist_ok=True)
        (clone / name).touch()
    assert make(clone, "clean").returncode == 0
    assert [name for name in kept + gone if (clone / name).exists()] == kept


@needs_make
def test_app_starts_the_demo_with_what_is_asked(clone):
    run = make(clone, "-n", "app", "ARGS=--port 7000")
    assert run.returncode == 0
    assert run.stdout.splitlines()[-1] == ".venv/bin/python app.py --port 7000"


# ------------------------------------------------------------------------------------------------------- no network


def test_a_test_that_reaches_out_fails_by_name():
    # Bound to the loopback address and aimed at a block that no machine has (RFC 5737), so that nothing would leave
    # this machine even without the guard.
    with pytest.raises(RuntimeError, match=r"reach no network.*192\.0"):
        socket.create_connection(("192.0.2.1", 80), timeout=0.1, source_address=("127.0.0.1", 0))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as wire:
        wire.bind(("127.0.0.1", 0))
        with pytest.raises(RuntimeError, match="reach no network"):
            wire.sendto(b"", ("192.0.2.1", 53))
    with pytest.raises(RuntimeError, match=r"nowhere\.invalid"):
        socket.getaddrinfo("nowhere.invalid", 443)


def test_this_machine_can_be_reached():
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(("localhost", server.getsockname()[1]), timeout=5).close()
    ours, theirs = socket.socketpair(socket.AF_UNIX)
    ours.close()
    theirs.close()


def test_no_library_asks_a_hub():
    import huggingface_hub.constants

    assert huggingface_hub.constants.HF_HUB_OFFLINE


@pytest.mark.parametrize("host", [".github/workflows/ci.yml", ".gitlab-ci.yml"])
def test_a_workflow_file_runs_what_ci_runs_and_keeps_what_it_keeps(host):
    text = (ROOT / host).read_text(encoding="utf-8")
    jobs = yaml.safe_load(text)
    (job,) = jobs["jobs"].values() if "jobs" in jobs else [jobs["tests"]]
    steps = job["steps"] if "steps" in job else [{"run": line} for line in job["script"]]
    assert "bash .ci/run" in [step.get("run") for step in steps]
    uploads = [step["with"]["path"] for step in steps if "upload-artifact" in step.get("uses", "")]
    kept = re.search(r"^artifacts=(\S+)$", (ROOT / ".ci/run").read_text(encoding="utf-8"), re.M)[1]
    assert (uploads or job["artifacts"]["paths"]) == [kept]
    version = re.search(r"python:([0-9.]+)", text)[1]
    assert SpecifierSet(PROJECT["requires-python"]).contains(version)
