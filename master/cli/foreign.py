"""
Options that are planned and not built yet, which is what they are refused with.
"""

_LATER = """
--limit-request-field_size --limit-request-line --proxy-protocol
"""
LATER_OPTIONS = frozenset(_LATER.split())
