"""
Options that are planned and not built yet, which is what they are refused with.
"""

_LATER = """
--limit-request-field_size --limit-request-line --proxy-protocol
--ws --ws-max-queue --ws-max-size
--ws-per-message-deflate --ws-ping-interval --ws-ping-timeout
"""
LATER_OPTIONS = frozenset(_LATER.split())
