"""Which proxies are trusted: on the command line, in the environment, in a file."""

import pytest

from penstock.master.config import ConfigError, Invocation
from penstock.master.config.problems import Mismatch
from penstock.master.config.proxies import TRUSTED_BY_DEFAULT, read_trusted_proxy
from tests.master.config.conftest import Load

FILE = "listeners:\n  - bind: :80\n    routes: [{app: 'a:b'}]\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("10.0.0.0/255.0.0.0", "10.0.0.0/8"),
        ("2001:DB8::/32", "2001:db8::/32"),
        ("[::1]", "::1"),
        ("unix:", "unix:"),
        ("unix", "unix:"),
        ("*", "*"),
    ],
)
def test_proxy_is_read(text: str, expected: str) -> None:
    assert read_trusted_proxy(text) == expected


@pytest.mark.parametrize(
    "text", ["", "localhost", "10.0.0.1/8", "10.0.0.0/33", "1.2.3", "**", "unix:/x", "::1/x"]
)
def test_what_is_none_is_refused(text: str) -> None:
    with pytest.raises(Mismatch):
        read_trusted_proxy(text)


@pytest.mark.parametrize(
    ("options", "environ", "trusted"),
    [
        ({}, {}, TRUSTED_BY_DEFAULT),
        (
            {"forwarded_allow_ips": "10.0.0.1, 192.168.0.0/16,unix:"},
            {},
            ("10.0.0.1", "192.168.0.0/16", "unix:"),
        ),
        ({"forwarded_allow_ips": "*"}, {}, ("*",)),
        ({}, {"FORWARDED_ALLOW_IPS": "10.0.0.1"}, ("10.0.0.1",)),
        ({}, {"PENSTOCK_FORWARDED_ALLOW_IPS": "10.0.0.2", "FORWARDED_ALLOW_IPS": "10.0.0.1"}, ("10.0.0.2",)),
        ({"forwarded_allow_ips": "10.0.0.3"}, {"FORWARDED_ALLOW_IPS": "10.0.0.1"}, ("10.0.0.3",)),
        ({"forwarded_allow_ips": ","}, {}, ()),
    ],
)
def test_proxies_are_listed(
    options: dict[str, str], environ: dict[str, str], trusted: tuple[str, ...]
) -> None:
    """
    The strongest word counts, as for every option.
    """
    given = {name: (text,) for name, text in options.items()}
    [listener] = Invocation(given, app="a:b").load(environ).listeners

    assert listener.trusted_proxies == trusted
    assert listener.forwarded == "x-forwarded"


def test_headers_of_proxies_can_be_switched_off(load: Load) -> None:
    """
    The switch leaves which ones a file has chosen.
    """
    [listener] = Invocation({"proxy_headers": ("false",)}, app="a:b").load({}).listeners
    assert listener.forwarded is None
    assert load(FILE + "    forwarded: none\n").config.listeners[0].forwarded is None
    assert load(FILE + "    forwarded: forwarded\n").config.listeners[0].forwarded == "forwarded"
    on = load(FILE + "    forwarded: forwarded\n", proxy_headers="true").config
    assert on.listeners[0].forwarded == "forwarded"


def test_mistake_is_told_by_the_option() -> None:
    with pytest.raises(ConfigError, match=r"^--forwarded-allow-ips: found 'lb', expected an IP address"):
        Invocation({"forwarded_allow_ips": ("lb,10.0.0.1",)}, app="a:b").load({})
