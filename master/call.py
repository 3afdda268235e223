"""
`penstock.run`: the server as a function, for a program that is its own start script.

Turns keywords into the options that the command line has; what is typed wrong
is a TypeError of the program. From there on everything is as with `penstock APP`,
but that the app may be an object: workers are forked, so each has it.
"""

import gc
import json
import os
import signal
import sys
import threading
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import setproctitle

from penstock.master.boot_shim import HANDOVER_VARIABLE
from penstock.master.config.activation import claim_sockets
from penstock.master.config.borrowed import translated
from penstock.master.config.invocation import Invocation
from penstock.master.config.option import Option
from penstock.master.config.options import BY_NAME
from penstock.master.config.peers import OURS, Alias, Excuse, Refusal, meaning_of
from penstock.master.config.problems import ConfigError, nearest
from penstock.master.signals import keep_signals_for_later
from penstock.worker.child import MASTER_SIGNALS

# Where an app that was given as an object is imported from: workers find it there after the fork.
MODULE = "penstock.given"
ATTRIBUTE = "app"

# Keywords of `uvicorn.run` that are not named as their option is.
_FLAGS = {
    "headers": "--header",
    "reload_dirs": "--reload-dir",
    "reload_excludes": "--reload-exclude",
    "reload_includes": "--reload-include",
}
_REFUSED = {
    "ssl_context_factory": "the context is made of ssl_certfile and ssl_keyfile",
    "callback_notify": "the lifespan of the app tells when the server starts and stops",
    "timeout_notify": "the lifespan of the app tells when the server starts and stops",
}
_GUARD = (
    'put the call under `if __name__ == "__main__":`, so that it is not made when workers import the module'
)

# A server runs in this process, or this is one of its children.
_is_serving = False


def run(app: str | Callable[..., Any] | None, options: Mapping[str, Any]) -> None:
    """
    Serve until stopped, as `penstock.run` says.

    Raises TypeError for keywords that there are not, RuntimeError where no
    server can be started, and SystemExit if one did not start or ended badly.
    """
    global _is_serving  # noqa: PLW0603, it is the process that serves
    texts, notices = texts_of(options)
    _judge_place()
    invocation = Invocation(texts, _named(app), is_call=True, is_object=not isinstance(app, str | None))
    if HANDOVER_VARIABLE not in os.environ:  # Else it was said before the hot restart.
        for told in (*notices, *_hazards()):
            print(f"penstock: {told}", file=sys.stderr)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    handlers = {number: signal.getsignal(number) for number in MASTER_SIGNALS}
    title = setproctitle.getproctitle()
    pid = os.getpid()
    _is_serving = True
    try:
        status = _serve(invocation)
    except KeyboardInterrupt:
        return  # Before there was anything to drain.
    finally:
        if os.getpid() == pid:
            _is_serving = False
            signal.set_wakeup_fd(-1)
            for number, handler in handlers.items():
                if handler is not None:  # None: it was not Python that set it.
                    signal.signal(number, handler)
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            setproctitle.setproctitle(title)
            gc.unfreeze()
    if status:
        sys.exit(status)


@contextmanager
def forbidden() -> Iterator[None]:
    """Have calls refused meanwhile: this process is a server by its command line."""
    global _is_serving  # noqa: PLW0603
    _is_serving = True
    try:
        yield
    finally:
        _is_serving = False


def texts_of(options: Mapping[str, Any]) -> tuple[dict[str, tuple[str, ...]], list[str]]:
    """Turn keywords into options as they would be typed, and what is to be said of them. Raises TypeError."""
    texts: dict[str, tuple[str, ...]] = {}
    notices: list[str] = []
    for keyword, value in options.items():
        if value is None and (keyword in _REFUSED or _meaning(keyword) is not None):
            continue  # Not given, which is what uvicorn means by it.
        match _meaning(keyword):
            case Option() as option:
                texts[option.name] = _texts(option, keyword, value)
            case Alias() as alias if alias.value is None:
                option = OURS[alias.flag]
                values = _texts(option, keyword, value)
                texts.setdefault(option.name, tuple(translated(alias, each) for each in values))
            case Alias() as alias:
                if value:
                    texts.setdefault(OURS[alias.flag].name, (alias.value or "",))
            case Excuse() as excuse:
                notices += _excused(excuse, keyword, value)
            case Refusal() as refusal:
                if value:
                    raise TypeError(f"run() takes no {keyword!r}: {refusal.told}")
            case None:
                raise TypeError(_unknown(keyword))
    return texts, notices


