"""
Folders that are given by options: `--static PREFIX=DIR`, and granian's way to say it.
"""

from penstock.master.config.given import Levels
from penstock.master.config.problems import Mismatch, Place, Problem
from penstock.master.config.tree import Mapping, Node, Scalar

EXPECTED = "PREFIX=DIR, such as /static=./public"
# Where granian serves a folder that comes without a path.
GRANIAN_ROUTE = "/static"


def static_routes(levels: Levels) -> tuple[tuple[Mapping, ...], list[Problem]]:
    """Make the routes that were asked for, and say what is wrong with others."""
    routes: list[Mapping] = []
    problems: list[Problem] = []
    given = levels.find("static")
    for text in given.texts if given is not None else ():
        assert given is not None
        prefix, _, folder = text.partition("=")
        if not prefix.startswith("/") or not folder:
            problems.append(Problem(given.place, (), Mismatch(EXPECTED).message(text)))
        else:
            routes.append(_route(given.place, prefix, folder))
    folders, prefixes = levels.find("static_path_mount"), levels.find("static_path_route")
    if folders is not None:
        texts = (GRANIAN_ROUTE,) if prefixes is None else prefixes.texts
        if len(texts) != len(folders.texts):
            message = f"found {len(folders.texts)} and {len(texts)} paths, expected a path for each"
            problems.append(Problem(folders.place, (), message))
        else:
            routes += [_route(folders.place, *each) for each in zip(texts, folders.texts, strict=True)]
    elif prefixes is not None:
        problems.append(Problem(prefixes.place, (), "goes with --static-path-mount"))
    return tuple(routes), problems


def _route(place: Place, prefix: str, folder: str) -> Mapping:
    path = prefix if prefix.endswith("/") else prefix + "/"
    return _mapping(
        place,
        match=_mapping(place, path=_text(place, path)),
        files=_mapping(place, root=_text(place, folder)),
    )


def _mapping(place: Place, **nodes: Node) -> Mapping:
    return Mapping(place, tuple((_text(place, key), node) for key, node in nodes.items()))


def _text(place: Place, text: str) -> Scalar:
    return Scalar(place, text, is_literal=True)
