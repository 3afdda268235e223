"""
What the options of uvicorn, gunicorn, granian and hypercorn mean here.

Each is a spelling of one of ours, or is accepted with a word on why it changes
nothing, or is refused with a word on what to do instead; nothing that an
operator asks for is dropped in silence. Where two of these servers mean
different things by one name, uvicorn wins.
"""

from dataclasses import dataclass

from penstock.master.config.option import Option
from penstock.master.config.options import OPTIONS


@dataclass(frozen=True, slots=True)
class Alias:
    """
    Another name of `flag`, which is ours.

    `value`: it takes none, and stands for this one. `unit`: it counts in that,
    and ours does not.
    """

    flag: str
    value: str | None = None
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Excuse:
    """
    Accepted without effect, which `told` explains; the `natural` values need no word.

    `refused`: other values are an error after all, and this says why.
    """

    told: str = ""
    natural: frozenset[str] = frozenset()
    is_flag: bool = False
    refused: str = ""

    def answer(self, flag: str, value: str, said: str = "") -> str:
        """Say why it changes nothing, or nothing where Penstock does just that. `said`: both, as written."""
        if value in self.natural:
            return ""
        if self.told:
            return f"{said or flag} is ignored: {self.told}"
        return f"{said or f'{flag} {value}'} has no meaning here"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Not accepted; `told` says what to do instead."""

    told: str

    def answer(self, flag: str) -> str:
        """Say so."""
        return f"there is no option {flag}: {self.told}"


Meaning = Option | Alias | Excuse | Refusal


def _natural(*values: str, told: str = "", refused: str = "") -> Excuse:
    return Excuse(told, frozenset(values), refused=refused)


def _flag(told: str) -> Excuse:
    return Excuse(told, is_flag=True)


_LOOP = _natural("auto", "uvloop")
_STATSD = Excuse("nothing is sent to StatsD; Prometheus finds all numbers at /metrics of --admin-bind")
_SYSLOG = Refusal(
    "log to standard error, which systemd and Docker pass on, or give a SysLogHandler to --log-config"
)
_LENIENT = Refusal("requests are judged strictly, because proxies in front may read lenient ones otherwise")
_DIRTY = Refusal("there is no second pool of workers; a task queue such as Celery or dramatiq does that work")
_PASTE = Refusal(
    "write a module with `app = paste.deploy.loadapp('config:/path/file.ini')` and serve it as module:app"
)
_RUNTIME = Excuse("a worker is one event loop on one core; --workers sets how many there are")
_HTTP2 = Refusal("HTTP/2 is not supported yet")
_HEAD = Excuse(
    "the request line and all headers have one limit together, "
    "--limit-request-header-bytes, by default 16 KiB"
)
_NOTHING = _flag("that is what Penstock does anyway")
_RSS = Excuse("memory is looked at once a second, see --workers-max-rss")
_FOREGROUND = Refusal(
    "Penstock stays in the foreground; a supervisor such as systemd puts it in the background"
)

ALIASES = {
    "--workers-kill-timeout": Alias("--timeout-graceful-shutdown"),
    "--timeout-worker-healthcheck": Alias("--timeout"),
    "--log-config-json": Alias("--log-config"),
    "--error-log": Alias("--log-file"),
    "--working-dir": Alias("--chdir"),
    "--env-files": Alias("--env-file"),
    "--pid-file": Alias("--pidfile"),
    "--process-name": Alias("--name"),
    "--url-path-prefix": Alias("--root-path"),
    "--control-socket": Alias("--control"),
    "--asgi-lifespan": Alias("--lifespan"),
    "--http1-buffer-size": Alias("--limit-request-header-bytes"),
    "--http1-header-read-timeout": Alias("--timeout-request-header", unit="ms"),
    "--no-http1-keep-alive": Alias("--timeout-keep-alive", "0"),
    "--read-timeout": Alias("--timeout-request-body"),
    "--no-log": Alias("--log-level", "critical"),
    "--debug": Alias("--log-level", "debug"),
    "--no-metrics": Alias("--admin-bind", "none"),
    # Those of what others build; an alias of what is not there yet is not there yet either.
    "--keyfile": Alias("--ssl-keyfile"),
    "--certfile": Alias("--ssl-certfile"),
    "--keyfile-password": Alias("--ssl-keyfile-password"),
    "--ca-certs": Alias("--ssl-ca-certs"),
    "--cert-reqs": Alias("--ssl-cert-reqs"),
    "--verify-mode": Alias("--ssl-cert-reqs"),
    "--ciphers": Alias("--ssl-ciphers"),
    "--ssl-certificate": Alias("--ssl-certfile"),
    "--ssl-ca": Alias("--ssl-ca-certs"),
    "--ssl-client-verify": Alias("--ssl-cert-reqs", "2"),
    "--no-ssl-client-verify": Alias("--ssl-cert-reqs", "0"),
    "--websocket-max-message-size": Alias("--ws-max-size"),
    "--websocket-ping-interval": Alias("--ws-ping-interval"),
    "--blocking-threads": Alias("--threads"),
    "--backpressure": Alias("--limit-concurrency"),
    "--reload-paths": Alias("--reload-dir"),
    "--reload-ignore-dirs": Alias("--reload-exclude"),
    "--reload-ignore-paths": Alias("--reload-exclude"),
    "--reload-tick": Alias("--reload-delay", unit="ms"),
}

EXCUSES = {
    # Event loops, parsers, worker classes.
    "--loop": _LOOP,
    "--asgi-loop": _LOOP,
    "--http": Excuse(natural=frozenset({"auto", "httptools", "1"})),
    "--http-parser": _natural("auto", "fast"),
    "--worker-class": Excuse(),
    "-k": Excuse(),
    "--task-impl": _natural("asyncio"),
    "--runtime-threads": _RUNTIME,
    "--runtime-blocking-threads": _RUNTIME,
    "--runtime-mode": _RUNTIME,
    "--blocking-threads-idle-timeout": Excuse("threads of a WSGI app are kept"),
    "--worker-connections": Excuse(
        "a worker takes as many connections as it has descriptors; "
        "--limit-concurrency limits requests in flight"
    ),
    "--http-protocols": _natural("h1", refused="HTTP/2 is not supported yet"),
    "--http2-cleartext": _natural("off", refused="HTTP/2 is not supported yet"),
    "--protocol": _natural(
        "http", refused="only HTTP is spoken; let nginx's proxy_pass take the place of uwsgi_pass"
    ),
    "--http1-keep-alive": _flag("connections are kept for --timeout-keep-alive"),
    "--http1-pipeline-flush": _NOTHING,
    "--no-http1-pipeline-flush": _NOTHING,
    "--limit-request-line": _HEAD,
    "--limit-request-field_size": _HEAD,
    "--asgi-disconnect-grace-period": Excuse("an app whose client has gone runs on until it returns"),
    # Sockets and processes.
    "--reuse-port": _NOTHING,
    "--initgroups": _NOTHING,
    "--enable-stdio-inheritance": _NOTHING,
    "-R": _NOTHING,
    "--worker-tmp-dir": Excuse("workers show that they are alive in shared memory"),
    "--control-socket-mode": Excuse("the control socket is its owner's alone"),
    "--no-control-socket": _flag(
        "the control socket stays, for its owner alone: `penstock status` and all orders use it"
    ),
    "--respawn-failed-workers": _NOTHING,
    "--no-respawn-failed-workers": _flag("a worker that dies is always replaced"),
    "--respawn-interval": Excuse(
        "a worker that dies is replaced at once, and with growing pauses when it dies young"
    ),
    "--rss-sample-interval": _RSS,
    "--rss-samples": _RSS,
    # Files and TLS.
    "--no-sendfile": _flag("it changes no byte that a client sees"),
    "--suppress-ragged-eofs": _NOTHING,
    "--do-handshake-on-connect": _NOTHING,
    # Logs and numbers.
    "--log": _NOTHING,
    "--capture-output": _flag("what the app prints goes where the server's own standard output and error go"),
    "--disable-redirect-access-to-syslog": _NOTHING,
    "--logger-class": _natural(
        "gunicorn.glogging.Logger", refused="--log-config and --access-log-format say how logs look"
    ),
    "--metrics": _NOTHING,
    "--metrics-scrape-interval": Excuse("numbers are those of the moment at which they are asked for"),
    "--statsd-host": _STATSD,
    "--statsd-prefix": _STATSD,
    "--dogstatsd-tags": _STATSD,
    "--enable-backlog-metric": _flag("the accept queues are always in `penstock status` and at /status"),
    # WSGI.
    "--header-map": _natural(
        "drop", refused="a header whose name has an underscore is never put into a WSGI environ"
    ),
    "--dirty-workers": _natural("0", refused=_DIRTY.told),
    "--no-reload-ignore-worker-failure": _NOTHING,
    "--reload-ignore-worker-failure": _NOTHING,
}

REFUSALS = {
    "--daemon": _FOREGROUND,
    "-D": _FOREGROUND,
    "--check-config": Refusal("write `penstock check`"),  # On the command line it is one of ours.
    "--print-config": Refusal("write `penstock check`, which tells all that is wrong"),
    "--spew": Refusal(
        "write `python -X importtime` or `python -m trace` in front of the app in a test, not of a server"
    ),
    "--paste": _PASTE,
    "--paster": _PASTE,
    "--paste-global": _PASTE,
    "--log-syslog": _SYSLOG,
    "--log-syslog-to": _SYSLOG,
    "--log-syslog-prefix": _SYSLOG,
    "--log-syslog-facility": _SYSLOG,
    "--access-log-fmt": Refusal("write --access-log-format, whose atoms are gunicorn's, such as %(r)s"),
    "--metrics-address": Refusal("write --admin-bind HOST:PORT"),
    "--metrics-port": Refusal("write --admin-bind HOST:PORT"),
    "--uwsgi-allow-from": Refusal("only HTTP is spoken; let nginx's proxy_pass take the place of uwsgi_pass"),
    "--permit-obsolete-folding": _LENIENT,
    "--strip-header-spaces": _LENIENT,
    "--permit-unconventional-http-method": _LENIENT,
    "--permit-unconventional-http-version": _LENIENT,
    "--casefold-http-method": _LENIENT,
    "--forwarder-headers": Refusal(
        "no header becomes SCRIPT_NAME or PATH_INFO; --root-path says where the app is mounted"
    ),
    "--http2": _HTTP2,
    "--http2-max-concurrent-streams": _HTTP2,
    "--http2-initial-window-size": _HTTP2,
    "--http2-max-frame-size": _HTTP2,
    "--http2-max-header-list-size": _HTTP2,
    "--http2-adaptive-window": _HTTP2,
    "--no-http2-adaptive-window": _HTTP2,
    "--http2-initial-connection-window-size": _HTTP2,
    "--http2-initial-stream-window-size": _HTTP2,
    "--http2-keep-alive-interval": _HTTP2,
    "--http2-keep-alive-timeout": _HTTP2,
    "--http2-max-headers-size": _HTTP2,
    "--http2-max-send-buffer-size": _HTTP2,
    "--quic-bind": Refusal("HTTP/3 is not supported"),
    "--insecure-bind": Refusal("write a configuration file with two listeners, one of them without `tls`"),
    "--server-name": Refusal("write a configuration file whose routes have `match: {host: NAME}`"),
    "--ssl-crl": Refusal("revocation lists are not supported"),
    "--no-ws": Refusal("write --ws none"),
    "--dirty-app": _DIRTY,
    "--dirty-timeout": _DIRTY,
    "--dirty-threads": _DIRTY,
    "--dirty-graceful-timeout": _DIRTY,
    "--reload-ignore-patterns": Refusal("write --reload-exclude, which takes glob patterns"),
    "--static-path-dir-to-file": Refusal(
        "write a configuration file with a `files` route, which has an index"
    ),
    "--static-path-expires": Refusal("write a configuration file with a `files` route"),
}

OURS: dict[str, Option] = {flag: option for option in OPTIONS for flag in (*option.flags, *option.off)}


def meaning_of(flag: str) -> Meaning | None:
    """Tell what a flag means; None: nobody has it."""
    if (option := OURS.get(flag)) is not None:
        return option
    return ALIASES.get(flag) or EXCUSES.get(flag) or REFUSALS.get(flag)


def spellings_of(option: Option) -> list[str]:
    """List the names of an option at other servers that need no translation."""
    return [
        flag
        for flag, alias in ALIASES.items()
        if alias.flag in option.flags and alias.value is None and not alias.unit and flag not in OURS
    ]
