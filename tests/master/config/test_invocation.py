"""Options, variables and the file, laid over each other."""

# ruff: noqa: E501 (a case is one line, however long: it is read against its neighbours)

import os
from pathlib import Path
from typing import Any

import pytest

from penstock.master.config import Config, ConfigError, Invocation, Reading
from penstock.master.config.overlay import WELCOME
from penstock.master.config.reload import Reload
from penstock.master.config.telling import Access, RequestId


def read(app: str | None = None, environ: dict[str, str] | None = None, /, **options: Any) -> Reading:
    given = {name: (value,) if isinstance(value, str) else value for name, value in options.items()}
    return Invocation(given, app).read(environ or {})


def load(app: str | None = None, environ: dict[str, str] | None = None, /, **options: Any) -> Config:
    return read(app, environ, **options).config


def fault(app: str | None = None, environ: dict[str, str] | None = None, /, **options: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        load(app, environ, **options)
    return str(caught.value)


def binds(config: Config) -> list[str]:
    return [each.bind for each in config.listeners]


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "p.yaml"
    path.write_text(
        "workers: 2\nlog: {level: error}\nlisteners:\n"
        "  - {name: main, bind: '127.0.0.1:7000', limits: {header_count: 7}, routes: [{app: 'a:b'}]}\n"
    )
    return str(path)


@pytest.fixture
def two(tmp_path: Path) -> str:
    path = tmp_path / "two.yaml"
    path.write_text(
        "listeners:\n"
        + "".join(f"  - {{bind: '{bind}', routes: [{{app: 'a:b'}}]}}\n" for bind in (":7000", "unix:x"))
    )
    return str(path)


def test_nothing_at_all_serves_the_welcome_service() -> None:
    """
    The first command a newcomer types shows something that works.
    """
    config = load()

    assert binds(config) == ["127.0.0.1:8000"]
    assert [(each.name, each.routes[0].app) for each in config.listeners] == [("web", WELCOME)]


def test_an_app_is_served_at_every_path() -> None:
    """
    `penstock main:app` is a listener with one route.
    """
    (listener,) = load("main:app", factory="true").listeners

    assert [(route.app, route.factory, route.label) for route in listener.routes] == [("main:app", True, "/")]


@pytest.mark.parametrize(
    ("app", "target", "is_factory", "warnings"),
    [
        ("main:make()", "main:make", True, 0),
        ("main:make( )", "main:make", True, 0),
        ("mysite.wsgi", "mysite.wsgi:application", False, 1),
        ("mysite.asgi:app", "mysite.asgi:app", False, 0),
    ],
)
def test_an_app_may_be_named_as_gunicorn_does(app: str, target: str, is_factory: bool, warnings: int) -> None:
    """
    A factory with its parentheses, and a module whose attribute is `application`.
    """
    reading = read(app)
    (listener,) = reading.config.listeners

    assert [(route.app, route.factory) for route in listener.routes] == [(target, is_factory)]
    assert len(reading.warnings) == warnings


@pytest.mark.parametrize(
    "app", ["main", "main.py", "main:make(1)", "mysite.wsgi.py", "a b.c", "main:make()()"]
)
def test_another_name_of_an_app_is_refused(app: str) -> None:
    """
    What is inside the parentheses would have to be executed.
    """
    assert "expected module:attribute" in fault(app)


def test_options_are_read_as_the_file_is() -> None:
    """
    One truth: the same kinds, the same limits, the same records.
    """
    config = load(
        "main:app",
        workers="3",
        pin="false",
        timeout_graceful_shutdown="5",
        timeout_stream_drain="2.5",
        timeout_worker_suspect="1.5",
        timeout="0",
        admin_bind="none",
        name="n",
        control="/c",
        pidfile="/p",
        lifespan="off",
        root_path="/r/",
        app_dir="src",
        log_level="debug",
        log_file="/l",
        backlog="9",
        timeout_keep_alive="1.5",
        timeout_request_header="500ms",
        timeout_request_body="7s",
        timeout_send="8",
        limit_request_body="1MiB",
        limit_request_header_bytes="4096",
        limit_request_header_count="50",
        limit_request_body_rate="1KiB",
        limit_concurrency="60",
        queue_timeout="0.5",
    )

    assert (config.workers, config.pin, config.drain_timeout_s, config.name) == (3, False, 5.0, "n")
    assert config.stream_drain_timeout_s == 2.5
    assert (config.worker_suspect_timeout_s, config.worker_timeout_s) == (1.5, 0.0)
    assert (config.admin_address, config.control, config.pidfile) == (None, "/c", "/p")
    assert (config.lifespan, config.root_path, config.app_dir) == ("off", "/r", "src")
    assert (config.log.level, config.log.path) == ("debug", "/l")
    (listener,) = config.listeners
    limits = listener.limits
    assert listener.backlog == 9
    assert (limits.keep_alive_timeout_s, limits.header_timeout_s, limits.body_timeout_s) == (1.5, 0.5, 7.0)
    assert (limits.send_timeout_s, limits.body_bytes) == (8.0, 1048576)
    assert (limits.header_bytes, limits.header_count) == (4096, 50)
    assert (limits.body_rate, limits.concurrency, limits.queue_timeout_s) == (1024, 60, 0.5)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"host": "0.0.0.0"}, ["0.0.0.0:8000"]),
        ({"host": "::"}, ["[::]:8000"]),
        ({"host": "[::1]", "port": "1"}, ["[::1]:1"]),
        ({"port": "0"}, ["127.0.0.1:0"]),
        ({"host": "localhost", "port": "80"}, ["localhost:80"]),
        ({"uds": "/run/x"}, ["unix:/run/x"]),
        ({"fd": "3"}, ["fd:3"]),
        ({"bind": (":80",)}, ["0.0.0.0:80"]),
        ({"bind": (":80", "unix:/x", "fd://3")}, ["0.0.0.0:80", "unix:/x", "fd:3"]),
    ],
)
def test_an_address_can_be_given_in_every_way_that_people_know(
    options: dict[str, Any], expected: list[str]
) -> None:
    """
    Uvicorn's four options and gunicorn's one.
    """
    assert binds(load("a:b", **options)) == expected


