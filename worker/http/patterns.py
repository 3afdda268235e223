"""
Regular expressions of the configuration: compiled, and looked at for what would make a
worker hang.

Python's `re` goes back and tries again, and a client chooses what it tries. A repeat in
a repeat that can share its text in many ways takes twice as long for each character
more. That is found here as far as a look at the expression can tell: repeats without
an end that hold another one, with nothing between them that parts its turns. It is
a heuristic: what it refuses can be written otherwise, and what it lets through may
still take time that grows with the square of the text.
"""

import re
from re import _constants as codes  # type: ignore[attr-defined]  # there is no other way to look into one
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

# Judged by these characters: a difference beyond them is taken for none.
_ALPHABET = frozenset(range(256))
_CATEGORIES = {
    codes.CATEGORY_DIGIT: re.compile(r"\d"),
    codes.CATEGORY_NOT_DIGIT: re.compile(r"\D"),
    codes.CATEGORY_SPACE: re.compile(r"\s"),
    codes.CATEGORY_NOT_SPACE: re.compile(r"\S"),
    codes.CATEGORY_WORD: re.compile(r"\w"),
    codes.CATEGORY_NOT_WORD: re.compile(r"\W"),
}
# Those that may give back what they took. A possessive one does not.
_REPEATS = (codes.MAX_REPEAT, codes.MIN_REPEAT)


class PatternError(ValueError):
    """An expression that is not to be used; says why."""


def compile_pattern(text: str) -> re.Pattern[str]:
    """Compile an expression. Raises PatternError for one that is none, or that may take for ever."""
    try:
        pattern = re.compile(text)
        parsed = parser.parse(text)
    except (re.error, OverflowError, RecursionError) as error:
        raise PatternError(str(error)) from None
    if _is_hazardous(parsed):
        raise PatternError("a repeat within a repeat, which can take for ever; write it with one of them")
    return pattern


def groups_of(text: str) -> frozenset[str]:
    """List the groups of an expression that compiles, by number and by name."""
    pattern = re.compile(text)
    return frozenset((*map(str, range(1, pattern.groups + 1)), *pattern.groupindex))


def _is_hazardous(sequence: Any) -> bool:
    """Look for a repeat without an end whose text could be shared out in many ways."""
    for code, argument in sequence:
        if code in _REPEATS and argument[1] is codes.MAXREPEAT:
            body = list(argument[2])
            inner = _elastic(body)
            if inner and not _is_parted(body, inner):
                return True
        if any(_is_hazardous(each) for each in _inside(code, argument)):
            return True
    return False


def _inside(code: Any, argument: Any) -> list[Any]:
    """List the sequences within an item."""
    if code is codes.BRANCH:
        return list(argument[1])
    if code in (codes.MAX_REPEAT, codes.MIN_REPEAT, codes.POSSESSIVE_REPEAT):
        return [argument[2]]
    if code is codes.SUBPATTERN:
        return [argument[3]]
    if code in (codes.ASSERT, codes.ASSERT_NOT):
        return [argument[1]]
    if code is codes.ATOMIC_GROUP:
        return [argument]
    if code is codes.GROUPREF_EXISTS:
        return [each for each in argument[1:] if each is not None]
    return []


def _elastic(sequence: Any) -> list[frozenset[int]]:
    """List what may take more or less in a sequence, as characters."""
    found: list[frozenset[int]] = []
    for code, argument in sequence:
        if code in _REPEATS and argument[0] != argument[1]:
            found.append(_characters(argument[2]))
        if code is codes.BRANCH and not all(map(len, argument[1])):
            found.append(_characters([(code, argument)]))  # Of `ab|a`, which is parsed as `a(?:b|)`.
        if code is not codes.ATOMIC_GROUP:
            for each in _inside(code, argument):
                found += _elastic(each)
    return found


def _is_parted(body: list[Any], inner: list[frozenset[int]]) -> bool:
    """Tell whether each turn has to take a character that nothing elastic in it could."""
    for code, argument in body:
        if code is codes.BRANCH and all(_is_parted(list(each), inner) for each in argument[1]):
            return True
        if code is codes.SUBPATTERN and _is_parted(list(argument[3]), inner):
            return True
        if code in (codes.LITERAL, codes.NOT_LITERAL, codes.IN, codes.ANY):
            own = _characters([(code, argument)])
            if all(own.isdisjoint(each) for each in inner):
                return True
        if code in _REPEATS and argument[0] >= 1 and argument[1] is not codes.MAXREPEAT:
            own = _characters(argument[2])
            if own and all(own.isdisjoint(each) for each in inner):
                return True
    return False


def _characters(sequence: Any) -> frozenset[int]:
    """Collect every character that a sequence may take anywhere in it."""
    found: frozenset[int] = frozenset()
    for code, argument in sequence:
        if code is codes.LITERAL:
            found |= {min(argument, 255)}
        elif code is codes.NOT_LITERAL:
            found |= _ALPHABET - {argument}
        elif code is codes.ANY:
            found |= _ALPHABET
        elif code is codes.IN:
            found |= _class(argument)
        elif code is codes.GROUPREF:
            found |= _ALPHABET
        else:
            for each in _inside(code, argument):
                found |= _characters(each)
    return found


def _class(items: Any) -> frozenset[int]:
    found: frozenset[int] = frozenset()
    is_negated = False
    for code, argument in items:
        if code is codes.NEGATE:
            is_negated = True
        elif code is codes.LITERAL:
            found |= {min(argument, 255)}
        elif code is codes.RANGE:
            found |= set(range(min(argument[0], 255), min(argument[1], 255) + 1))
        elif code is codes.CATEGORY:
            test = _CATEGORIES[argument]
            found |= {each for each in _ALPHABET if test.match(chr(each))}
    return _ALPHABET - found if is_negated else found
