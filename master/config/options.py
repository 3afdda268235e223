"""
The options of the command line, as a table: what each is called and which key it sets.

The command line, the PENSTOCK_* variables, the help text and the docs are all
made from it, so a new key needs one line here to be an option everywhere.
"""

from penstock.master.config.option import Option

# Stands for every listener in the path of an option.
EACH = "*"
LIMITS = ("listeners", EACH, "limits")


# What the values of --ws mean here: others have a choice of libraries.
WEBSOCKETS = {"auto": "true", "websockets": "true", "websockets-sansio": "true", "wsproto": "true"}
# Those of --proxy-protocol: which version comes is seen.
PROXY_PROTOCOL = {
    **dict.fromkeys(("auto", "1", "v1", "v2"), "true"),
    **dict.fromkeys(("off", "0", "none"), "false"),
}
WEBSOCKET = ("listeners", EACH, "websocket")

WHERE = "Where to listen"
PROCESSES = "Processes"
APPS = "Applications"
EDGE = "TLS and proxies"
DEVELOPING = "Development"
LIMITING = "Limits and timeouts"
LOGGING = "Logging"
TRACING = "Tracing"
FILES = "Files and identity"

_LEVELS = ("critical", "error", "warning", "info", "debug")
LEVELS = {level: level for level in _LEVELS} | {
    "fatal": "critical",
    "warn": "warning",
    "trace": "debug",
    "notset": "debug",
    # As Python's logging numbers them.
    **{str(number): level for number, level in zip(range(50, 0, -10), _LEVELS, strict=True)},
    "5": "debug",
    "0": "debug",
}

