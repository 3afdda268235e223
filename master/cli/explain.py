"""
`penstock check --explain`: which route takes a request, and why; nothing is served.

Asks the very router that a worker has, made from the same specs.
"""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple, NoReturn
from urllib.parse import urlsplit

import click
import msgspec

from penstock.master.blueprint import CELLS_PER_ROUTE, routing_specs
from penstock.master.config import Config, ConfigError, Listener
from penstock.master.config.bind import TcpBind
from penstock.master.config.kinds import METHODS, read_header_value
from penstock.master.config.match_texts import read_field_name
from penstock.master.config.networks import read_network
from penstock.master.config.problems import Mismatch, Place, Problem, listed
from penstock.shm.counting import Meter
from penstock.worker.http.edits import HeaderChanges
from penstock.worker.http.exchange import Exchange
from penstock.worker.http.head import RequestError
from penstock.worker.http.matching import Asked
from penstock.worker.http.notes import Notes
from penstock.worker.http.raw_paths import DOT_SEGMENT, has_dot_segment
from penstock.worker.http.redirect import Redirect
from penstock.worker.http.rewrite import Rewrite
from penstock.worker.http.routing import Finding, Miss, Router, explain
from penstock.worker.http.split import Split, Variant
from penstock.worker.http.target import split_target
from penstock.worker.spec import (
    AppAction,
    EditsSpec,
    FilesAction,
    ProxyAction,
    RedirectAction,
    RespondAction,
    RouteSpec,
    SplitAction,
)

EXIT_TAKEN, EXIT_NONE = 0, 1
CLIENT = "127.0.0.1"
EXPECTED = "a method and a URL, such as 'GET http://example.com/path?query'"
DEFAULT_PORTS = {"http": 80, "https": 443}


class Request(NamedTuple):
    """What was asked to be explained."""

    asked: Asked
    scheme: str
    port: int | None


def explained(config: Config, words: str, headers: Sequence[str], client: str | None) -> int:
    """Tell of one request; answers the exit status. Raises ConfigError for what is no request."""
    request = read_request(words, headers, CLIENT if client is None else client)
    listener = listener_of(config, request)
    specs = routing_specs(config, listener)
    router = Router([(spec.match, spec) for spec in specs])
    found = router.find_for(request.asked)
    lines = [
        *_request_lines(request, listener),
        "",
        *_rule_lines(request.asked, specs, explain(router, request.asked)),
        "",
        *_answer_lines(config, request, found),
    ]
    click.echo("\n".join(lines))
    return EXIT_NONE if isinstance(found, Miss) else EXIT_TAKEN


# Reading.


def read_request(words: str, headers: Sequence[str], client: str) -> Request:
    """Read the three options. Raises ConfigError."""
    method, _, url = words.strip().partition(" ")
    if "://" in method:
        method, url = "GET", words.strip()
    try:
        parts = urlsplit(url.strip())
        port = parts.port
    except ValueError:
        _refuse("--explain", words, EXPECTED)
    if method not in METHODS or parts.scheme not in DEFAULT_PORTS or not parts.hostname:
        _refuse("--explain", words, EXPECTED)
    target = re.sub(r"[^!-~]", _percent, (parts.path or "/") + ("?" + parts.query if parts.query else ""))
    try:
        path, raw_path, query = split_target(target.encode("ascii"))
    except RequestError:
        _refuse("--explain", words, EXPECTED)
    fields = [(b"host", parts.netloc.rpartition("@")[2].encode("latin-1", "replace"))]
    for header in headers:
        name, colon, value = header.partition(":")
        try:
            if not colon:
                raise Mismatch("'Name: value'")
            field = read_field_name(name.strip()).encode(), read_header_value(value.strip()).encode("latin-1")
        except Mismatch as mismatch:
            _refuse("-H", header, mismatch.expected)
        if field[0] == b"host":
            fields = [each for each in fields if each[0] != b"host"]
        fields.append(field)
    host = next(value for name, value in fields if name == b"host")
    return Request(Asked(method, host, path, raw_path, query, fields, _client(client)), parts.scheme, port)


def _client(text: str) -> tuple[str, int] | None:
    try:
        network = read_network(text)
        if "/" in network:
            raise Mismatch("")
    except Mismatch:
        _refuse("--explain-client", text, "an IP address, or 'unix:'")
    return None if network == "unix:" else (network, 0)


def _percent(found: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in found[0].encode())


def _refuse(option: str, found: str, expected: str) -> NoReturn:
    raise ConfigError([Problem(Place(option), (), f"found {found!r}, expected {expected}")])


def listener_of(config: Config, request: Request) -> Listener:
    """
    Choose the listener that a URL means: by its port, else the only one there is for its scheme.

    Raises ConfigError when that is not clear.
    """
    port = request.port or DEFAULT_PORTS[request.scheme]
    is_tls = request.scheme == "https"
    fitting = [each for each in config.listeners if (each.tls is not None) == is_tls]
    by_port = [
        each for each in config.listeners if isinstance(each.address, TcpBind) and each.address.port == port
    ]
    for chosen in ([each for each in by_port if each in fitting], by_port, fitting, config.listeners):
        if len(chosen) == 1:
            return chosen[0]
    named = listed(each.name for each in config.listeners)
    raise ConfigError(
        [Problem(Place("--explain"), (), f"found port {port}, expected that of one listener: {named}")]
    )


