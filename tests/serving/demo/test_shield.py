"""What stands around demo and API, asked for as an attacker would: headers, origins, hosts, passwords, doors."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from workbench.errors import WorkbenchError
from workbench.schema import ROOT
from workbench.serving.api.listening import listen
from workbench.serving.config import ServingConfig
from workbench.serving.demo import host, page, shield
from workbench.serving.demo.startup import Startup

HERE = "http://127.0.0.1:7860"
EMPTY = [None] * len((*page.ABOUT, *page.AROUND))  # the form's other fields
USERS = {"ana": "a long password", "bo": "pass:with:colons"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The private folder; what is set for it is undone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(tmp_path_factory.mktemp("temporary")))
        for name in ("GRADIO_TEMP_DIR", "GRADIO_ANALYTICS_ENABLED"):
            patch.setenv(name, "")
        yield host.private_folder()


@pytest.fixture(scope="module")
def site(folder, tmp_path_factory):
    """The function that gives a client of demo and API, their engine not there yet; `base`: the address asked for."""
    from starlette.testclient import TestClient

    limits = {"body_mb": 1}  # 0.75 MiB of file
    services = {name: {"bundle": tmp_path_factory.mktemp("bundle"), "limits": limits} for name in ("text", "post")}
    config = ServingConfig.parse({"services": services}, "serving")
    opened = {}

    def make(base=HERE, users=None, local=True):
        key = (base, users is None, local)
        if key not in opened:
            app = host.assemble(Startup(lambda: None), config, folder, users=users, local=local)
            opened[key] = TestClient(app, base_url=base)
            opened[key].__enter__()
        return opened[key]

    yield make
    for client in opened.values():
        client.__exit__(None, None, None)


def uploads(client, name="a.png", content=b"\x89PNG", **more):
    return client.post("/gradio_api/upload", files={"files": (name, content)}, **more)


# -------------------------------------------------------------------------------------------------------------- headers


@pytest.mark.parametrize("path", ["/", "/theme.css", "/healthz", "/v1/services", "/nothing", "/gradio_api/info"])
def test_every_answer_carries_the_headers(site, path):
    headers = site().get(path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert "server" not in headers
    assert len(headers.get_list("content-security-policy")) == 1


def test_the_page_runs_its_own_scripts_and_no_others(site):
    answer = site().get("/", headers={"accept-encoding": "br"})
    csp = answer.headers["content-security-policy"]
    assert "unsafe-eval" not in csp
    scripts = re.search(r"script-src ([^;]*)", csp)[1]
    assert "unsafe-inline" not in scripts
    inline = re.findall(r"<script(?![^>]*\ssrc=)[^>]*>(.*?)</script>", answer.text, re.DOTALL)
    assert len(inline) >= 3
    for script in inline:
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in scripts
    assert (
        "default-src 'none'" in site().get("/healthz").headers["content-security-policy"]
    )  # the API's own is stricter


@pytest.mark.parametrize("path", ["/", "/config", "/healthz"])
@pytest.mark.parametrize("base", [HERE, "http://moderation.example"])
def test_no_origin_is_reflected(site, path, base):
    client = site(base, local=False)
    for headers in ({}, {"access-control-request-method": "POST"}):
        answer = client.request(
            "OPTIONS" if headers else "GET", path, headers={"origin": "http://evil.example", **headers}
        )
        assert "access-control-allow-origin" not in answer.headers
        assert "access-control-allow-credentials" not in answer.headers


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://127.0.0.1:8888"}, 403),  # another port is another site
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"origin": HERE, "sec-fetch-site": "same-origin"}, 200),
        ({}, 200),  # no browser
    ],
)
def test_other_sites_change_nothing(site, headers, status):
    assert uploads(site(), headers=headers).status_code == status
    put = site().put("/v1/moderate/text/p1", json={"features": {"text": "hello"}}, headers=headers)
    assert put.status_code == (503 if status == 200 else status)  # 503: it was let through to an engine that loads


def test_a_foreign_name_that_points_here_is_refused(site):
    client = site()
    for name, status in (("evil.example", 421), ("127.0.0.1.evil.example:7860", 421), ("localhost:7860", 200)):
        assert client.get("/healthz", headers={"host": name}).status_code == status
    assert client.get("/", headers={"host": "[::1]:7860"}).status_code == 200


# ---------------------------------------------------------------------------------------------------------------- doors


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/gradio_api/info"),
        ("GET", "/gradio_api/openapi.json"),
        ("GET", "/gradio_api/runs"),
        ("GET", "/gradio_api/deep_link?session_hash=a"),
        ("GET", "/gradio_api/file=/etc/passwd"),
        ("GET", f"/gradio_api/file={ROOT}/README.md"),
        ("GET", "/gradio_api/file=http://127.0.0.1:1/x"),
        ("GET", "/gradio_api/file/x"),
        ("GET", "/gradio_api/proxy=http://127.0.0.1:1/x"),
        ("GET", "/gradio_api/stream/a/b/c/playlist.m3u8"),
        ("GET", "/gradio_api/custom_component/a/client/b/c"),
        ("GET", "/gradio_api/call/answer/x"),
        ("GET", "/monitoring"),
        ("GET", "/login"),
        ("GET", "/token"),
        ("GET", "/docs"),
        ("GET", "/assets/../../routes.py"),
        ("POST", "/gradio_api/run/answer"),
        ("POST", "/gradio_api/api/answer"),
        ("POST", "/gradio_api/call/answer"),
        ("POST", "/gradio_api/call/v2/answer"),
        ("POST", "/gradio_api/component_server"),
        ("POST", "/gradio_api/process_recording"),
        ("POST", "/gradio_api/vibe-edit"),
        ("POST", "/gradio_api/stream/x"),
        ("POST", "/gradio_api/mcp/sse"),
        ("DELETE", "/"),
    ],
)
def test_doors_that_the_page_does_not_need_are_shut(site, method, path):
    answer = site().request(method, path, json={"data": []} if method == "POST" else None)
    assert answer.status_code in (404, 405)
    assert "root:" not in answer.text


def test_no_endpoint_is_offered_by_name(site):
    config = site().get("/config").json()
    assert {each["api_visibility"] for each in config["dependencies"]} == {"private"}
    assert config["footer_links"] == []
    assert config["analytics_enabled"] is False
    assert not config.get("run_history")


def test_an_uploaded_file_lies_in_the_private_folder_and_is_never_served(site, folder):
    client = site()
    (path,) = uploads(client).json()
    assert Path(path).is_relative_to(folder)
    assert Path(path).read_bytes() == b"\x89PNG"
    assert folder.stat().st_mode & 0o077 == 0
    assert client.get(f"/gradio_api/file={path}").status_code == 404


def test_a_file_over_the_limit_is_refused(site):
    client = site()
    assert uploads(client, content=b"x" * 700_000).status_code == 200
    refused = uploads(client, content=b"x" * 900_000)
    assert refused.status_code == 413
    assert "size" in refused.text


def joined(client, *data):
    """Return the answer to the page's own form, sent by hand."""
    functions = client.get("/config").json()["dependencies"]
    asked = next(each["id"] for each in functions if len(each["inputs"]) == len(data))
    return client.post("/gradio_api/queue/join", json={"data": data, "fn_index": asked, "session_hash": "abc"})


