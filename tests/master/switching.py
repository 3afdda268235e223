"""
Writes the tables of docs/switching.md from what the options of other servers mean here.

    make tables
"""

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from penstock.master.config.option import Option
from penstock.master.config.peers import OURS, Alias, Excuse, Refusal, meaning_of
from penstock.master.config.strangers import advice_on, key_of

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "switching.md"
PEERS = ROOT / "tests" / "peers"
BLOCK = re.compile(r"(<!-- (options|settings) of (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def page_with_tables(page: str) -> str:
    """Put the tables into the page, each between its marks."""
    return BLOCK.sub(lambda found: f"{found[1]}\n{block(found[2], found[3])}\n{found[4]}", page)


def block(kind: str, name: str) -> str:
    """Write what stands between two marks."""
    peer = json.loads((PEERS / f"{name}.json").read_text())
    if kind == "settings":
        return "\n".join(_settings(peer["settings"])) + "\n"
    return "\n".join(_options(peer)) + "\n"


def _options(peer: dict[str, Any]) -> Iterator[str]:
    flags = [(flag, meaning_of(flag)) for option in peer["options"] for flag in option["flags"]]
    same = [flag for flag, meaning in flags if isinstance(meaning, Option) and flag in _proper(meaning)]
    yield f"Of the options of {peer['name']} {peer['version']} these have the same name here:"
    yield ", ".join(f"`{flag}`" for flag in same) + "."
    renamed = [(flag, meaning) for flag, meaning in flags if flag not in same]
    yield from _table(
        ("there", "here", "key in the file"),
        [(f"`{flag}`", *_here(meaning)) for flag, meaning in renamed if isinstance(meaning, Option | Alias)],
    )
    yield from _table(
        ("accepted, and changes nothing", "because"),
        [(f"`{flag}`", _because(meaning)) for flag, meaning in renamed if isinstance(meaning, Excuse)],
    )
    yield from _table(
        ("refused", "instead"),
        [(f"`{flag}`", _coded(meaning.told)) for flag, meaning in renamed if isinstance(meaning, Refusal)],
    )


def _proper(option: Option) -> tuple[str, ...]:
    short = [flag for flag in option.flags[1:] if not flag.startswith("--")]
    return (option.flags[0], *short, *option.off)


def _here(meaning: Option | Alias) -> tuple[str, str]:
    option = OURS[meaning.flag] if isinstance(meaning, Alias) else meaning
    value = ""
    if isinstance(meaning, Alias):
        value = f" {meaning.value}" if meaning.value is not None else ""
        value = value or (f", where `500{meaning.unit}` is written" if meaning.unit else "")
    shown = f"`{option.flags[0]}{value}`" if not value.startswith(",") else f"`{option.flags[0]}`{value}"
    return shown, "" if option.path is None else f"`{key_of(option)}`"


def _because(excuse: Excuse) -> str:
    natural = ", ".join(f"`{value}`" for value in sorted(excuse.natural))
    told = _coded(excuse.told or excuse.refused) or "the event loop is uvloop and the parser llhttp"
    if excuse.refused:
        return f"{natural} alone is accepted: {told}"
    return told


def _coded(told: str) -> str:
    """Mark options that stand in a sentence."""
    return re.sub(r"(?<![`\w-])(--[a-z][a-z0-9-]*[a-z0-9])(?![`\w-])", r"`\1`", told).replace("|", r"\|")


def _table(heads: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    if rows:
        yield ""
        yield f"| {' | '.join(heads)} |"
        yield "|" + "---|" * len(heads)
        for row in rows:
            yield "| " + " | ".join(row) + " |"


def _settings(settings: dict[str, str | None]) -> Iterator[str]:
    """Give the settings of a file a table; hooks share a row."""
    rows: dict[str, list[str]] = {}
    for setting in settings:
        rows.setdefault(advice_on(setting) or "", []).append(f"`{setting}`")
    told = [
        (", ".join(names), re.sub(r"'([a-z_.\[\]]+)'", r"`\1`", _coded(words)))
        for words, names in rows.items()
    ]
    yield from list(_table(("setting", "here"), told))[1:]


if __name__ == "__main__":
    PAGE.write_text(page_with_tables(PAGE.read_text()))
