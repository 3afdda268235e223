"""WebSockets in the configuration: the key of a listener, and uvicorn's options for it."""

from pathlib import Path

import pytest

from penstock.master.blueprint import _websocket_spec
from penstock.master.config.invocation import Invocation
from penstock.master.config.problems import ConfigError
from penstock.master.config.websocket import WebSocket
from penstock.worker.spec import WebSocketSpec


def read(**options: str) -> WebSocket | None:
    """Read a command line."""
    config = Invocation({name: (text,) for name, text in options.items()}, "main:app").load({})
    return config.listeners[0].websockets


def test_defaults_are_those_of_uvicorn() -> None:
    """
    And the same for whoever makes a spec without a configuration.
    """
    websocket = read()

    assert websocket == WebSocket()
    assert _websocket_spec(websocket) == WebSocketSpec()
    assert WebSocketSpec() == WebSocketSpec(
        message_bytes=16 * 1024 * 1024,
        queue_count=32,
        ping_interval_s=20.0,
        ping_timeout_s=20.0,
        deflate=True,
    )


@pytest.mark.parametrize("library", ["auto", "websockets", "websockets-sansio", "wsproto", "true"])
def test_a_library_keeps_what_else_is_said(library: str) -> None:
    options = {"ws_max_size": "1024", "ws_max_queue": "4", "ws_per_message_deflate": "False"}
    options |= {"ws_ping_interval": "0.5", "ws_ping_timeout": "none"}

    assert read(ws=library, **options) == WebSocket(
        message_bytes=1024, queue_count=4, ping_interval_s=0.5, ping_timeout_s=None, deflate=False
    )


@pytest.mark.parametrize("word", ["none", "false", "off"])
def test_none_switches_them_off_whatever_else_is_said(word: str) -> None:
    assert read(ws=word) is None
    assert read(ws=word, ws_max_size="1024") is None
    assert _websocket_spec(None) is None


def test_no_pings_are_no_pings_however_they_are_written() -> None:
    """
    Uvicorn takes 0 for none.
    """
    spec = _websocket_spec(read(ws_ping_interval="0", ws_ping_timeout="0"))

    assert spec is not None
    assert (spec.ping_interval_s, spec.ping_timeout_s) == (None, None)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"ws": "quick"}, "--ws: found 'quick', expected auto or none"),
        ({"ws_max_size": "0"}, "--ws-max-size: listeners[0].websocket.max_message: found 0 bytes"),
        ({"ws_max_size": "many"}, "--ws-max-size: "),
        ({"ws_max_queue": "0"}, "--ws-max-queue: "),
        ({"ws_ping_interval": "-1"}, "--ws-ping-interval: "),
        (
            {"ws_per_message_deflate": "maybe"},
            "--ws-per-message-deflate: found 'maybe', expected true or false",
        ),
    ],
)
def test_what_is_wrong_is_told_by_the_option(options: dict[str, str], expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(**options)
    assert str(caught.value).startswith(expected.partition(": listeners")[0])
    assert expected.rpartition(": ")[2] in str(caught.value)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("none", None),
        ("false", None),
        ("true", WebSocket()),
        ("{max_message: 1MiB, ping_interval: 5s}", WebSocket(message_bytes=2**20, ping_interval_s=5.0)),
    ],
)
def test_the_key_of_a_listener(tmp_path: Path, text: str, wanted: WebSocket | None) -> None:
    path = tmp_path / "penstock.yaml"
    listener = f"{{bind: 127.0.0.1:0, websocket: {text}, routes: [{{app: 'main:app'}}]}}"
    path.write_text(f"listeners: [{listener}]\n")
    config = Invocation({"config": (str(path),)}).load({})

    assert config.listeners[0].websockets == wanted