def test_several_addresses_have_names_of_their_own() -> None:
    """
    The names are labels in the metrics.
    """
    config = load("a:b", bind=(":80", ":81", ":82"))

    assert [each.name for each in config.listeners] == ["web", "web-2", "web-3"]


def test_a_unix_socket_gets_its_permissions() -> None:
    """
    They go to the sockets only, where there are other addresses too.
    """
    config = load("a:b", bind=(":80", "unix:/x"), uds_permissions="0660")

    assert [each.uds_permissions for each in config.listeners] == [None, 0o660]


@pytest.mark.parametrize(
    ("environ", "options", "expected"),
    [
        ({"PORT": "9"}, {}, "0.0.0.0:9"),
        ({"PORT": "9"}, {"host": "127.0.0.1"}, "127.0.0.1:9"),
        ({"PORT": "9", "PENSTOCK_HOST": "::1"}, {}, "[::1]:9"),
        ({"PORT": "9", "PENSTOCK_PORT": "8"}, {}, "127.0.0.1:8"),
        ({"PENSTOCK_PORT": "8", "PENSTOCK_HOST": "h"}, {"port": "7"}, "h:7"),
        ({"PENSTOCK_BIND": "h:1"}, {"port": "7"}, "127.0.0.1:7"),
        ({"PENSTOCK_PORT": "8"}, {"bind": "h:1"}, "h:1"),
        ({"PENSTOCK_UDS": "/x", "PORT": "9"}, {}, "unix:/x"),
        ({"PORT": "", "PENSTOCK_PORT": ""}, {}, "127.0.0.1:8000"),
    ],
)
def test_the_address_comes_from_the_strongest_that_gives_one(
    environ: dict[str, str], options: dict[str, Any], expected: str
) -> None:
    """
    Command line, then PENSTOCK_*, then PORT; host and port each on its own.
    """
    assert binds(load("a:b", environ, **options)) == [expected]


def test_several_addresses_in_a_variable_are_separated_by_spaces() -> None:
    """
    The one option that may be given more than once.
    """
    assert binds(load("a:b", {"PENSTOCK_BIND": ":80 unix:/x"})) == ["0.0.0.0:80", "unix:/x"]


def test_the_command_line_wins_over_variables_and_these_over_the_file(file: str) -> None:
    """
    The order that the documentation promises.
    """
    weak, strong = {"WEB_CONCURRENCY": "3"}, {"WEB_CONCURRENCY": "3", "PENSTOCK_WORKERS": "4"}

    assert load(config=file).workers == 2
    assert load(None, weak, config=file).workers == 3
    assert load(None, strong, config=file).workers == 4
    assert load(None, strong, config=file, workers="5").workers == 5
    assert load(None, strong, config=file, workers="auto").workers == "auto"