OPTIONS = (
    Option(("--host",), "Address to listen on. Default: 127.0.0.1.", WHERE, metavar="HOST"),
    Option(("--port",), "Port to listen on. Default: 8000, or $PORT.", WHERE, metavar="PORT"),
    Option(("--uds",), "Listen on a UNIX socket.", WHERE, metavar="PATH"),
    Option(("--fd",), "Listen on an inherited descriptor, by number or name.", WHERE, metavar="N"),
    Option(
        ("--bind", "-b"),
        "host:port, :port, [::]:port, unix:/path or fd:3; may be given more than once.",
        WHERE,
        metavar="ADDR",
        is_repeatable=True,
    ),
    Option(
        ("--backlog",),
        "Length of each accept queue. Default: 2048.",
        WHERE,
        ("listeners", EACH, "backlog"),
        "N",
    ),
    Option(
        ("--uds-permissions",),
        "Permissions of a UNIX socket, in octal.",
        WHERE,
        ("listeners", EACH, "uds_permissions"),
        "MODE",
    ),
    Option(
        ("--admin-bind",),
        "Where metrics, probes and status are served; none: nowhere. Default: 127.0.0.1:9180.",
        WHERE,
        ("admin", "bind"),
        "ADDR|none",
    ),
    Option(("--control",), "The control socket.", WHERE, ("control",), "PATH"),
    Option(
        ("--workers", "-w"),
        "Worker processes. Default: auto, one per usable core.",
        PROCESSES,
        ("workers",),
        "N|auto",
    ),
    Option(("--pin",), "Bind each worker to one core. Default: on.", PROCESSES, ("pin",), off=("--no-pin",)),
    Option(
        ("--timeout-graceful-shutdown", "--graceful-timeout"),
        "How long a stopping worker may finish what is in flight. Default: 30.",
        PROCESSES,
        ("drain_timeout",),
        "SECONDS",
        in_seconds=True,
    ),
    Option(
        ("--timeout-stream-drain",),
        "After so long in a drain, endless responses are told to end. Default: 5.",
        PROCESSES,
        ("stream_drain_timeout",),
        "SECONDS",
        in_seconds=True,
    ),
    Option(
        ("--shutdown-delay",),
        "Not ready, but still accepting, for so long before a stop drains. Default: 0.",
        PROCESSES,
        ("shutdown_delay",),
        "SECONDS",
        in_seconds=True,
    ),
    Option(
        ("--limit-max-requests", "--max-requests"),
        "Replace a worker after about so many requests. Default: never.",
        PROCESSES,
        ("recycle", "max_requests"),
        "N",
    ),
    Option(
        ("--limit-max-requests-jitter", "--max-requests-jitter"),
        "By how many more requests workers differ, at most. Default: a tenth.",
        PROCESSES,
        ("recycle", "max_requests_jitter"),
        "N",
    ),
    Option(
        ("--workers-lifetime",),
        "Replace a worker after this time. Default: never.",
        PROCESSES,
        ("recycle", "lifetime"),
        "SECONDS",
        in_seconds=True,
    ),
    Option(
        ("--workers-max-rss",),
        "Replace a worker whose resident memory is more than this. Default: never.",
        PROCESSES,
        ("recycle", "max_rss"),
        "SIZE",
    ),
    Option(
        ("--timeout-worker-suspect",),
        "After so long new connections of a blocked worker go to others; 0: never. Default: 1.",
        PROCESSES,
        ("worker_suspect_timeout",),
        "SECONDS",
        in_seconds=True,
    ),
    Option(
        ("--timeout", "-t"),
        "After so long a blocked worker is replaced; 0: never. Default: 60.",
        PROCESSES,
        ("worker_timeout",),
        "SECONDS",
        in_seconds=True,
    ),
    Option(
        ("--timeout-worker-startup",),
        "How long a worker may take to import APP and start; 0: any time. Default: 120.",
        PROCESSES,
        ("worker_startup_timeout",),
        "SECONDS",
        in_seconds=True,
    ),
    Option(
        ("--slow-request",),
        "Requests that take so long are kept for `penstock status --slow`. Default: 1.",
        LOGGING,
        ("slow_request",),
        "SECONDS",
        in_seconds=True,
    ),
    Option(
        ("--name", "-n"),
        "What the running server is called. Default: its port.",
        PROCESSES,
        ("name",),
        "NAME",
    ),
    Option(
        ("--preload",),
        "Import APP once, before workers are forked, so that they share its memory.",
        APPS,
        ("preload",),
        off=("--no-preload",),
    ),
    Option(
        ("--app-dir",), "Put first on sys.path before APP is imported. Default: .", APPS, ("app_dir",), "DIR"
    ),
    Option(("--factory",), "APP is a function that returns the application.", APPS, off=("--no-factory",)),
    Option(
        ("--reset-contextvars",),
        "Have each request start without the context variables that the lifespan set.",
        APPS,
        ("reset_contextvars",),
        is_flag=True,
    ),
    Option(
        ("--env", "-e"),
        "Set an environment variable; may be given more than once.",
        APPS,
        metavar="NAME=VALUE",
        is_repeatable=True,
        is_pairs=True,
    ),
    Option(
        ("--pythonpath",),
        "Directories, separated by commas, to put on sys.path before APP is imported.",
        APPS,
        metavar="DIRS",
    ),
    Option(
        ("--header",),
        "Put a header on every response; may be given more than once.",
        APPS,
        ("listeners", EACH, "headers"),
        "NAME:VALUE",
        is_repeatable=True,
        is_pairs=True,
    ),
    Option(
        ("--server-header",),
        "Put a Server header on responses. Default: on.",
        APPS,
        ("listeners", EACH, "server_header"),
        off=("--no-server-header",),
    ),
    Option(
        ("--date-header",),
        "Put a Date header on responses. Default: on.",
        APPS,
        ("listeners", EACH, "date_header"),
        off=("--no-date-header",),
    ),
    Option(
        ("--static",),
        "Serve the files of a folder below a path, such as /static=./public; APP is not needed then.",
        APPS,
        metavar="PREFIX=DIR",
        is_repeatable=True,
    ),
    Option(
        ("--static-path-mount",),
        "The same, as granian has it: the folder.",
        APPS,
        metavar="DIR",
        is_repeatable=True,
    ),
    Option(
        ("--static-path-route",),
        "And the path that it is served below. Default: /static.",
        APPS,
        metavar="PREFIX",
        is_repeatable=True,
    ),
    Option(
        ("--interface",),
        "What APP is called with. Default: auto, found out by looking.",
        APPS,
        metavar="auto|asgi3|asgi2|wsgi",
    ),
    Option(
        ("--threads",),
        "Threads of each worker for WSGI apps. Default: 10.",
        PROCESSES,
        ("threads",),
        "N",
    ),
    Option(
        ("--lifespan",), "Use the ASGI lifespan protocol. Default: auto.", APPS, ("lifespan",), "auto|on|off"
    ),
    Option(
        ("--root-path",), "The prefix under which a proxy in front serves APP.", APPS, ("root_path",), "PATH"
    ),
    Option(
        ("--compression",),
        "Compress responses for clients that accept it. Default: off.",
        APPS,
        ("compression",),
        off=("--no-compression",),
    ),
    Option(
        ("--ssl-certfile", "--certfile", "--ssl-certificate"),
        "Speak TLS, with this certificate and the chain above it, in PEM.",
        EDGE,
        metavar="FILE",
    ),
    Option(
        ("--ssl-keyfile", "--keyfile"),
        "Its private key. Default: in the file of the certificate.",
        EDGE,
        metavar="FILE",
    ),
    Option(
        ("--ssl-keyfile-password",),
        "What the key is encrypted with. Better as a variable: a command line can be seen.",
        EDGE,
        metavar="PASSWORD",
    ),
    Option(
        ("--ssl-ca-certs", "--ca-certs", "--ssl-ca"),
        "Who may issue clients' certificates, in PEM.",
        EDGE,
        metavar="FILE",
    ),
    Option(
        ("--ssl-cert-reqs", "--cert-reqs"),
        "Whether clients are asked for a certificate. Default: none.",
        EDGE,
        metavar="none|optional|required",
    ),
    Option(
        ("--ssl-ciphers", "--ciphers"), "Ciphers of TLS 1.2, as OpenSSL writes them.", EDGE, metavar="LIST"
    ),
    Option(
        ("--ssl-version", "--ssl-protocol-min"),
        "The oldest version that is spoken. Default: 1.2.",
        EDGE,
        metavar="1.2|1.3",
    ),
    Option(
        ("--proxy-headers",),
        "Believe X-Forwarded-For and X-Forwarded-Proto of trusted proxies. Default: on.",
        EDGE,
        off=("--no-proxy-headers",),
    ),
    Option(
        ("--forwarded-allow-ips",),
        "Trusted proxies: addresses, networks, unix: or *. Default: 127.0.0.1,::1,unix:.",
        EDGE,
        metavar="LIST",
    ),
    Option(
        ("--proxy-protocol",),
        "Connections of proxies begin with a PROXY header, version 1 or 2. Default: off.",
        EDGE,
        ("listeners", EACH, "proxy_protocol"),
        "auto|off",
        bare="auto",
        words=PROXY_PROTOCOL,
        approximate=frozenset({"v1", "v2"}),
    ),
    Option(
        ("--proxy-allow-from",),
        "Those proxies: addresses, networks, unix: or *. Default: as --forwarded-allow-ips.",
        EDGE,
        metavar="LIST",
    ),
    Option(
        ("--reload",),
        "Replace the workers when the code changes. Then 1 worker and the access log are the default.",
        DEVELOPING,
        ("reload",),
        off=("--no-reload",),
    ),
    Option(
        ("--reload-dir", "--reload-paths"),
        "Watch this directory in place of the working one; may be given more than once.",
        DEVELOPING,
        ("reload", "dirs"),
        "DIR",
        is_repeatable=True,
    ),
    Option(
        ("--reload-include", "--reload-extra-file"),
        "Files that count beside *.py: a pattern, a file or a directory; may be given more than once.",
        DEVELOPING,
        ("reload", "include"),
        "GLOB",
        is_repeatable=True,
    ),
    Option(
        ("--reload-exclude", "--reload-ignore-dirs", "--reload-ignore-paths"),
        "Files and directories that do not count: a pattern or a path; may be given more than once.",
        DEVELOPING,
        ("reload", "exclude"),
        "GLOB",
        is_repeatable=True,
    ),
    Option(
        ("--reload-delay",),
        "How long nothing more must change before a reload. Default: 0.25.",
        DEVELOPING,
        ("reload", "delay"),
        "SECONDS",
        in_seconds=True,
    ),
    Option(
        ("--reload-engine",),
        "How changes are noticed. Default: auto, by kernel events if watchfiles is installed.",
        DEVELOPING,
        ("reload", "engine"),
        "auto|inotify|poll",
    ),
    Option(
        ("--timeout-keep-alive", "--keep-alive"),
        "How long an idle connection is kept. Default: 75.",
        LIMITING,
        (*LIMITS, "keep_alive_timeout"),
        "SECONDS",
        in_seconds=True,
    ),
    Option(
        ("--timeout-request-header",),
        "How long the headers of a request may take. Default: 10.",
        LIMITING,
        (*LIMITS, "header_timeout"),
        "SECONDS",
        in_seconds=True,
    ),
    Option(
        ("--timeout-request-body",),
        "How long a client may pause within a body. Default: 30.",
        LIMITING,
        (*LIMITS, "body_timeout"),
        "SECONDS",
        in_seconds=True,
    ),
    Option(
        ("--timeout-send",),
        "How long a client may take nothing of a response. Default: 60.",
        LIMITING,
        (*LIMITS, "send_timeout"),
        "SECONDS",
        in_seconds=True,
    ),
    Option(
        ("--limit-request-header-bytes", "--h11-max-incomplete-event-size"),
        "Request line and headers together. Default: 16KiB.",
        LIMITING,
        (*LIMITS, "header_bytes"),
        "SIZE",
    ),
    Option(
        ("--limit-request-header-count", "--limit-request-fields"),
        "Number of headers. Default: 100.",
        LIMITING,
        (*LIMITS, "header_count"),
        "N",
    ),
    Option(
        ("--limit-request-body",),
        "Size of a request body. Default: none.",
        LIMITING,
        (*LIMITS, "body_bytes"),
        "SIZE|none",
    ),
    Option(
        ("--limit-request-body-rate",),
        "Bytes of a request body a second, at least. Default: 240.",
        LIMITING,
        (*LIMITS, "body_rate"),
        "SIZE|none",
    ),
    Option(
        ("--limit-concurrency",),
        "Requests at work at a time, in each worker; beyond: 503. Default: none.",
        LIMITING,
        (*LIMITS, "concurrency"),
        "N|none",
    ),
    Option(
        ("--queue-timeout",),
        "How long requests beyond --limit-concurrency wait for their turn. Default: 0.",
        LIMITING,
        (*LIMITS, "queue_timeout"),
        "SECONDS",
        in_seconds=True,
    ),
    Option(
        ("--ws",),
        "WebSockets: auto, or none to switch them off. Default: auto.",
        LIMITING,
        WEBSOCKET,
        "auto|none",
        words=WEBSOCKETS,
        approximate=frozenset({"wsproto"}),
    ),
    Option(
        ("--ws-max-size",),
        "Size of a WebSocket message. Default: 16MiB.",
        LIMITING,
        (*WEBSOCKET, "max_message"),
        "SIZE",
    ),
    Option(
        ("--ws-max-queue",),
        "So many of them wait for the app before reading stops. Default: 32.",
        LIMITING,
        (*WEBSOCKET, "max_queue"),
        "N",
    ),
    Option(
        ("--ws-ping-interval",),
        "How often clients of WebSockets are pinged; none: never. Default: 20.",
        LIMITING,
        (*WEBSOCKET, "ping_interval"),
        "SECONDS|none",
        in_seconds=True,
    ),
    Option(
        ("--ws-ping-timeout",),
        "How long nothing may come after a ping; none: for ever. Default: 20.",
        LIMITING,
        (*WEBSOCKET, "ping_timeout"),
        "SECONDS|none",
        in_seconds=True,
    ),
    Option(
        ("--ws-per-message-deflate",),
        "Compress WebSocket messages for clients that offer it. Default: true.",
        LIMITING,
        (*WEBSOCKET, "deflate"),
        "true|false",
    ),
    Option(
        ("--log-level",),
        "critical, error, warning, info or debug.",
        LOGGING,
        ("log", "level"),
        "LEVEL",
        words=LEVELS,
        approximate=frozenset({"trace", "notset", "0", "5"}),
    ),
    Option(
        ("--log-file", "--error-logfile"),
        "Where to log; opened again on USR1. Default: standard error.",
        LOGGING,
        ("log", "path"),
        "PATH",
    ),
    Option(
        ("--log-config",),
        "A JSON, YAML or ini file for Python's logging.config.",
        LOGGING,
        ("log", "config"),
        "FILE",
    ),
    Option(
        ("--use-colors",),
        "Colour the log and the access log. Default: on a terminal.",
        LOGGING,
        ("log", "colors"),
        off=("--no-use-colors",),
    ),
    Option(
        ("--tracing-endpoint",),
        "Send OpenTelemetry spans here, such as http://127.0.0.1:4318/v1/traces; none: nowhere.",
        TRACING,
        ("tracing", "endpoint"),
        "URL|none",
    ),
    Option(
        ("--tracing-sample",),
        "Of how many requests, 0 to 1. Default: 1, or as the caller has decided.",
        TRACING,
        ("tracing", "sample"),
        "RATIO",
    ),
    Option(
        ("--access-log",),
        "Write a line for each request to standard output. Default: off.",
        LOGGING,
        ("log", "access"),
        off=("--no-access-log",),
    ),
    Option(
        ("--access-log-file", "--access-logfile"),
        "Write it there; opened again on USR1.",
        LOGGING,
        ("log", "access", "path"),
        "PATH|-",
    ),
    Option(
        ("--access-log-format", "--access-logformat"),
        "How its lines look; atoms are gunicorn's, such as %(r)s. Default: text.",
        LOGGING,
        ("log", "access", "format"),
        "text|json|ATOMS",
    ),
    Option(
        ("--request-id",),
        "Give each request an X-Request-ID, unless it has one. Default: off.",
        LOGGING,
        ("request_id",),
        off=("--no-request-id",),
    ),
    Option(("--config", "-c"), "A configuration file.", FILES, metavar="FILE"),
    Option(("--env-file",), "Read environment variables from a file first.", FILES, metavar="FILE"),
    Option(("--chdir",), "Change to this directory first.", FILES, metavar="DIR"),
    Option(("--pidfile", "-p", "--pid"), "Write the master's process id here.", FILES, ("pidfile",), "PATH"),
    Option(
        ("--umask", "-m"), "Mask of files and sockets that are made, in octal.", FILES, ("umask",), "MODE"
    ),
    Option(("--user", "-u"), "User of the workers.", FILES, ("user",), "USER"),
    Option(("--group", "-g"), "Group of the workers.", FILES, ("group",), "GROUP"),
)

BY_NAME = {option.name: option for option in OPTIONS}
