"""What the tests of the configuration share: a way to load text, and a certificate."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from penstock.master.config import ConfigError, Invocation, Reading

Load = Callable[..., Reading]
Faults = Callable[..., list[str]]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Load a file from its text, with options and an environment."""

    def loading(text: str | bytes, environ: Mapping[str, str] | None = None, **options: str) -> Reading:
        file = tmp_path / "p.yaml"
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        given = {"config": (str(file),)} | {name: (value,) for name, value in options.items()}
        return Invocation(given, directory=str(tmp_path)).read(dict(environ or {}))

    return loading


@pytest.fixture
def faults(load: Load) -> Faults:
    """Load a file that cannot be loaded, and give its faults with the directory cut off."""

    def failing(text: str | bytes, environ: Mapping[str, str] | None = None, **options: str) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            load(text, environ, **options)
        assert str(caught.value)
        return [str(problem).rpartition("/p.yaml:")[2] for problem in caught.value.problems]

    return failing


@pytest.fixture
def pem(tmp_path: Path) -> dict[str, str]:
    """Write PEM files: a certificate, its key, another key, and its key with a passphrase."""
    source = Path(__file__).parent / "pem"
    paths = {}
    for file in source.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
        paths[file.stem] = str(tmp_path / file.name)
    return paths
