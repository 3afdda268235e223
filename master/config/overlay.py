"""
Options laid over the tree of the file, so that one walk types them all.

Decides which listeners an option speaks of, and makes up the listener that
serves an APP when there is no file.
"""

from collections.abc import Mapping as EnvironmentMapping

from penstock.master.config import bind
from penstock.master.config.edge_options import EdgeOptions
from penstock.master.config.given import Given, Level, Levels
from penstock.master.config.option import Option
from penstock.master.config.options import BY_NAME, EACH, OPTIONS
from penstock.master.config.problems import Mismatch, Path, Place, Problem
from penstock.master.config.static import static_routes
from penstock.master.config.tree import Mapping, Node, Scalar, Sequence
from penstock.master.config.typed import BOOLEANS
from penstock.master.config.variables import substituted

WELCOME = "penstock.worker.welcome:app"
DEFAULT_HOST, DEFAULT_PORT = "127.0.0.1", 8000
# A platform that chooses the port also connects from outside.
PLATFORM_HOST = "0.0.0.0"
# What the listener of the command line is called in metrics.
LISTENER_NAME = "web"

BUILT_IN = Place("default")

_WHOLE = ("bind", "uds", "fd")
# Options that are keys of the route that APP makes.
_OF_APP = ("factory", "interface")

# What may stand where a record can; whoever names a key of the record wants one.
_NO_RECORD = {"none", "null", "~", "", *BOOLEANS}


