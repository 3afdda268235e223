"""
Texts with variables in braces, as the configuration has them: taken apart when it
is read, and put together for each request.

Knows no request: what a variable stands for is said by who asks.
"""

import re
from collections.abc import Callable, Collection

_PART = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")


class TemplateError(ValueError):
    """A text is no template; says why. `unknown` is the variable that there is none of."""

    def __init__(self, reason: str, unknown: str | None = None) -> None:
        super().__init__(reason)
        self.unknown = unknown


class Template:
    """A text, taken apart. `{{` stands for a brace."""

    __slots__ = ("_coding", "names", "parts")

    def __init__(self, text: str, known: Collection[str], coding: str = "latin-1") -> None:
        """Take it apart. Raises TemplateError for a variable that is not known, and for a lone brace."""
        self._coding = coding
        # Text as bytes, variables as their names.
        self.parts: list[bytes | str] = []
        at = 0
        for found in _PART.finditer(text):
            self._add(text[at : found.start()])
            at = found.end()
            if found[0] in {"{{", "}}"}:
                self._add(found[0][0])
            elif found[1] is None:
                raise TemplateError(f"a lone {found[0]!r}; {found[0] * 2!r} stands for one")
            elif found[1] not in known:
                raise TemplateError(f"there is no variable {found[0]!r} here", found[1])
            else:
                self.parts.append(found[1])
        self._add(text[at:])
        self.names = frozenset(part for part in self.parts if isinstance(part, str))

    def _add(self, text: str) -> None:
        if text:
            data = text.encode(self._coding)
            if self.parts and isinstance(self.parts[-1], bytes):
                self.parts[-1] += data
            else:
                self.parts.append(data)

    def render(self, value: Callable[[str], bytes]) -> bytes:
        """Put it together; `value` says what a variable stands for."""
        return b"".join([part if isinstance(part, bytes) else value(part) for part in self.parts])
