"""
Writes down the options of the servers that people switch from, as they are installed here.

    make peer-options

What changes in the .json files beside this one is then to be judged in
master/config/peers.py; tests/master/config/test_peers.py says what is missing.
"""

import argparse
import importlib
import importlib.metadata
import inspect
import json
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent

Described = dict[str, Any]


def of_click(command: Any, prefix: str) -> list[Described]:
    """Describe the options of a click command whose variables begin with `prefix`."""
    return [
        {
            "flags": [*each.opts, *each.secondary_opts],
            "takes_value": not each.is_flag,
            "variable": f"{prefix}_{each.name.upper()}",
        }
        for each in command.params
        if each.param_type_name == "option" and each.name != "version"
    ]


def of_argparse(parser: argparse.ArgumentParser) -> list[Described]:
    """Describe the options of an argparse parser."""
    return [
        {"flags": list(each.option_strings), "takes_value": each.nargs != 0}
        for each in parser._actions
        if each.option_strings and each.dest not in {"help", "version"}
    ]


def uvicorn() -> Described:
    """Describe uvicorn: its command and the keywords of `uvicorn.run`."""
    module = importlib.import_module("uvicorn.main")
    keywords = [name for name in inspect.signature(module.run).parameters if name != "app"]
    return {"options": of_click(module.main, "UVICORN"), "keywords": keywords}


def granian() -> Described:
    """Describe granian."""
    return {"options": of_click(importlib.import_module("granian.cli").cli, "GRANIAN")}


def gunicorn() -> Described:
    """Describe gunicorn: its command and the settings of its configuration files."""
    module = importlib.import_module("gunicorn.config")
    settings = {each.name: (each.cli or [None])[-1] for each in module.KNOWN_SETTINGS}
    return {"options": of_argparse(module.Config().parser()), "settings": settings}


def hypercorn() -> Described:
    """Describe hypercorn, whose parser is made within its main function."""
    module = importlib.import_module("hypercorn.__main__")
    parsers: list[argparse.ArgumentParser] = []

    class Caught(Exception):
        pass

    def catch(self: argparse.ArgumentParser, *_: object, **__: object) -> None:
        parsers.append(self)
        raise Caught

    original = argparse.ArgumentParser.parse_args
    argparse.ArgumentParser.parse_args = catch  # type: ignore[method-assign, assignment]
    try:
        module.main([])
    except Caught:
        pass
    finally:
        argparse.ArgumentParser.parse_args = original  # type: ignore[method-assign]
    settings = [
        name.lstrip("_")
        for name, value in vars(importlib.import_module("hypercorn.config").Config).items()
        if not name.startswith(("__", "from_"))
        and not callable(value)
        and name not in {"_log", "log", "_quic_addresses", "ssl_enabled"}
    ]
    return {"options": of_argparse(parsers[0]), "settings": dict.fromkeys(sorted(set(settings)))}


def main() -> None:
    """Write a file for each."""
    for describe in (uvicorn, gunicorn, granian, hypercorn):
        name = describe.__name__
        described = {"name": name, "version": importlib.metadata.version(name)} | describe()
        text = json.dumps(described, indent=1) + "\n"
        file = HERE / f"{name}.json"
        changed = "written" if not file.exists() or file.read_text() != text else "as it was"
        file.write_text(text)
        print(f"{name} {described['version']}: {len(described['options'])} options, {changed}")


if __name__ == "__main__":
    main()
