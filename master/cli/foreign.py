"""
Options that are planned and not built yet, which is what they are refused with.
"""

_LATER = """
--http1-keep-alive --interface --limit-request-field_size --limit-request-line --proxy-protocol
--no-reload --reload --reload-delay --reload-dir --reload-engine --reload-exclude --reload-extra-file
--reload-include --threads --timeout-worker-startup --use-colors --no-use-colors
--ws --ws-max-queue --ws-max-size
--ws-per-message-deflate --ws-ping-interval --ws-ping-timeout
"""
LATER_OPTIONS = frozenset(_LATER.split())
