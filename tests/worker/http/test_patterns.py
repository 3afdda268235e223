"""Regular expressions of the configuration: those that may take for ever are refused, and no others."""

import re
import subprocess
import sys

import pytest

from penstock.worker.http.patterns import PatternError, compile_pattern, groups_of

HAZARDS = [
    "(a+)+$",
    "(a*)*b",
    "(.*)*",
    "^(/.*)+$",
    "(?:a+)*x",
    r"(\w+\s?)*$",
    "([a-z]+)*!",
    "(a+b?)+$",
    "(?:(?:a+)){2,}$",
    "((a+))+",
    "(?=(a+)+$)",
    "(?:x|(a+)+)$",
    r"^(\d+)*$",
    "(.+?)+x",
    "(a{1,3})+$",
    "(?:aa|a)*$",
    "(?:a?)+$",
    "(?:[a-z]+-|[a-z]*)*$",
]
GOOD = [
    "^/v[0-9]+/", r"\.php$", "(?:ab)*", "^/([^/]+)/([^/]+)$", "(/[^/]+)*$", "^(?:/[a-z]+)+$", "^/a.*b$",
    "(a|b)+", r"^(\d+,)*\d+$", "(?:foo|food)+$", "(?:[a-z]+-|[0-9]+_)*$", "(?:ab?)*$", "(a{3})+$", "x*y*z*",
    "^/(?P<id>[0-9]+)(?:/.*)?$", "(?:a+)?", "(?!/admin)/.*", "^(?:[a-z]+-)*[a-z]+$",
]  # fmt: skip


@pytest.mark.parametrize("text", HAZARDS)
def test_a_repeat_within_a_repeat_is_refused(text: str) -> None:
    """
    A client would choose how long it takes.
    """
    with pytest.raises(PatternError, match="repeat within a repeat"):
        compile_pattern(text)


@pytest.mark.parametrize("text", GOOD)
def test_what_can_be_shared_out_in_one_way_is_not(text: str) -> None:
    """
    A refusal without a reason teaches people to work around it.
    """
    assert compile_pattern(text).pattern == text


@pytest.mark.parametrize("text", ["(", "[", "a{2,1}", "(?P<a>x)(?P<a>y)", "*", "(" * 2000 + ")" * 2000])
def test_what_is_no_expression_is_told(text: str) -> None:
    """
    Whatever `re` raises.
    """
    with pytest.raises(PatternError):
        compile_pattern(text)


def test_what_is_let_through_ends() -> None:
    """
    The examples above, on texts that are made to keep them busy, each as long as a path can be.
    """
    program = (
        "import re, sys\n"
        "for text in sys.argv[1:]:\n"
        "    for each in 'a/1,-':\n"
        "        re.search(text, '/' + each * 1000 + '!')\n"
    )
    subprocess.run([sys.executable, "-c", program, *GOOD], check=True, timeout=60)


def test_groups_have_numbers_and_names() -> None:
    """
    Both can be variables.
    """
    assert groups_of("(a)(?P<b>c)(?:d)") == {"1", "2", "b"}
    assert re.compile("x").groups == 0