def test_options_beside_a_file_change_only_what_they_name(file: str) -> None:
    """
    The rest of the same mapping stays.
    """
    config = load(config=file, timeout_keep_alive="5", log_file="/l", admin_bind=":9")

    (listener,) = config.listeners
    assert (listener.limits.header_count, listener.limits.keep_alive_timeout_s) == (7, 5.0)
    assert (config.log.level, config.log.path) == ("error", "/l")
    assert str(config.admin_address) == "0.0.0.0:9"


@pytest.mark.parametrize(
    ("written", "options", "expected"),
    [
        (None, {}, None),
        (None, {"access_log": "true"}, Access()),
        (None, {"access_log": "false"}, None),
        (None, {"access_log_file": "-"}, Access()),
        (None, {"access_log_file": "/a", "access_log": "true"}, Access(path="/a")),
        (None, {"access_log_file": "/a", "access_log": "false"}, None),
        (None, {"access_log_format": "json"}, Access(format="json")),
        ("true", {}, Access()),
        ("false", {}, None),
        ("none", {"access_log": "true"}, Access()),
        ("true", {"access_log_file": "/a"}, Access(path="/a")),
        ("false", {"access_log_file": "/a"}, Access(path="/a")),
        ("{path: /f, exclude: [/x]}", {}, Access(path="/f", exclude=("/x",))),
        ("{path: /f, format: json}", {"access_log": "true"}, Access(path="/f", format="json")),
        ("{path: /f, format: json}", {"access_log_file": "-"}, Access(format="json")),
        ("{path: /f}", {"access_log": "false"}, None),
        ("{redact: [X-Api-Key, query]}", {}, Access(redact=("x-api-key", "query"))),
    ],
)
def test_access_log_is_a_switch_and_a_record(
    tmp_path: Path, written: str | None, options: dict[str, str], expected: Access | None
) -> None:
    """
    A switch leaves what the file says of it; whoever names a part of it wants it; and `off` is the last word.
    """
    path = tmp_path / "p.yaml"
    log = "" if written is None else f"log: {{access: {written}}}\n"
    path.write_text(f"{log}listeners: [{{bind: ':1', routes: [{{app: 'a:b'}}]}}]")

    assert load(config=str(path), **options).log.access_log == expected


@pytest.mark.parametrize(
    ("written", "options", "expected"),
    [
        ("none", {}, None),
        ("none", {"request_id": "true"}, RequestId()),
        ("true", {}, RequestId()),
        ("true", {"request_id": "false"}, None),
        ("{trust: false}", {"request_id": "true"}, RequestId(trust=False)),
        ("{header: X-Trace}", {}, RequestId(header="X-Trace")),
    ],
)
def test_request_ids_are_a_switch_and_a_record(
    tmp_path: Path, written: str, options: dict[str, str], expected: RequestId | None
) -> None:
    """
    In the same way.
    """
    path = tmp_path / "p.yaml"
    path.write_text(f"request_id: {written}\nlisteners: [{{bind: ':1', routes: [{{app: 'a:b'}}]}}]")

    assert load(config=str(path), **options).request_ids == expected


def test_limits_beside_a_file_go_to_every_listener(two: str) -> None:
    """
    Nobody says which one is meant, so all are.
    """
    config = load(config=two, timeout_keep_alive="5", uds_permissions="600")

    assert [each.limits.keep_alive_timeout_s for each in config.listeners] == [5.0, 5.0]
    assert [each.uds_permissions for each in config.listeners] == [None, 0o600]


def test_an_admin_endpoint_closed_in_the_file_is_opened_by_the_option(tmp_path: Path) -> None:
    """
    `admin: none` is a word where the option needs a mapping.
    """
    path = tmp_path / "p.yaml"
    path.write_text("admin: none\nlisteners: [{bind: ':1', routes: [{app: 'a:b'}]}]")

    assert load(config=str(path)).admin_address is None
    assert str(load(config=str(path), admin_bind=":9").admin_address) == "0.0.0.0:9"


@pytest.mark.parametrize(
    ("environ", "options", "expected"),
    [
        ({}, {"port": "80"}, "127.0.0.1:80"),
        ({}, {"host": "::"}, "[::]:7000"),
        ({}, {"bind": "unix:/x"}, "unix:/x"),
        ({"PORT": "9"}, {}, "127.0.0.1:9"),
        ({"PENSTOCK_UDS": "/x"}, {}, "unix:/x"),
    ],
)
def test_an_address_beside_a_file_replaces_that_of_its_one_listener(
    file: str, environ: dict[str, str], options: dict[str, Any], expected: str
) -> None:
    """
    The name and the routes stay.
    """
    (listener,) = load(None, environ, config=file, **options).listeners

    assert (listener.bind, listener.name) == (expected, "main")


