"""
Options that are planned and not built yet, which is what they are refused with.
"""

_LATER = """
--ech-key --forwarded-allow-ips --no-reload --ssl-protocol-min --static-path-mount --static-path-route
--h11-max-incomplete-event-size --interface
--limit-concurrency --limit-request-field_size --limit-request-line --no-proxy-headers
--proxy-headers --proxy-protocol --queue-timeout
--reload --reload-delay --reload-dir --reload-engine --reload-exclude --reload-extra-file
--reload-include --ssl-ca-certs
--ssl-cert-reqs --ssl-certfile --ssl-ciphers --ssl-keyfile --ssl-keyfile-password
--ssl-version --static --threads
--timeout-worker-startup --use-colors --no-use-colors
--ws --ws-max-queue --ws-max-size
--ws-per-message-deflate --ws-ping-interval --ws-ping-timeout
"""
LATER_OPTIONS = frozenset(_LATER.split())
