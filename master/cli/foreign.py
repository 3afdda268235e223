"""
Options of other servers, and of ours to come: refused or excused by name.

Nothing that an operator asks for is dropped in silence. What is planned says
"not supported yet"; what has no meaning here is accepted and warned about.
"""

_LATER = """
--certfile --capture-output
--date-header --no-date-header --ech-key --env -e --forwarded-allow-ips
--h11-max-incomplete-event-size --header --http1-keep-alive --initgroups --interface --keyfile
--limit-concurrency --limit-request-field_size --limit-request-line --no-proxy-headers
--no-server-header --paste --proxy-headers --proxy-protocol --pythonpath --queue-timeout
--reset-contextvars --reuse-port --server-header --ssl-ca-certs
--ssl-cert-reqs --ssl-certfile --ssl-certificate --ssl-ciphers --ssl-keyfile --ssl-keyfile-password
--ssl-version --static --static-path-mount --statsd-host --threads
--timeout-worker-healthcheck --umask -m
--worker-connections --workers-kill-timeout --ws --ws-max-queue --ws-max-size
--ws-per-message-deflate --ws-ping-interval --ws-ping-timeout
"""
LATER_OPTIONS = frozenset(_LATER.split())

# Option: what it is that ours do in another way.
INSTEAD = {
    "--check-config": "write: penstock check",
    "--daemon": "Penstock stays in the foreground; a supervisor such as systemd puts it in the background",
    "-D": "Penstock stays in the foreground; a supervisor such as systemd puts it in the background",
    "--print-config": "write: penstock check",
    "--reload-ignore-patterns": "write --reload-exclude, which takes patterns such as *_test.py",
    "--reload-ignore-worker-failure": "under --reload a worker that fails to start never ends the server",
    "--reload-tick": "write --reload-delay, in seconds",
}

# Accepted without effect: the flags, and the values that are what Penstock does anyway.
IDLE_OPTIONS: tuple[tuple[tuple[str, ...], frozenset[str]], ...] = (
    (("--loop",), frozenset({"auto", "uvloop"})),
    (("--http",), frozenset({"auto", "httptools"})),
    (("--worker-class", "-k"), frozenset()),
)
