"""Configuration files of other servers: refused, with what each of their settings is called here."""

import json
from pathlib import Path

import pytest

from penstock.master.config import ConfigError, Invocation
from penstock.master.config.strangers import FLAGS, WORDS, advice_on

PEERS = Path(__file__).parents[2] / "peers"

GUNICORN = '''
"""Ours since 2019."""
import multiprocessing
bind = ["0.0.0.0:8000", "unix:/run/app.sock"]
workers = multiprocessing.cpu_count() * 2 + 1
worker_class: str = "uvicorn.workers.UvicornWorker"
timeout, keepalive = 120, 5
accesslog = errorlog = "-"
daemon = True
own_name = "none of gunicorn's"
raise SystemExit("it was executed")

def post_fork(server, worker):
    pass
'''


def refusal(path: Path, text: str, name: str = "gunicorn.conf.py") -> list[str]:
    (path / name).write_text(text)
    with pytest.raises(ConfigError) as caught:
        Invocation({"config": (name,)}, directory=str(path)).load({})
    return str(caught.value).splitlines()


def test_each_setting_of_a_gunicorn_file_is_told_with_its_name_here(tmp_path: Path) -> None:
    """
    With its line, and without executing any of it.
    """
    first, *others = refusal(tmp_path, GUNICORN)

    assert first.startswith("gunicorn.conf.py: is Python, which gunicorn would execute and Penstock does not")
    told = [each.partition(": ")[2] for each in others]
    assert others[0].startswith("gunicorn.conf.py:4:1: ")
    assert (
        told[0]
        == "bind = ['0.0.0.0:8000', 'unix:/run/app.sock']: write --bind, or 'listeners[].bind' in a file"
    )
    assert told[1].startswith(
        "workers = multiprocessing.cpu_count() * 2 + 1: write --workers, or 'workers' in a file"
    )
    assert told[2] == "worker_class = 'uvicorn.workers.UvicornWorker': it has no meaning here"
    assert told[3].startswith("timeout = 120: write --timeout, or 'worker_timeout' in a file")
    assert told[4].startswith("keepalive = 5: write --timeout-keep-alive, or 'listeners[].limits.keep_alive")
    assert told[5].startswith("accesslog = '-': write --access-log-file, or 'log.access.path'")
    assert told[6].startswith("errorlog = '-': write --log-file, or 'log.path'")
    assert told[7].startswith("daemon = True: Penstock stays in the foreground")
    assert told[8].startswith("post_fork(): there are no server hooks")
    assert len(told) == 9


@pytest.mark.parametrize("text", ["bind = (", "\0", "x = " + "(" * 5000, ""])
def test_a_python_file_that_cannot_be_parsed_is_refused_all_the_same(tmp_path: Path, text: str) -> None:
    """
    What stands in it matters little.
    """
    assert refusal(tmp_path, text)[0].startswith("gunicorn.conf.py: is Python")


def test_a_file_of_hypercorn_is_refused(tmp_path: Path) -> None:
    """
    TOML is nearly YAML, and its errors would lead nowhere.
    """
    (told,) = refusal(tmp_path, 'bind = "0.0.0.0:1"\n', "hypercorn.toml")

    assert told.startswith("hypercorn.toml: is TOML, which hypercorn reads; expected YAML")


def test_a_file_that_gunicorn_would_have_read_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    It needs no option there, so nobody thinks of it.
    """
    monkeypatch.chdir(tmp_path)
    assert Invocation({}, "a:b").read({}).warnings == ()
    (tmp_path / "gunicorn.conf.py").touch()
    (warning,) = Invocation({}, "a:b").read({}).warnings

    assert (
        warning == "gunicorn.conf.py is not read; `penstock check -c gunicorn.conf.py` says what it asks for"
    )


@pytest.mark.parametrize("peer", ["gunicorn", "hypercorn"])
def test_every_setting_of_another_server_is_known(peer: str) -> None:
    """
    Those without an option too.
    """
    for setting, flag in json.loads((PEERS / f"{peer}.json").read_text())["settings"].items():
        assert advice_on(setting), f"{peer} {setting}"
        if flag is not None and setting not in WORDS:
            assert FLAGS.get(setting, "--" + setting.replace("_", "-")) == flag or advice_on(
                setting
            ) == advice_on(flag.removeprefix("--").replace("-", "_")), setting
