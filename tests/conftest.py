"""What all tests share: no network, no hub, and real data sets only where they are."""

from __future__ import annotations

import ipaddress
import os
import socket
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from postgres import Server, binaries
from toy_study import place  # noqa: F401, a fixture

# Before anything imports a library that reads them; kernels and subprocesses inherit them.
os.environ.update(
    HF_HUB_OFFLINE="1",
    HF_DATASETS_OFFLINE="1",
    TRANSFORMERS_OFFLINE="1",
    HF_HUB_DISABLE_TELEMETRY="1",
    GRADIO_ANALYTICS_ENABLED="False",
    DO_NOT_TRACK="1",
    MPLBACKEND="Agg",
    TOKENIZERS_PARALLELISM="false",
)
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A busy machine is no fault of the code: no example has a time limit.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")


def _is_local(host: object) -> bool:
    """Say whether a host is this machine: a loopback or unspecified address, its own name, or none given."""
    if isinstance(host, bytes):
        host = host.decode(errors="replace")
    if host in (None, "", "localhost", "<broadcast>", socket.gethostname()):
        return True
    try:
        address = ipaddress.ip_address(str(host).split("%")[0])
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def _refuse(host: object) -> None:
    if not _is_local(host):
        raise RuntimeError(f"tests reach no network, but {host!r} was asked for; use data that the test makes itself")


@pytest.fixture(scope="session", autouse=True)
def _no_network():
    """Let sockets of the test process reach this machine only (kernels and servers need loopback and unix sockets)."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("connect", "connect_ex", "sendto"):
            patch.setattr(socket.socket, name, _guarded(getattr(socket.socket, name)))
        lookup = socket.getaddrinfo

        def getaddrinfo(host, *args, **kwargs):
            _refuse(host)
            return lookup(host, *args, **kwargs)

        patch.setattr(socket, "getaddrinfo", getaddrinfo)
        yield


def _guarded(method):
    def call(self, *args):
        # The address is the last argument of all three methods.
        if self.family in (socket.AF_INET, socket.AF_INET6):
            _refuse(args[-1][0])
        return method(self, *args)

    return call


@pytest.fixture(autouse=True)
def _no_database_of_the_user(monkeypatch):
    """Let no test write into the database that somebody's shell names."""
    monkeypatch.delenv("WORKBENCH_DATABASE_URL", raising=False)


@pytest.fixture(scope="session")
def postgres():
    """A PostgreSQL server for the tests of one process."""
    if binaries() is None:
        pytest.skip("PostgreSQL is not installed here (Debian: apt-get install postgresql)")
    server = Server("fsync = off", "full_page_writes = off")
    yield server
    server.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request, monkeypatch):
    """The kind of database that `Records` opens in this test, empty."""
    if request.param == "postgresql":
        monkeypatch.setenv("WORKBENCH_DATABASE_URL", request.getfixturevalue("postgres").database())
    return request.param


@pytest.fixture(scope="session")
def workbench_data() -> Path:
    """Return the folder of real data sets, or skip the test with the reason."""
    named = os.environ.get("WORKBENCH_DATA")
    if not named:
        pytest.skip("WORKBENCH_DATA is not set; it names the folder with the real data sets")
    folder = Path(named)
    if not folder.is_dir():
        pytest.skip(f"WORKBENCH_DATA names {named}, which is no folder")
    return folder


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest, so that no process ends with one of them while others stand idle."""
    first = {item.path for item in items if item.get_closest_marker("slow") or item.get_closest_marker("long")}
    items.sort(key=lambda item: item.path not in first)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip tests marked `gpu` where there is no CUDA device."""
    if item.get_closest_marker("gpu"):
        import torch

        if not torch.cuda.is_available():
            pytest.skip("needs a CUDA device, and this machine has none")
