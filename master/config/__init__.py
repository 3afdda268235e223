"""
The configuration: one truth behind file, options and environment.

Pure but for reading files: nothing here binds, forks or logs. `Invocation.load()`
answers a `Config` or raises `ConfigError` with everything that is wrong.
"""

from penstock.master.config.accounts import owner_ids
from penstock.master.config.bind import Bind, FdBind, TcpBind, UnixBind, parse_bind
from penstock.master.config.control_socket import control_directories, control_path, instance_name
from penstock.master.config.invocation import Invocation, Reading
from penstock.master.config.listener import Limits, Listener
from penstock.master.config.model import Admin, Config
from penstock.master.config.problems import ConfigError, Place, Problem
from penstock.master.config.route import Match, Respond, Route
from penstock.master.config.telling import Log
from penstock.master.config.tls import Tls

__all__ = [
    "Admin",
    "Bind",
    "Config",
    "ConfigError",
    "FdBind",
    "Invocation",
    "Limits",
    "Listener",
    "Log",
    "Match",
    "Place",
    "Problem",
    "Reading",
    "Respond",
    "Route",
    "TcpBind",
    "Tls",
    "UnixBind",
    "control_directories",
    "control_path",
    "instance_name",
    "owner_ids",
    "parse_bind",
]
