"""
Options that are planned and not built yet, which is what they are refused with.
"""

LATER_OPTIONS = frozenset[str]()