def _meaning(keyword: str) -> Option | Alias | Excuse | Refusal | None:
    if keyword in _REFUSED:
        return Refusal(_REFUSED[keyword])
    flag = _FLAGS.get(keyword) or "--" + keyword.replace("_", "-")
    return BY_NAME.get(keyword) or meaning_of(flag)


def _unknown(keyword: str) -> str:
    hint = nearest(keyword, [*BY_NAME, *_FLAGS])
    return f"run() got an unexpected keyword argument {keyword!r}" + (f"; {hint}" if hint else "")


def _excused(excuse: Excuse, keyword: str, value: object) -> list[str]:
    if excuse.is_flag and not value:
        return []
    text = value if isinstance(value, str | int) else type(value).__name__
    told = excuse.answer(keyword, str(text), f"{keyword}={text!r}")
    if told and excuse.refused:
        raise TypeError(f"run(): {keyword}={value!r}: {excuse.refused}")
    return [told] if told else []


def _texts(option: Option, keyword: str, value: object) -> tuple[str, ...]:
    if option.is_pairs:
        separator = "=" if option.path is None else ":"
        pairs = value.items() if isinstance(value, Mapping) else _items(value)
        return tuple(_pair(each, separator, keyword) for each in pairs)
    if isinstance(value, list | tuple | set | frozenset):
        texts = tuple(_text(each, keyword) for each in value)
        return texts if option.is_repeatable else (",".join(texts),)
    if option.metavar == "MODE" and isinstance(value, int):
        return (f"{value:04o}",)
    return (_text(value, keyword),)


def _items(value: object) -> Iterable[object]:
    return (value,) if isinstance(value, str) or not isinstance(value, Iterable) else value


def _pair(pair: object, separator: str, keyword: str) -> str:
    if isinstance(pair, tuple | list) and len(pair) == 2:
        return separator.join(_text(each, keyword) for each in pair)
    return _text(pair, keyword)


def _text(value: object, keyword: str) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return str(getattr(value, "value", value))  # A member of an enumeration is its value.
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if isinstance(value, int):
        return str(int(value))
    if isinstance(value, float):
        return f"{value:.9f}".rstrip("0").rstrip(".")
    if isinstance(value, os.PathLike):
        return os.fsdecode(value)
    if isinstance(value, Mapping):
        try:
            return json.dumps(value)
        except (TypeError, ValueError) as error:
            raise TypeError(f"run(): {keyword} cannot be written as JSON: {error}") from None
    kind = type(value).__name__
    raise TypeError(
        f"run(): {keyword} is a {kind}, expected text, a number, True or False, a path or a list of them"
    )


def _named(app: object) -> str | None:
    """Give the app as `module:attribute`; an object is put where that leads."""
    if app is None or isinstance(app, str):
        return app
    module = types.ModuleType(MODULE, "The application that `penstock.run` was given.")
    setattr(module, ATTRIBUTE, app)
    sys.modules[MODULE] = module
    return f"{MODULE}:{ATTRIBUTE}"


def _judge_place() -> None:
    """Raise RuntimeError where no server can be started, with what to do about it."""
    if _is_serving:
        raise RuntimeError(f"penstock.run() was called in a process of a server that runs; {_GUARD}")
    # Who has not imported it has no loop, and the import takes longer than all the rest.
    asyncio = sys.modules.get("asyncio")
    if asyncio is not None and asyncio._get_running_loop() is not None:
        raise RuntimeError(
            "penstock.run() was called within a running event loop, and each worker makes its own; " + _GUARD
        )
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("penstock.run() must be called in the main thread, which is where signals arrive")


def _hazards() -> list[str]:
    """Say what this process has that its children will not have."""
    # Here and not above: it brings the data plane.
    from penstock.master.preload import hazards  # noqa: PLC0415

    others = [each for each in threading.enumerate() if each is not threading.main_thread()]
    return list(hazards(started=others))


def _serve(invocation: Invocation) -> int:
    from penstock.master.cli import open_standard_streams  # noqa: PLC0415
    from penstock.master.main import EXIT_CONFIG, serve  # noqa: PLC0415

    open_standard_streams()
    keep_signals_for_later()
    claim_sockets(os.environ)
    environ = dict(os.environ)
    try:
        return serve(invocation, environ)
    except ConfigError as error:
        count = len(error.problems)
        print(error, file=sys.stderr)
        print(
            f"penstock: {count} {'problem' if count == 1 else 'problems'}; nothing was started",
            file=sys.stderr,
        )
        return EXIT_CONFIG
