"""
What is wrong with a route that no single value of it shows.
"""

from collections.abc import Iterator

from penstock.master.config.header_changes import HeaderChanges
from penstock.master.config.problems import listed, nearest, quoted
from penstock.master.config.redirect import Redirect, Rewrite
from penstock.master.config.route import Match, Route, Variant
from penstock.worker.http.captures import REST, names_of
from penstock.worker.http.matching import host_matcher
from penstock.worker.http.patterns import groups_of
from penstock.worker.http.template import Template, TemplateError
from penstock.worker.http.variables import VARIABLES

# The key, as a path below the route, and the message.
Fault = tuple[tuple[str | int, ...], str]

NEEDS_IDS = "found {request_id}, expected 'request_id' at the top of the file: requests have none"


def route_faults(route: Route, *, has_request_ids: bool) -> Iterator[Fault]:
    """Find what is wrong with a route and its variants."""
    yield from _part_faults(route, route.match, has_request_ids=has_request_ids)
    if route.split is None:
        if route.split_by != "client":
            yield ("split_by",), "found 'split_by' without 'split', expected it beside one"
        return
    if not any(variant.weight for variant in route.split):
        yield ("split",), "found weights that are all 0, expected at least one above"
    names: set[str] = set()
    for index, variant in enumerate(route.split):
        here = ("split", index)
        if variant.name and variant.name in names:
            yield (*here, "name"), f"found {quoted(variant.name)}, the name of another variant"
        names.add(variant.name or "")
        for key_path, message in _part_faults(variant, route.match, has_request_ids=has_request_ids):
            yield (*here, *key_path), message


def _part_faults(route: Route, match: Match, *, has_request_ids: bool) -> Iterator[Fault]:
    if route.redirect is not None:
        yield from _redirect_faults(route.redirect, match, has_request_ids=has_request_ids)
    if route.files is not None and match.paths is not None and len(match.paths) > 1:
        yield (
            ("files",),
            "found several paths beside 'files', expected one: what is above its names is cut off",
        )
    rewrite = route.rewrite
    if rewrite is not None:
        for key in ("respond", "redirect"):
            if getattr(route, key) is not None:
                yield ("rewrite",), f"found 'rewrite' beside {key!r}, which looks at no path"
        if rewrite == Rewrite():
            yield ("rewrite",), "found nothing in it, expected strip_prefix, replace or add_prefix"
        if rewrite.replace is not None:
            known = groups_of(rewrite.replace.regex)
            yield from _template_faults(rewrite.replace.to, known, ("rewrite", "replace", "to"))
    for key, changes in (
        ("request_headers", route.request_headers),
        ("response_headers", route.response_headers),
    ):
        if changes is not None:
            for inner, message in changes_faults(changes, has_request_ids=has_request_ids):
                yield (key, *inner), message


def changes_faults(changes: HeaderChanges, *, has_request_ids: bool) -> Iterator[Fault]:
    """Find what is wrong with changes of headers."""
    if not has_request_ids:
        for kind, name, value in changes.templates():
            if "request_id" in Template(value, VARIABLES).names:
                yield (kind, name), NEEDS_IDS


def _redirect_faults(redirect: Redirect, match: Match, *, has_request_ids: bool) -> Iterator[Fault]:
    captured = names_of(match.paths)
    here = ("redirect", "to")
    text = redirect.to.partition("#")[0]
    yield from _template_faults(text, captured | VARIABLES.keys(), here)
    if not has_request_ids and "{request_id}" in text:
        yield here, NEEDS_IDS


def _template_faults(text: str, known: frozenset[str], here: tuple[str, ...]) -> Iterator[Fault]:
    try:
        Template(text, known, "utf-8")
    except TemplateError as error:
        told = f"found {quoted(text)}, expected {_known(known)}: {error}"
        hint = nearest(error.unknown, known) if error.unknown else ""
        if error.unknown == REST and REST not in known:
            hint = "only the paths that are no regular expression have a rest"
        elif error.unknown and error.unknown.isdigit():
            hint = "groups are those of every regular expression in 'match.path'"
        yield here, f"{told}; {hint}" if hint else told


def _known(names: frozenset[str]) -> str:
    return listed(f"{{{name}}}" for name in sorted(names)) if names else "no variable"


# Which routes are never reached.


def covers(earlier: Match, later: Match) -> bool:
    """Say whether every request that `later` takes was taken by `earlier`."""
    if earlier.hosts is not None and not (
        later.hosts is not None
        and all(any(_host_covers(first, then) for first in earlier.hosts) for then in later.hosts)
    ):
        return False
    if earlier.methods is not None and not (later.methods is not None and later.methods <= earlier.methods):
        return False
    for mine, theirs in ((earlier.headers, later.headers), (earlier.query, later.query)):
        if not mine.items() <= theirs.items():
            return False
    if earlier.client and not (later.client and set(later.client) <= set(earlier.client)):
        return False
    return all(
        any(_path_covers(first, then) for first in earlier.paths or ("/",)) for then in later.paths or ("/",)
    )


def _host_covers(earlier: str, later: str) -> bool:
    return earlier == later or bool(host_matcher(earlier)(later))


def _path_covers(earlier: str, later: str) -> bool:
    if earlier in {"/", later}:
        return True
    return earlier.startswith("/") and earlier.endswith("/") and later.startswith(earlier)


def variant_label(route: Route, index: int, variant: Variant) -> str:
    """Tell what a variant is called in metrics and logs: its name, or by its place from 1 on."""
    return variant.name or f"{route.label}#{index + 1}"