def test_port_from_the_platform_is_not_forced_on_a_file_with_several_listeners(two: str) -> None:
    """
    PORT is set by platforms whether or not it is meant; such a file can say ${PORT} itself.
    """
    assert binds(load(None, {"PORT": "9"}, config=two)) == ["0.0.0.0:7000", "unix:x"]


def test_a_file_without_listeners_gives_the_rest_for_an_app(tmp_path: Path) -> None:
    """
    What one machine's servers share, and APP, which each of them has of its own.
    """
    path = tmp_path / "p.yaml"
    path.write_text("workers: 7\n")

    config = load("a:b", config=str(path), port="80")
    assert (config.workers, binds(config)) == (7, ["127.0.0.1:80"])
    assert "found no 'listeners'" in fault(config=str(path))


def test_an_app_and_a_file_with_listeners_exclude_each_other(file: str) -> None:
    """
    Either could be meant.
    """
    assert (
        fault("a:b", config=file)
        == "APP: found APP and a configuration file with listeners, expected one of them"
    )


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"workers": "x"}, "--workers: found 'x', expected an integer from 1 to 1024 or 'auto'"),
        ({"workers": "${N}"}, "--workers: found '${N}', expected an integer from 1 to 1024 or 'auto'"),
        ({"port": "x"}, "--port: found 'x', expected a port from 0 to 65535"),
        ({"port": "70000"}, "--port: found '70000', expected a port from 0 to 65535"),
        ({"host": "a b"}, "--host: found 'a b', expected a host name or an IP address, such as 127.0.0.1 or ::"),
        ({"host": "127.0.0.1:80"}, "--host: found '127.0.0.1:80', expected a host name or an IP address"),
        ({"bind": "80"}, "--bind: found '80', expected host:port, :port, [::]:port, unix:/path or fd:3; did you mean"),
        ({"fd": "3x"}, "--fd: found 'fd:3x', expected the number or the name of a descriptor after fd:"),
        ({"bind": ":1", "port": "2"}, "--port: found both --bind and --port, expected one of them"),
        ({"uds": "/x", "fd": "3"}, "--fd: found both --uds and --fd, expected one of them"),
        ({"bind": (":1", ":1")}, "--bind: found '0.0.0.0:1', the address of listeners[0].bind"),
        ({"timeout_keep_alive": "x"}, "--timeout-keep-alive: found 'x', expected a duration such as 500ms, 30s, 5m or 1h"),
        ({"uds_permissions": "660"}, "--uds-permissions: found no listener on a UNIX socket, expected one"),
        ({"log_level": "loud"}, "--log-level: found 'loud', expected 'critical'"),
        ({"admin_bind": "x"}, "--admin-bind: found 'x', expected host:port"),
        ({"config": "missing.yaml"}, "missing.yaml: no such file"),
        ({"env_file": "missing.env"}, "missing.env: cannot be read: No such file or directory"),
    ],
)  # fmt: skip
def test_a_wrong_option_is_told_by_its_own_name(options: dict[str, Any], told: str) -> None:
    """
    Who typed `--workers x` has never seen a line and a column.
    """
    assert told in fault("a:b" if "config" not in options else None, **options)


@pytest.mark.parametrize(
    ("environ", "told"),
    [
        (
            {"WEB_CONCURRENCY": "many"},
            "WEB_CONCURRENCY: found 'many', expected an integer from 1 to 1024 or 'auto'",
        ),
        ({"PORT": "x"}, "PORT: found 'x', expected a port from 0 to 65535"),
        ({"PENSTOCK_PIN": "maybe"}, "PENSTOCK_PIN: found 'maybe', expected true or false"),
        ({"PENSTOCK_APP": "main"}, "PENSTOCK_APP: found 'main', expected module:attribute"),
    ],
)
def test_a_wrong_variable_is_told_by_its_name(environ: dict[str, str], told: str) -> None:
    """
    It may be set far away from here.
    """
    assert fault(None, environ).startswith(told)


