"""Records in both databases."""

from __future__ import annotations

import pytest
from postgres import Server, binaries

from workbench.records import URL


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
    monkeypatch.delenv(URL, raising=False)
    if request.param == "postgresql":
        monkeypatch.setenv(URL, request.getfixturevalue("postgres").database())
    return request.param