@pytest.mark.parametrize(
    "path",
    [
        "http://93.184.216.34/x.png",
        "https://example.com/x.png",
        "/etc/passwd",
        f"{ROOT}/README.md",
        "x.png",
        "{folder}/../passwd",
        "{folder}\0",
        7,
    ],
)
def test_a_form_names_uploads_only(site, folder, path):
    path = path.replace("{folder}", str(folder)) if isinstance(path, str) else path
    file = {"path": path, "meta": {"_type": "gradio.FileData"}}
    answer = joined(site(), "a text", file, None, *EMPTY, "post")
    assert answer.status_code == 400
    assert answer.text == "This form is not taken.\n"


def test_a_form_with_an_upload_is_taken(site):
    client = site()
    (path,) = uploads(client).json()
    file = {"path": path, "meta": {"_type": "gradio.FileData"}}
    assert joined(client, "a text", file, None, *EMPTY, "post").status_code == 200


@pytest.mark.parametrize(("body", "status"), [(b"{", 400), (b"[" * 100_000, 400), (b'"' + b"a" * shield.FORM, 413)])
def test_a_form_that_is_none_is_refused(site, body, status):
    answer = site().post("/gradio_api/queue/join", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == status


# ------------------------------------------------------------------------------------------------------------ passwords


def basic(name, password):
    return {"authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        (basic("ana", "wrong password"), 401),
        (basic("nobody", "a long password"), 401),
        (basic("nobody", ""), 401),
        ({"authorization": "Basic ana:a long password"}, 401),
        ({"authorization": "Bearer " + basic("ana", "a long password")["authorization"][6:]}, 401),
        ({"authorization": "Basic \u00e4".encode("latin-1")}, 401),
        (basic("ana", "a long password"), 200),
        (basic("bo", "pass:with:colons"), 200),
    ],
)
def test_with_a_password_file_everything_asks(site, headers, status):
    client = site("http://moderation.example", users=USERS, local=False)
    for path in ("/", "/config", "/v1/services", "/metrics", "/theme.css"):
        answer = client.get(path, headers=headers)
        let_in = {"/v1/services": 503}.get(path, 200)
        assert answer.status_code == (let_in if status == 200 else 401), path
    assert uploads(client, headers=headers).status_code == status
    assert ("www-authenticate" in client.get("/", headers=headers).headers) == (status == 401)
    assert client.get("/healthz", headers=headers).status_code == 200  # for those who only watch the process


