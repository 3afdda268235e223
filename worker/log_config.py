"""
The configuration of Python's logging that the operator brings, in the ways they write it.

A dictionary for `logging.config.dictConfig`, or the text of an ini file under the
one key INI. Files that were written for another server name its loggers: what is
said of those holds for ours, unless ours is named too.
"""

import logging.config
from collections.abc import Mapping
from configparser import RawConfigParser
from typing import Any, Final

# The key under which the text of an ini file stands, beside the version that every dictionary has.
INI: Final = "ini"

OURS: Final = "penstock"
# What others call the log of the server itself, and whose logger stands above theirs.
_PEERS: Final = (("uvicorn", "uvicorn.error"), ("gunicorn.error",), ("hypercorn.error",), ("_granian",))


def apply_log_config(config: Mapping[str, Any]) -> None:
    """Configure Python's logging. Raises ValueError and others for what makes no sense."""
    # By default every logger would be silenced that it does not name, ours first.
    if INI in config:
        parser = RawConfigParser()
        parser.read_string(config[INI])
        logging.config.fileConfig(parser, disable_existing_loggers=False)
    else:
        logging.config.dictConfig({"disable_existing_loggers": False} | with_ours(config))


def with_ours(config: Mapping[str, Any]) -> dict[str, Any]:
    """Have what is said of another server's log hold for ours."""
    loggers = config.get("loggers")
    if not isinstance(loggers, Mapping) or OURS in loggers:
        return dict(config)
    for names in _PEERS:
        said = [loggers[name] for name in names if isinstance(loggers.get(name), Mapping)]
        if said:
            merged = {key: value for each in said for key, value in each.items()}
            return dict(config) | {"loggers": dict(loggers) | {OURS: merged}}
    return dict(config)
