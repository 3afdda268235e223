"""The hook works with the oldest prometheus_client that we ask for; the other tests use the newest."""

import tomllib
from pathlib import Path

from tests.worker.appmetrics.versions import OLDEST_SUPPORTED, VERSIONS, fault

PYPROJECT = Path(__file__).parents[3] / "pyproject.toml"


def test_the_oldest_version_that_we_ask_for_works() -> None:
    """
    `make prometheus-matrix` tries them all.
    """
    assert fault(OLDEST_SUPPORTED) is None


def test_the_oldest_version_is_the_one_that_we_ask_for() -> None:
    """
    Whoever raises one raises the other.
    """
    needs = tomllib.loads(PYPROJECT.read_text())["project"]["dependencies"]
    minimum = ".".join(OLDEST_SUPPORTED.split(".")[:2])
    assert f"prometheus-client>={minimum}" in needs
    assert OLDEST_SUPPORTED in VERSIONS