def test_a_switch_can_be_set_by_a_variable() -> None:
    """
    In the ways that other programs take it.
    """
    assert [load("a:b", {"PENSTOCK_PIN": text}).pin for text in ("1", "0", "true", "off")] == [
        True,
        False,
        True,
        False,
    ]
    assert load("a:b", {"PENSTOCK_FACTORY": "1"}).listeners[0].routes[0].factory


def test_an_app_and_a_file_can_be_named_by_variables(file: str) -> None:
    """
    The command line wins here too.
    """
    assert load(None, {"PENSTOCK_APP": "x:y"}).listeners[0].routes[0].app == "x:y"
    assert load("a:b", {"PENSTOCK_APP": "x:y"}).listeners[0].routes[0].app == "a:b"
    assert load(None, {"PENSTOCK_CONFIG": file}).workers == 2
    assert load(None, {"PENSTOCK_APP": "x:y"}, config=file).listeners[0].routes[0].app == "a:b"


def test_a_factory_goes_with_an_app(file: str) -> None:
    """
    Beside a file nobody could say which app is meant.
    """
    assert fault(config=file, factory="true").startswith("--factory: goes with APP")


def test_an_address_needs_a_file_with_one_listener(two: str, file: str) -> None:
    """
    Which one would it replace?
    """
    assert (
        fault(config=two, port="80")
        == "--port: found an address and a file with 2 listeners, expected a file with one"
    )
    assert "found several addresses for the one listener" in fault(config=file, bind=(":1", ":2"))


def test_a_variable_that_means_nothing_is_warned_about() -> None:
    """
    PENSTOCK_WORKRES=4 would be ignored in silence.
    """
    assert read(None, {"PENSTOCK_WORKRES": "4"}).warnings == (
        "PENSTOCK_WORKRES is not a variable of Penstock; did you mean 'PENSTOCK_WORKERS'?",
    )


def test_the_links_that_kubernetes_sets_are_not_taken_for_ours() -> None:
    """
    A Service called "penstock" puts PENSTOCK_PORT=tcp://10.0.0.1:80 into every container beside it.
    """
    reading = read(
        None,
        {
            "PENSTOCK_SERVICE_HOST": "10.0.0.1",
            "PENSTOCK_SERVICE_PORT_HTTP": "80",
            "PENSTOCK_PORT": "tcp://10.0.0.1:80",
            "PENSTOCK_PORT_80_TCP_ADDR": "10.0.0.1",
        },
    )

    assert binds(reading.config) == ["127.0.0.1:8000"]
    assert reading.warnings == (
        "PENSTOCK_PORT='tcp://10.0.0.1:80' is Kubernetes' link to a service, so it is not read",
    )


def test_a_configuration_is_read_anew_each_time(file: str) -> None:
    """
    That is what HUP is for.
    """
    invocation = Invocation({"config": (file,), "port": ("1",)})
    before = invocation.load({})
    Path(file).write_text(Path(file).read_text().replace("workers: 2", "workers: 3"))
    after = invocation.load({})

    assert (before.workers, after.workers) == (2, 3)
    assert binds(before) == binds(after) == ["127.0.0.1:1"]


