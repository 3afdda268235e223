"""Certificates that the tests of this folder share."""

from pathlib import Path

import pytest

from tests.worker.tls.pki import RSA, Pair, make


@pytest.fixture(scope="session")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Pair]:
    """Make servers of several names, an authority, and a client that it has issued."""
    folder: Path = tmp_path_factory.mktemp("pki")
    authority = make(folder, "authority")
    return {
        "authority": authority,
        "client": make(folder, "client", subject="/CN=alice/O=Acme, Inc./OU=a\\+b", issuer=authority),
        "stranger": make(folder, "stranger"),
        "first": make(folder, "first", names=("first.test",)),
        "first-rsa": make(folder, "first-rsa", names=("first.test",), kind=RSA),
        "wild": make(folder, "wild", names=("*.example.com", "example.com")),
        "exact": make(folder, "exact", names=("a.example.com",)),
    }
