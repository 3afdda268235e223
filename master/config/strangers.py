"""
Configuration files of other servers, which are refused with what each setting is called here.

A Python file is parsed and never executed: what gunicorn's would do is not ours
to do, and a literal says all that the operator needs to hear.
"""

import ast
from pathlib import Path as FilePath
from typing import NoReturn

from penstock.master.config.option import Option
from penstock.master.config.peers import OURS, Alias, Excuse, Refusal, meaning_of
from penstock.master.config.problems import ConfigError, Place, Problem, path_text, quoted

FILE_BYTES_MAX = 1024 * 1024
# What gunicorn reads without being told to.
USUAL_FILE = "gunicorn.conf.py"
PAGE = "docs/switching.md has the names"

# Settings of gunicorn, and then of hypercorn, that are not named as an option is.
FLAGS = {
    "accesslog": "--access-logfile",
    "access_log_format": "--access-logformat",
    "asgi_disconnect_grace_period": "--asgi-disconnect-grace-period",
    "control_socket_disable": "--no-control-socket",
    "dirty_apps": "--dirty-app",
    "errorlog": "--error-logfile",
    "forwarded_allow_ips": "--forwarded-allow-ips",
    "keepalive": "--keep-alive",
    "limit_request_field_size": "--limit-request-field_size",
    "logconfig": "--log-config",
    "logconfig_json": "--log-config-json",
    "loglevel": "--log-level",
    "pidfile": "--pid",
    "preload_app": "--preload",
    "proc_name": "--name",
    "proxy_allow_ips": "--proxy-allow-from",
    "raw_env": "--env",
    "raw_paste_global_conf": "--paste-global",
    "reload_extra_files": "--reload-extra-file",
    "sendfile": "--no-sendfile",
    "syslog": "--log-syslog",
    "syslog_addr": "--log-syslog-to",
    "syslog_facility": "--log-syslog-facility",
    "syslog_prefix": "--log-syslog-prefix",
    "uwsgi_allow_ips": "--uwsgi-allow-from",
    "include_date_header": "--date-header",
    "include_server_header": "--server-header",
    "insecure_bind": "--insecure-bind",
    "keep_alive_timeout": "--timeout-keep-alive",
    "pid_path": "--pidfile",
    "quic_bind": "--quic-bind",
    "server_names": "--server-name",
    "shutdown_timeout": "--timeout-graceful-shutdown",
    "startup_timeout": "--timeout-worker-startup",
    "use_reloader": "--reload",
    "h11_max_incomplete_size": "--limit-request-header-bytes",
}
_HOOK = (
    "there are no server hooks; what a worker needs goes into the app's lifespan, "
    "and --preload imports the app in the master"
)
_HOOKS = (
    "on_starting on_reload when_ready pre_fork post_fork post_worker_init worker_int worker_abort pre_exec "
    "pre_request post_request child_exit worker_exit nworkers_changed on_exit ssl_context on_dirty_starting "
    "dirty_post_fork dirty_worker_init dirty_worker_exit"
)
_HTTP2 = "HTTP/2 is not supported yet"
WORDS = {
    **dict.fromkeys(_HOOKS.split(), _HOOK),
    "alpn_protocols": _HTTP2,
    "alt_svc_headers": "write `headers` of a listener",
    "config": "write `-c FILE`, a YAML file",
    "default_proc_name": "write `name`",
    "h11_pass_raw_headers": "names of headers are in lower case, as ASGI has them",
    "h2_max_concurrent_streams": _HTTP2,
    "h2_max_header_list_size": _HTTP2,
    "h2_max_inbound_frame_size": _HTTP2,
    "keep_alive_max_requests": "a connection may carry any number of requests",
    "logconfig_dict": "write `log.config`",
    "max_app_queue_size": "a slow app slows its client down; there is nothing to set",
    "secure_scheme_headers": "X-Forwarded-Proto and Forwarded are read from trusted proxies",
    "ssl_handshake_timeout": "it has no meaning here",
    "tmp_upload_dir": "request bodies are streamed and never stored",
    "verify_flags": "write `tls` of a listener",
    "wsgi_app": "write it as APP on the command line, or as `app` of a route",
    "wsgi_max_body_size": "write `limits.body_bytes`",
}


def refuse_stranger(file: str, shown: str) -> None:
    """Raise ConfigError for a file of another server, with what its settings are called here."""
    if file.endswith(".toml"):
        told = f"is TOML, which hypercorn reads; expected YAML; {PAGE} for each setting"
        raise ConfigError([Problem(Place(shown), (), told)])
    if file.endswith(".py"):
        _refuse_python(file, shown)
    if shown.startswith(("python:", "file:")):
        told = f"names a Python module, which is not executed; expected a YAML file; {PAGE} for each setting"
        raise ConfigError([Problem(Place(shown), (), told)])


def _refuse_python(file: str, shown: str) -> NoReturn:
    told = f"is Python, which gunicorn would execute and Penstock does not; expected YAML; {PAGE}"
    problems = [Problem(Place(shown), (), told)]
    try:
        with FilePath(file).open("rb") as stream:
            module = ast.parse(stream.read(FILE_BYTES_MAX))
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        raise ConfigError(problems) from None
    for statement in module.body:
        place = Place(shown, statement.lineno, statement.col_offset + 1)
        for name, value in _settings(statement):
            advice = advice_on(name)
            if advice is not None:
                problems.append(Problem(place, (), f"{name}{_shown(value)}: {advice}"))
    raise ConfigError(problems)


def _settings(statement: ast.stmt) -> list[tuple[str, ast.expr | None]]:
    """List the names that a statement gives a value; functions have none."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
        return [(statement.name, None)]
    if isinstance(statement, ast.AnnAssign):
        targets: list[ast.expr] = [statement.target]
    elif isinstance(statement, ast.Assign):
        targets = statement.targets
    else:
        return []
    found: list[tuple[str, ast.expr | None]] = []
    for target in targets:
        if isinstance(target, ast.Name):
            found.append((target.id, statement.value))
        elif isinstance(target, ast.Tuple) and isinstance(statement.value, ast.Tuple):
            pairs = zip(target.elts, statement.value.elts, strict=False)
            found += [(each.id, value) for each, value in pairs if isinstance(each, ast.Name)]
    return found


def _shown(value: ast.expr | None) -> str:
    if value is None:
        return "()"
    if isinstance(value, ast.Constant):
        return f" = {value.value!r}" if len(repr(value.value)) < 60 else " = ..."
    return f" = {quoted(ast.unparse(value))[1:-1]}"


def advice_on(setting: str) -> str | None:
    """Say what a setting of gunicorn or hypercorn is called here; None: neither has it."""
    if setting in WORDS:
        return WORDS[setting]
    flag = FLAGS.get(setting) or "--" + setting.replace("_", "-")
    match meaning_of(flag):
        case Option() as option:
            return _write(option)
        case Alias() as alias:
            return _write(OURS[alias.flag])
        case Excuse() as excuse:
            return excuse.told or excuse.refused or "it has no meaning here"
        case Refusal() as refusal:
            return refusal.told
    return None


def _write(option: Option) -> str:
    if option.name in {"bind", "host", "port"}:
        return f"write {option.flags[0]}, or 'listeners[].bind' in a file"
    if option.path is None:
        return f"write {option.flags[0]}"
    return f"write {option.flags[0]}, or {key_of(option)!r} in a file"


def key_of(option: Option) -> str:
    """
    Name the key of an option as the docs do.

    >>> key_of(OURS["--backlog"])
    'listeners[].backlog'
    """
    assert option.path is not None
    return path_text(option.path).replace(".*", "[]")