def test_a_path_means_the_directory_where_it_was_typed(
    file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    After `--chdir`, and at a HUP much later, the file is still the same file.
    """
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path)
    invocation = Invocation({"config": ("p.yaml",), "chdir": ("below",)}, directory=str(tmp_path))
    invocation.enter({})

    assert Path.cwd() == tmp_path / "below"
    assert invocation.load({}).workers == 2
    assert invocation.config_file == str(tmp_path / "p.yaml")


def test_a_directory_that_is_not_there_is_told(tmp_path: Path) -> None:
    """
    Before anything else goes looking in the wrong place.
    """
    invocation = Invocation({"chdir": ("missing",)}, directory=str(tmp_path))
    with pytest.raises(ConfigError, match="--chdir: cannot change to 'missing': No such file or directory"):
        invocation.enter({})


def test_the_starting_directory_keeps_the_symlink_that_the_shell_went_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A deployment switches `current` to the next release; a hot restart has to follow.
    """
    (tmp_path / "release-1").mkdir()
    (tmp_path / "current").symlink_to("release-1")
    monkeypatch.chdir(tmp_path / "current")
    monkeypatch.setenv("PWD", str(tmp_path / "current"))
    assert Invocation().directory == str(tmp_path / "current")

    monkeypatch.setenv("PWD", "/")
    assert Invocation().directory == str(tmp_path / "release-1")


def test_variables_from_a_file_are_read_again(tmp_path: Path) -> None:
    """
    A HUP sees what has changed in the file, and forgets what has gone from it.
    """
    (tmp_path / ".env").write_text("PENSTOCK_WORKERS=2\nPENSTOCK_NAME=one\nWEB_CONCURRENCY=9\n")
    invocation = Invocation({"env_file": (".env",)}, directory=str(tmp_path))
    environ = {"WEB_CONCURRENCY": "3"}

    first = invocation.load(environ)
    assert (first.workers, first.name, environ["WEB_CONCURRENCY"]) == (2, "one", "3")

    (tmp_path / ".env").write_text("PENSTOCK_NAME=two\nWEB_CONCURRENCY=9\n")
    second = invocation.load(environ)
    assert (second.workers, second.name) == (3, "two")
    assert "PENSTOCK_WORKERS" not in environ


def test_a_log_configuration_is_read_from_its_file(tmp_path: Path) -> None:
    """
    JSON, YAML or ini, as uvicorn takes it; `${...}` in it is logging's own.
    """
    file = tmp_path / "log.json"
    file.write_text('{"version": 1, "formatters": {"f": {"format": "${message}", "style": "$"}}}')

    config = load("a:b", log_config=str(file)).log.config
    assert config == {"version": 1, "formatters": {"f": {"format": "${message}", "style": "$"}}}

    for text, told in (
        ("[1]", "expected the path of a JSON, YAML or ini file"),
        ("{}", "found no 'version: 1'"),
        ("{", "not YAML"),
    ):
        file.write_text(text)
        assert told in fault("a:b", log_config=str(file))

    ini = tmp_path / "log.ini"
    ini.write_text("[loggers]\nkeys=root\n[handlers]\nkeys=\n[formatters]\nkeys=\n[logger_root]\nhandlers=\n")
    assert load("a:b", log_config=str(ini)).log.config == {"version": 1, "ini": ini.read_text()}
    for text, told in (
        ("[loggers]\nkeys=root\n", "has no section [handlers] with keys"),
        ("[loggers]\nkeys\n", "log.ini"),
    ):
        ini.write_text(text)
        assert told in fault("a:b", log_config=str(ini))


def test_the_environment_of_the_process_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    What the command line runs with.
    """
    monkeypatch.setenv("PENSTOCK_WORKERS", "6")
    assert "PENSTOCK_WORKERS" in os.environ
    assert Invocation(app="a:b").load().workers == 6


def test_developing_has_other_defaults_and_no_other_rules(tmp_path: Path) -> None:
    """
    One worker, an access log and short drains, unless the operator says otherwise.
    """
    config = load("a:b", reload="true")
    assert (config.workers, config.drain_timeout_s, config.stream_drain_timeout_s) == (1, 5.0, 0.0)
    assert config.log.access_log == Access()
    assert config.reloading == Reload()

    config = load("a:b", reload="true", workers="2", access_log="false", timeout_graceful_shutdown="60")
    assert (config.workers, config.drain_timeout_s) == (2, 60.0)
    assert config.log.access_log is None

    assert load("a:b", reload="false").log.access_log is None
    assert load("a:b", reload="false").reloading is None
    assert load("a:b", reload="true", access_log_file="/a").log.access_log == Access(path="/a")


def test_what_is_watched_is_said_in_several_options_of_a_kind(tmp_path: Path) -> None:
    """
    Each may come more than once; without a reload they begin none, and that is said.
    """
    many = {"reload_dir": (".", str(tmp_path)), "reload_exclude": ("*_test.py",), "reload_delay": ("0.5",)}
    read = Invocation({"reload": ("true",)} | many, "a:b").read({})
    assert read.config.reloading == Reload(dirs=(".", str(tmp_path)), exclude=("*_test.py",), delay_s=0.5)
    assert read.warnings == ()

    read = Invocation(many, "a:b").read({"PENSTOCK_RELOAD_INCLUDE": "*.html *.css"})
    assert read.config.reloading is None
    assert read.warnings == tuple(
        f"{name} has no effect without --reload"
        for name in ("--reload-dir", "PENSTOCK_RELOAD_INCLUDE", "--reload-exclude", "--reload-delay")
    )

    file = tmp_path / "p.yaml"
    file.write_text("reload: {include: ['*.html']}\n")
    read = Invocation({"config": (str(file),)} | many, "a:b").read({})
    assert read.config.reloading is not None
    assert (read.config.reloading.include, read.config.reloading.delay_s) == (("*.html",), 0.5)
