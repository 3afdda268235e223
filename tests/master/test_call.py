"""`penstock.run`: keywords become options, and what is wrong with a call is told to who wrote it."""

import asyncio
import json
import ssl
import threading
from pathlib import Path
from typing import Any

import pytest

import penstock
from penstock.master.call import MODULE, texts_of
from penstock.master.config import ConfigError, Invocation
from penstock.master.config.options import OPTIONS
from tests.master.keywords import FILE, keywords_text

PEERS = Path(__file__).parents[1] / "peers"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (
            {"host": "0.0.0.0", "port": 8000, "workers": 4},
            {"host": "0.0.0.0", "port": "8000", "workers": "4"},
        ),
        ({"pin": False, "preload": True}, {"pin": "false", "preload": "true"}),
        ({"port": None, "reload": None, "ssl_context_factory": None}, {}),
        ({"timeout_keep_alive": 2.5, "timeout": 0}, {"timeout_keep_alive": "2.5", "timeout": "0"}),
        ({"timeout_keep_alive": 0.00001}, {"timeout_keep_alive": "0.00001"}),
        ({"app_dir": Path("src"), "config": Path("p.yaml")}, {"app_dir": "src", "config": "p.yaml"}),
        ({"bind": [":80", ":81"]}, {"bind": (":80", ":81")}),
        ({"bind": ":80"}, {"bind": ":80"}),
        ({"headers": [("A", "1"), ("A", "2"), (b"B", b"3")]}, {"header": ("A:1", "A:2", "B:3")}),
        ({"headers": {"A": "1"}, "env": {"X": "y"}}, {"header": "A:1", "env": "X=y"}),
        ({"header": "A:1", "env": ["X=y"]}, {"header": "A:1", "env": "X=y"}),
        ({"pythonpath": ["a", "b"]}, {"pythonpath": "a,b"}),
        ({"log_level": 10}, {"log_level": "10"}),
        ({"log_config": {"version": 1}}, {"log_config": '{"version": 1}'}),
        ({"umask": 0o27, "uds_permissions": 0o660}, {"umask": "0027", "uds_permissions": "0660"}),
        ({"uds_permissions": "0660"}, {"uds_permissions": "0660"}),
        ({"max_requests": 5, "timeout_worker_healthcheck": 9}, {"limit_max_requests": "5", "timeout": "9"}),
        ({"http1_header_read_timeout": 500}, {"timeout_request_header": "500ms"}),
        ({"no_log": True}, {"log_level": "critical"}),
        ({"no_log": False, "daemon": False, "capture_output": False}, {}),
        ({"limit_max_requests": ssl.CERT_REQUIRED}, {"limit_max_requests": "2"}),
    ],
)
def test_keywords_become_options(options: dict[str, Any], expected: dict[str, Any]) -> None:
    """
    As they would have been typed, so that one walk judges them.
    """
    wanted = {name: (text,) if isinstance(text, str) else text for name, text in expected.items()}

    assert texts_of(options) == (wanted, [])


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"wrokers": 4}, "run() got an unexpected keyword argument 'wrokers'; did you mean 'workers'?"),
        ({"xyzzy": None}, "run() got an unexpected keyword argument 'xyzzy'"),
        ({"daemon": True}, "run() takes no 'daemon': Penstock stays in the foreground"),
        ({"ssl_context_factory": print}, "run() takes no 'ssl_context_factory': the context is made of"),
        ({"port": object()}, "run(): port is a object, expected text, a number"),
        ({"log_config": {"a": object()}}, "run(): log_config cannot be written as JSON"),
        ({"protocol": "uwsgi"}, "run(): protocol='uwsgi': only HTTP is spoken"),
    ],
)
def test_a_wrong_keyword_is_a_type_error(options: dict[str, Any], told: str) -> None:
    """
    It is a mistake of the program, with a traceback to its line.
    """
    with pytest.raises(TypeError) as caught:
        penstock.run("main:app", **options)

    assert str(caught.value).startswith(told)


def test_a_keyword_without_meaning_is_said_to_have_none() -> None:
    """
    As on the command line; what is done anyway is not worth a word.
    """
    options = {"loop": "asyncio", "http": "auto", "statsd_host": "h:1"}

    loop, statsd = texts_of(options)[1]
    assert loop == "loop='asyncio' has no meaning here"
    assert statsd.startswith("statsd_host='h:1' is ignored: nothing is sent to StatsD")


def test_a_protocol_class_is_named() -> None:
    """
    Uvicorn takes a class there.
    """
    assert texts_of({"http": asyncio.Protocol})[1] == ["http='type' has no meaning here"]


def test_a_wrong_value_is_told_by_its_keyword() -> None:
    """
    Whoever wrote `workers=` has not typed --workers.
    """
    texts, _ = texts_of({"workers": "many"})
    with pytest.raises(ConfigError, match="workers=: found 'many', expected an integer"):
        Invocation(texts, "a:b", is_call=True).load({})


def test_a_dictionary_configures_the_log() -> None:
    """
    As uvicorn takes it; what a file holds may be given itself.
    """
    wanted = {"version": 1, "loggers": {"shop": {"level": "DEBUG", "propagate": False}}}
    texts, _ = texts_of({"log_config": wanted})

    assert Invocation(texts, "a:b", is_call=True).load({}).log.config == wanted


def test_every_keyword_of_uvicorn_is_known() -> None:
    """
    Only the name of the function changes.
    """
    keywords = json.loads((PEERS / "uvicorn.json").read_text())["keywords"]
    for keyword in keywords:
        texts_of({keyword: None})
        assert keyword in keywords_text() or keyword in {"http2", "ssl_context_factory"} | {
            name for name in keywords if name.startswith("reload_")
        }, keyword


def test_keywords_are_typed_as_the_options_are() -> None:
    """
    `make tables` writes the file anew.
    """
    assert FILE.read_text() == keywords_text()
    for option in OPTIONS:
        assert f"    {option.name}: " in FILE.read_text()


def test_a_call_needs_the_main_thread() -> None:
    """
    Signals arrive there alone.
    """
    found: list[BaseException] = []

    def call() -> None:
        try:
            penstock.run("main:app")
        except RuntimeError as error:
            found.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    thread.join()

    assert "must be called in the main thread" in str(found[0])


def test_a_call_within_an_event_loop_is_refused() -> None:
    """
    Most often it is the module that is served, which calls again when it is imported.
    """

    async def call() -> None:
        penstock.run("main:app")

    with pytest.raises(RuntimeError, match=r"within a running event loop.*__main__"):
        asyncio.run(call())


def test_a_call_in_a_process_that_serves_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Also where no loop runs yet: with preload, in a check, and in the command itself.
    """
    monkeypatch.setattr("penstock.master.call._is_serving", True)
    with pytest.raises(RuntimeError, match="in a process of a server that runs"):
        penstock.run("main:app")


def test_an_object_has_a_name_that_can_be_imported() -> None:
    """
    It is a name that no package of the user's can have.
    """
    assert MODULE.startswith("penstock.")
    assert not (Path(penstock.__file__).parent / "given.py").exists()