# Telling.


def _request_lines(request: Request, listener: Listener) -> Iterator[str]:
    asked = request.asked
    target = asked.raw_path + (b"?" + asked.query if asked.query else b"")
    where = "" if listener.name == listener.bind else f" ({listener.bind})"
    return _columns(
        [
            ("request", f"{asked.method} {target.decode('latin-1')}"),
            ("host", (asked.host or b"").decode("latin-1")),
            ("client", "a UNIX socket" if asked.client is None else asked.client[0]),
            ("listener", f"{listener.name}{where}"),
        ]
    )


def _rule_lines(asked: Asked, specs: Sequence[RouteSpec], findings: Sequence[Finding]) -> Iterator[str]:
    rows = [("", "route", "", "because")]
    rows += [(str(each.position + 1), specs[each.position].name, *_because(each, asked)) for each in findings]
    yield from _columns(rows)
    rest = len(specs) - len(findings)
    if rest:
        yield f"{rest} more {'is' if rest == 1 else 'are'} not asked: the first match wins"


def _answer_lines(config: Config, request: Request, found: RouteSpec | Miss) -> Iterator[str]:
    if not isinstance(found, Miss):
        yield from _columns(list(_action(config, request, found)))
    elif found.allow:
        yield f"no route takes it: 405, Allow: {', '.join(sorted(found.allow))}"
    else:
        yield "no route takes it: 404"


def _because(finding: Finding, asked: Asked) -> tuple[str, str]:
    failed = finding.failed
    if failed is not None:
        return "no", f"{failed.key}: {failed.found(asked)}, wanted {failed.wanted}"
    if not finding.conditions:
        return "takes it", "it asks for nothing"
    return "takes it", "; ".join(f"{each.key}: {each.wanted}" for each in finding.conditions)


def _action(config: Config, request: Request, spec: RouteSpec) -> Iterator[tuple[str, str]]:
    asked = request.asked
    yield "route", spec.name
    if isinstance(spec.action, SplitAction):
        action = spec.action
        total = sum(weight for weight, _ in action.variants)
        shares = ", ".join(f"{leaf.name} {weight / total:.4%}" for weight, leaf in action.variants)
        yield "split", f"by {action.key}: " + re.sub(r"\.?0+%", "%", shares)
        variants = [Variant(leaf.name, weight, leaf) for weight, leaf in action.variants]
        split = Split(action.key, spec.name, variants)
        spec = split.choose(asked)
        yield (
            "variant",
            spec.name + ("" if split.key(asked) else ", or another: without a key it gets any"),
        )
    edits = spec.edits or EditsSpec()
    if edits.rewrite is not None and has_dot_segment(asked.path):
        yield "action", f"400: {DOT_SEGMENT}, and is not rewritten"
        return
    if isinstance(spec.action, ProxyAction) and has_dot_segment(asked.path):
        yield "action", f"400: {DOT_SEGMENT}, and is not passed on"
        return
    exchange = _stand_in(request, spec)
    yield "action", _action_text(spec, exchange)
    if edits.rewrite is not None:
        rewrite = Rewrite(edits.rewrite, is_app=isinstance(spec.action, AppAction))
        done = rewrite.apply("", asked.path, asked.raw_path)
        yield "path", done.raw_path.decode("latin-1")
        if done.root_path:
            yield "root_path", config.root_path + done.root_path
    for label, changes in (("request header", edits.request), ("response header", edits.response)):
        for each in changes:
            put = HeaderChanges([each]).for_exchange(exchange)([])
            yield label, f"{each[0]} {each[1]}" + "".join(f": {value.decode('latin-1')}" for _, value in put)


def _action_text(spec: RouteSpec, exchange: Exchange) -> str:
    match spec.action:
        case AppAction() as action:
            return f"app {action.target}"
        case FilesAction() as action:
            return f"files {action.root}"
        case RespondAction() as action:
            return f"respond {action.status}"
        case RedirectAction() as action:
            location = Redirect(action, spec.match).location(exchange)
            return f"redirect {action.code} {location.decode('latin-1')}"
        case action:
            return " ".join(map(str, msgspec.to_builtins(action).values()))


def _stand_in(request: Request, spec: RouteSpec) -> Exchange:
    """Make what variables are read from: an exchange that nobody has opened."""
    asked = request.asked
    scope = {
        "client": asked.client,
        "headers": asked.headers,
        "method": asked.method,
        "path": asked.path,
        "query_string": asked.query,
        "raw_path": asked.raw_path,
        "scheme": request.scheme,
    }
    exchange = Exchange.__new__(Exchange)
    exchange.scope = scope
    exchange.meter = Meter(memoryview(bytearray(8 * (CELLS_PER_ROUTE + 8))).cast("Q"), 0, 8, spec.name)
    exchange.notes = Notes()
    exchange.notes.request_id = "(the request id)"
    return exchange


def _columns(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Write rows so that what belongs together stands below each other."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