class Overlay:
    """One laying of options over a tree; `problems` holds what cannot be."""

    def __init__(self, levels: Levels, environ: EnvironmentMapping[str, str]) -> None:
        """Take what was given."""
        self._levels = levels
        self._environ = environ
        self.problems: list[Problem] = list(levels.problems)
        self.warnings: list[str] = []

    def lay(self, root: Node | None, app: Given | None) -> Node:
        """Lay everything over `root`, the file's tree, or over nothing."""
        static = self._static_routes()
        if root is None:
            root = Mapping(BUILT_IN, ())
            if app is None and not static:
                app = Given((WELCOME,), BUILT_IN)
        if not isinstance(root, Mapping):
            return root
        if app is None and not (static and root.get("listeners") is None):
            for name in _OF_APP:
                if self._levels.find(name):
                    self._refuse(name, f"goes with APP; in a file a route has the key {name!r}")
            if static:
                message = "goes with APP or alone; in a file a route has the key 'files'"
                self.problems.append(Problem(static[0].place, (), message))
            root = self._rebound(root)
        elif root.get("listeners") is not None:
            message = "found APP and a configuration file with listeners, expected one of them"
            self.problems.append(Problem((app or static[0]).place, (), message))
        else:
            root = with_value(root, ("listeners",), self._listeners(app, static))
        # Switches last: one that is on leaves a record that is there, one that is off puts an end to it.
        for option in sorted(OPTIONS, key=lambda each: each.is_switch or bool(each.words)):
            given = self._levels.find(option.name)
            if given is None or option.path is None:
                continue
            if option.path[0] == "reload" and not option.is_switch and not self._is_reloading(root):
                self.warnings.append(f"{given.place} has no effect without --reload")
            elif option.words and "|" in option.metavar and given.text not in _words_of(option):
                self._refuse(option.name, Mismatch(option.metavar.replace("|", " or ")).message(given.text))
            elif option.is_pairs:
                for name, node in self._pairs(given):
                    root = self._set(root, (*option.path, name), given, node)
            else:
                value = _items(given) if option.is_repeatable else given.scalar()
                root = self._set(root, option.path, given, value)
        return self._lay_edge(root)

    def _lay_edge(self, root: Mapping) -> Mapping:
        """Lay TLS and trusted proxies over every listener; TLS over those on TCP."""
        edge = EdgeOptions(self._levels)
        values = edge.values()
        self.problems += edge.problems
        self.warnings += edge.warnings
        listeners = root.get("listeners")
        if not values or not isinstance(listeners, Sequence):
            return root
        items: list[Node] = []
        for item in listeners.items:
            if isinstance(item, Mapping):
                for path, node, is_for_tcp in values:
                    if not (is_for_tcp and _is_unix(item)):
                        item = with_value(item, path, node)  # noqa: PLW2901 - it is built up
            items.append(item)
        return with_value(root, ("listeners",), Sequence(listeners.place, tuple(items)))

    def _pairs(self, given: Given) -> list[tuple[str, Node]]:
        """Take values such as NAME:VALUE apart; a name that comes twice has a list."""
        found: dict[str, tuple[str, list[Scalar]]] = {}
        for text in given.texts:
            name, colon, value = text.partition(":")
            if not colon:
                message = Mismatch("NAME:VALUE").message(text)
                self.problems.append(Problem(given.place, (), message))
                continue
            scalar = Scalar(given.place, value.strip(), is_literal=True)
            found.setdefault(name.strip().lower(), (name.strip(), []))[1].append(scalar)
        return [
            (name, scalars[0] if len(scalars) == 1 else Sequence(given.place, tuple(scalars)))
            for name, scalars in found.values()
        ]

    def _listeners(self, app: Given | None, static: tuple[Mapping, ...]) -> Sequence:
        place = (app or static[0]).place
        given = [(name, self._levels.find(name)) for name in _OF_APP]
        if app is not None:
            route: tuple[tuple[Scalar, Node], ...] = ((_key("app"), app.scalar()),)
            route += tuple((_key(name), each.scalar()) for name, each in given if each is not None)
            static = (*static, Mapping(place, route))
        else:
            for name, each in given:
                if each is not None:
                    self._refuse(name, "goes with APP")
        routes = Sequence(place, static)
        scalars = self._binds(None) or (Scalar(BUILT_IN, f"{DEFAULT_HOST}:{DEFAULT_PORT}", is_literal=True),)
        listeners = []
        for number, scalar in enumerate(scalars, start=1):
            name = LISTENER_NAME if number == 1 else f"{LISTENER_NAME}-{number}"
            pairs = (
                (_key("name"), Scalar(BUILT_IN, name, is_literal=True)),
                (_key("bind"), scalar),
                (_key("routes"), routes),
            )
            listeners.append(Mapping(place, pairs))
        return Sequence(place, tuple(listeners))

    def _static_routes(self) -> tuple[Mapping, ...]:
        """Make the routes of folders that were given by options."""
        routes, problems = static_routes(self._levels)
        self.problems += problems
        return routes

    def _rebound(self, root: Mapping) -> Mapping:
        """Put the address that was given in place of the file's."""
        listeners = root.get("listeners")
        if not isinstance(listeners, Sequence):
            return root
        only = listeners.items[0] if len(listeners.items) == 1 else None
        asked = next(
            (level[name] for level in self._asking() for name in ("host", "port", *_WHOLE) if name in level),
            None,
        )
        if isinstance(only, Mapping):
            scalars = self._binds(only.get("bind"))
            if scalars is None:
                return root
            if len(scalars) == 1:
                return with_value(
                    root,
                    ("listeners",),
                    Sequence(listeners.place, (with_value(only, ("bind",), scalars[0]),)),
                )
            self.problems.append(
                Problem(scalars[1].place, (), "found several addresses for the one listener of the file")
            )
        elif asked is not None and len(listeners.items) != 1:
            count = len(listeners.items)
            message = f"found an address and a file with {count} listeners, expected a file with one"
            self.problems.append(Problem(asked.place, (), message))
        return root

    def _asking(self) -> list[Level]:
        # $PORT is set by platforms whether or not it is meant for a file with several listeners.
        return [self._levels.options, self._levels.variables, self._levels.borrowed]

    def _binds(self, written: Node | None) -> tuple[Scalar, ...] | None:
        """Choose the addresses to listen on; None: nobody gave one."""
        below = _tcp(written, self._environ)
        levels = list(self._levels)
        if written is not None and below is None:
            levels = self._asking()
        for index, level in enumerate(levels):
            whole = [name for name in _WHOLE if name in level]
            parts = [name for name in ("host", "port") if name in level]
            if len(whole) > 1 or (whole and parts):
                first, second, *_ = [level[name].place for name in (*whole, *parts)]
                self.problems.append(
                    Problem(second, (), f"found both {first} and {second}, expected one of them")
                )
                return None
            if whole:
                return _whole_binds(whole[0], level[whole[0]])
            if parts:
                scalar = self._from_parts(levels[index:], below)
                return None if scalar is None else (scalar,)
        return None

    def _from_parts(self, levels: list[Level], below: bind.TcpBind | None) -> Scalar | None:
        host = next((level["host"] for level in levels if "host" in level), None)
        port = next((level["port"] for level in levels if "port" in level), None)
        # $PORT alone: the platform's router is not on this machine's loopback.
        by_platform = port is not None and port is self._levels.platform.get("port")
        default_host = below.host if below else PLATFORM_HOST if by_platform else DEFAULT_HOST
        try:
            number = bind.read_port(port.text) if port else below.port if below else DEFAULT_PORT
        except Mismatch:
            assert port is not None
            self.problems.append(
                Problem(port.place, (), Mismatch("a port from 0 to 65535").message(port.text))
            )
            return None
        text = host.text if host else default_host
        if ":" in text and not text.startswith("["):
            text = f"[{text}]"
        place = (host or port or Given(("",), BUILT_IN)).place
        try:
            return Scalar(place, str(bind.TcpBind(bind.read_host(text), number)), is_literal=True)
        except Mismatch:
            assert host is not None
            wanted = "a host name or an IP address, such as 127.0.0.1 or ::"
            self.problems.append(Problem(place, (), Mismatch(wanted).message(host.text)))
            return None

    def _is_reloading(self, root: Mapping) -> bool:
        """Whether there is a reload: what says more of it does not begin one."""
        given, written = self._levels.find("reload"), root.get("reload")
        if given is not None:
            return BOOLEANS.get(given.text, False)
        if written is None or isinstance(written, Scalar):
            return written is not None and BOOLEANS.get(written.text.lower(), False)
        return True

    def _set(self, root: Mapping, path: Path, given: Given, value: Node) -> Mapping:
        if path[:2] != ("listeners", EACH):
            return with_value(root, path, value)
        listeners = root.get("listeners")
        if not isinstance(listeners, Sequence):
            return root
        items: list[Node] = []
        is_used = False
        for item in listeners.items:
            if isinstance(item, Mapping) and (path[2] != "uds_permissions" or _is_unix(item)):
                is_used = True
                items.append(with_value(item, path[2:], value))
            else:
                items.append(item)
        if not is_used and listeners.items:
            self.problems.append(Problem(given.place, (), "found no listener on a UNIX socket, expected one"))
        return with_value(root, ("listeners",), Sequence(listeners.place, tuple(items)))

    def _refuse(self, name: str, message: str) -> None:
        given = self._levels.find(name)
        assert given is not None
        self.problems.append(Problem(given.place, (), message))