@pytest.mark.parametrize(
    ("content", "mode", "said"),
    [
        ("ana:a long password\n", 0o644, "others can read the password file .*chmod 600"),
        ("", 0o600, "names nobody"),
        ("# ana:a long password\n", 0o600, "names nobody"),
        ("ana:short\n", 0o600, "line 1: write name:password, the password 8 characters or longer"),
        ("\nno colon here\n", 0o600, "line 2: write name:password"),
    ],
)
def test_a_password_file_that_is_no_good_is_told(tmp_path, content, mode, said):
    path = tmp_path / "staff"
    path.write_text(content)
    path.chmod(mode)
    with pytest.raises(WorkbenchError, match=said):
        shield.users(path)


def test_a_password_file_is_read(tmp_path):
    path = tmp_path / "staff"
    path.write_text("# staff\nana:a long password\n\nbo:pass:with:colons\n")
    path.chmod(0o600)
    assert shield.users(path) == USERS
    with pytest.raises(WorkbenchError, match="cannot read the password file"):
        shield.users(tmp_path / "none")


# --------------------------------------------------------------------------------------------------------------- app.py


def ran(*arguments, code="import runpy; runpy.run_path('app.py', run_name='__main__')"):
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)


def test_help_imports_nothing_heavy():
    look = "import runpy, sys\ntry: runpy.run_path('app.py', run_name='__main__')\n"
    look += "finally: print([name for name in ('torch', 'gradio', 'fastapi', 'pyarrow') if name in sys.modules])"
    done = ran("--help", code=look)
    assert done.returncode == 0
    assert "--auth-file" in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("address", ["0.0.0.0", "192.0.2.1", "::", "example.com"])
def test_a_host_that_others_reach_needs_passwords(address):
    done = ran("--host", address)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: other machines can reach host '{address}', so the page needs names and")
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_taken_port_and_a_missing_configuration_are_one_sentence():
    with listen("127.0.0.1", 0) as taken:
        taken.listen()
        port = str(taken.getsockname()[1])
        done = ran("--port", port)
        assert done.returncode == 2
        assert (
            done.stderr
            == f"error: cannot listen on 127.0.0.1, port {port}: Address already in use; choose another with --port\n"
        )
    done = ran("--config", "/no/such.yaml")
    assert (done.returncode, done.stderr.splitlines()[0][:35]) == (2, "error: cannot read /no/such.yaml: N")


@pytest.mark.parametrize(
    ("address", "local"), [("127.0.0.1", True), ("::1", True), ("localhost", True), ("10.0.0.1", False)]
)
def test_which_hosts_are_this_machine_only(address, local):
    assert shield.loopback(address) is local


def test_settings_of_gradio_in_the_environment_are_dropped(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for name in ("SHARE", "VIBE_MODE", "ALLOWED_PATHS", "TEMP_DIR", "ANALYTICS_ENABLED"):
        monkeypatch.setenv(f"GRADIO_{name}", "1")
    made = host.private_folder()
    assert {name for name in os.environ if name.startswith("GRADIO_")} == {
        "GRADIO_TEMP_DIR",
        "GRADIO_ANALYTICS_ENABLED",
    }
    assert os.environ["GRADIO_TEMP_DIR"] == str(made)
    assert os.environ["GRADIO_ANALYTICS_ENABLED"] == "False"


def test_uploads_that_a_killed_server_left_are_removed(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("GRADIO_TEMP_DIR", "")
    monkeypatch.setenv("GRADIO_ANALYTICS_ENABLED", "")
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    left, ours, other = (
        tmp_path / name for name in (f"{host.PREFIX}{gone.pid}-a", f"{host.PREFIX}{os.getpid()}-a", "b")
    )
    for folder in (left, ours, other):
        folder.mkdir()
        (folder / "photo.jpg").touch()
    made = host.private_folder()
    assert sorted(tmp_path.iterdir()) == sorted([ours, other, made])
