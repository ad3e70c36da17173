"""The API against its own document: generated requests, valid and not, alone and in sequences, by schemathesis."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from stand_in import LABELS, SERVICES

CLI = Path(sys.executable).with_name("schemathesis")
ROOMY = {"limits": {f"{what}_{rate}": 10**9 for what in ("author", "copies") for rate in ("per_minute", "burst")}}


def fuzzed(url, folder, *options):
    """Return what schemathesis says of the API at a URL: its exit status and its report."""
    fixed = ["--checks", "all", "--seed", "1", "--no-color", "--continue-on-failure", "--warnings", "off"]
    command = [str(CLI), "run", f"{url}/v1/openapi.json", *fixed, *options]
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=2500, check=False)
    return run.returncode, run.stdout + run.stderr


@pytest.mark.slow
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("examples", [3, pytest.param(60, marks=pytest.mark.campaign)])
def test_no_request_is_answered_otherwise_than_documented(make_engine, serve, tmp_path, examples):
    server = serve(make_engine(dict.fromkeys(SERVICES, ROOMY)))
    status, report = fuzzed(server.url, tmp_path, "--max-examples", str(examples))
    assert status == 0, report[-6000:]
    generated, passed = map(int, re.search(r"(\d+) generated, (\d+) passed", report).groups())
    assert generated == passed > 200
    assert report.count("✅") >= 4  # examples, coverage, fuzzing, sequences


@pytest.mark.slow
def test_it_would_notice(make_engine, serve, tmp_path, stand_in):
    """The same checks on a service that breaks them: a model that fails, a confidence that no document allows."""
    assess = stand_in.assess
    stand_in.assess = lambda posts: [
        one.model_copy(update={"scores": dict.fromkeys(LABELS, 7)}) for one in assess(posts)
    ]
    server = serve(make_engine(dict.fromkeys(SERVICES, ROOMY)))
    only = ("--include-path", "/v1/moderate/text/{post_id}", "--include-method", "PUT", "--phases", "fuzzing")
    status, report = fuzzed(server.url, tmp_path, "--max-examples", "5", *only)
    assert status == 1
    assert "Server error" in report