def _items(given: Given) -> Sequence:
    return Sequence(given.place, tuple(Scalar(given.place, text, is_literal=True) for text in given.texts))


def _words_of(option: Option) -> set[str]:
    return {*option.words.values(), *option.metavar.split("|"), *BOOLEANS}


def _whole_binds(name: str, given: Given) -> tuple[Scalar, ...]:
    prefix = {"uds": "unix:", "fd": "fd:"}.get(name, "")
    texts = given.texts if BY_NAME[name].is_repeatable else (given.text,)
    return tuple(Scalar(given.place, prefix + text, is_literal=True) for text in texts)


def _tcp(written: Node | None, environ: EnvironmentMapping[str, str]) -> bind.TcpBind | None:
    if not isinstance(written, Scalar):
        return None
    try:
        parsed = bind.parse_bind(substituted(written.text, environ))
    except Mismatch:
        return None  # The walk will tell of it.
    return parsed if isinstance(parsed, bind.TcpBind) else None


def _is_unix(listener: Mapping) -> bool:
    written = listener.get("bind")
    return isinstance(written, Scalar) and written.text.startswith("unix:")


def _key(text: str) -> Scalar:
    return Scalar(BUILT_IN, text, is_literal=True)


def with_value(node: Mapping, path: Path, value: Node) -> Mapping:
    """Set a value deep in a mapping, with mappings made on the way where there are none."""
    key, *rest = path
    assert isinstance(key, str)
    if rest:
        inner = node.get(key)
        if inner is None or (isinstance(inner, Scalar) and inner.text.lower() in _NO_RECORD):
            inner = Mapping(value.place, ())
        if not isinstance(inner, Mapping):
            return node  # Of another type in the file: the walk will tell of it.
        value = with_value(inner, tuple(rest), value)
    elif isinstance(node.get(key), Mapping) and isinstance(value, Scalar) and BOOLEANS.get(value.text):
        return node
    if node.get(key) is None:
        return Mapping(node.place, (*node.items, (Scalar(value.place, key), value)))
    return Mapping(node.place, tuple((name, value if name.text == key else old) for name, old in node.items))
