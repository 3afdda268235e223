"""
How a load fails: for a reason that whoever started it can mend.
"""


class LoadFailed(Exception):
    """No load could be made: a wrong script, a missing program, nobody at the address."""
