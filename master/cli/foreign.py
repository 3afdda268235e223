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
--reload --reload-delay --reload-dir --reload-engine --reload-exclude --reload-extra-file
--reload-include --reset-contextvars --reuse-port --server-header --ssl-ca-certs
--ssl-cert-reqs --ssl-certfile --ssl-certificate --ssl-ciphers --ssl-keyfile --ssl-keyfile-password
--ssl-version --static --static-path-mount --statsd-host --threads
--timeout-worker-healthcheck --timeout-worker-startup --umask -m --use-colors --no-use-colors
--worker-connections --workers-kill-timeout
"""
LATER_OPTIONS = frozenset(_LATER.split())

# Option: what it is that ours do in another way.
INSTEAD = {
    "--check-config": "write: penstock check",
    "--daemon": "Penstock stays in the foreground; a supervisor such as systemd puts it in the background",
    "-D": "Penstock stays in the foreground; a supervisor such as systemd puts it in the background",
    "--print-config": "write: penstock check",
}

# Accepted without effect: the flags, and the values that are what Penstock does anyway.
IDLE_OPTIONS: tuple[tuple[tuple[str, ...], frozenset[str]], ...] = (
    (("--loop",), frozenset({"auto", "uvloop"})),
    (("--http",), frozenset({"auto", "httptools"})),
    (("--worker-class", "-k"), frozenset()),
)
