"""What operators write for Python's logging, in whatever way, takes effect."""

import pytest

from penstock.worker.log_config import with_ours
from tests.worker.test_logs import run

UVICORN = {
    "version": 1,
    "formatters": {"plain": {"format": "U %(levelname)s %(message)s"}},
    "handlers": {"default": {"class": "logging.StreamHandler", "formatter": "plain"}},
    "loggers": {
        "uvicorn": {"handlers": ["default"], "level": "INFO", "propagate": False},
        "uvicorn.error": {"level": "WARNING"},
        "uvicorn.access": {"handlers": ["default"], "level": "INFO", "propagate": False},
    },
}

INI = """
[loggers]
keys=root,ours
[handlers]
keys=plain
[formatters]
keys=plain
[logger_root]
level=WARNING
handlers=plain
[logger_ours]
qualname=penstock
level=INFO
propagate=0
handlers=plain
[handler_plain]
class=StreamHandler
args=(sys.stdout,)
formatter=plain
[formatter_plain]
format=I %(levelname)s %(message)s
"""


def test_a_dictionary_for_uvicorn_is_about_our_log_too() -> None:
    """The level is that of the inner of its two loggers, the handler that of the outer."""
    _, err = run(f"""
        set_up_logging(LogSpec(dict_config={UVICORN!r}))
        LOG.info("not this")
        LOG.warning("hello")
    """)
    assert err == "U WARNING hello\n"


@pytest.mark.parametrize(
    ("loggers", "ours"),
    [
        ({"uvicorn.error": {"level": "INFO"}}, {"level": "INFO"}),
        ({"gunicorn.error": {"level": "INFO"}}, {"level": "INFO"}),
        ({"uvicorn": {"level": "INFO"}, "penstock": {"level": "DEBUG"}}, {"level": "DEBUG"}),
        ({"uvicorn.access": {"level": "INFO"}}, None),
        ({"uvicorn": "nonsense"}, None),
        ({}, None),
    ],
)
def test_who_names_us_is_not_guessed_at(loggers: dict[str, object], ours: object) -> None:
    config = {"version": 1, "loggers": loggers}
    assert with_ours(config)["loggers"].get("penstock") == ours
    assert with_ours({"version": 1}) == {"version": 1}
    assert with_ours({"loggers": None}) == {"loggers": None}


def test_an_ini_file_is_one_too() -> None:
    """Loggers that it does not name go on."""
    out, err = run(f"""
        logging.getLogger("shop").addHandler(logging.StreamHandler(sys.stderr))
        set_up_logging(LogSpec(dict_config={{"version": 1, "ini": {INI!r}}}))
        LOG.info("hello")
        logging.getLogger("shop").warning("sold")
    """)
    assert out == "I INFO hello\nI WARNING sold\n"
    assert err == "sold\n"


def test_colours_are_for_terminals_and_those_who_insist() -> None:
    assert "\x1b" not in run("set_up_logging(LogSpec()); LOG.info('hello')")[1]
    assert "\x1b[32mINFO\x1b[0m hello" in run("set_up_logging(LogSpec(colors=True)); LOG.info('hello')")[1]
