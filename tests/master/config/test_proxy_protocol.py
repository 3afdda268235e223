"""The PROXY protocol in a file and on the command line."""

import pytest

from penstock.master.config import ConfigError, Invocation
from penstock.master.config.model import Config
from penstock.master.config.proxies import TRUSTED_BY_DEFAULT
from penstock.master.config.proxy_protocol import ProxyProtocol, settled
from penstock.worker.spec import ProxyProtocolSpec
from tests.master.config.conftest import Load

FILE = "listeners:\n  - bind: :80\n    routes: [{app: 'a:b'}]\n"


def spec_of(config: Config) -> ProxyProtocolSpec | None:
    """Say what the workers are told."""
    listener = config.listeners[0]
    wanted = settled(listener.proxy_protocol)
    return None if wanted is None else wanted.spec(listener.trusted_proxies, 7)


def given(**options: str) -> Config:
    """Read a command line."""
    return Invocation({name: (text,) for name, text in options.items()}, app="a:b").load({})


@pytest.mark.parametrize(
    ("lines", "wanted"),
    [
        ("", None),
        ("    proxy_protocol: none\n", None),
        ("    proxy_protocol: false\n", None),
        ("    proxy_protocol: true\n", ProxyProtocolSpec(trusted=TRUSTED_BY_DEFAULT, rejected=7)),
        ("    proxy_protocol: {}\n", ProxyProtocolSpec(trusted=TRUSTED_BY_DEFAULT, rejected=7)),
        (
            "    proxy_protocol: true\n    trusted_proxies: [10.0.0.0/8]\n    forwarded: none\n",
            ProxyProtocolSpec(trusted=("10.0.0.0/8",), rejected=7),
        ),
        (
            "    proxy_protocol: {from: [10.1.0.0/16, unix], required: false, timeout: 500ms}\n"
            "    trusted_proxies: []\n",
            ProxyProtocolSpec(trusted=("10.1.0.0/16", "unix:"), required=False, timeout_s=0.5, rejected=7),
        ),
    ],
)  # fmt: skip
def test_file_says_who_sends_a_header(load: Load, lines: str, wanted: ProxyProtocolSpec | None) -> None:
    """
    Left out, it is whoever is trusted to say for whom a request is made.
    """
    assert spec_of(load(FILE + lines).config) == wanted


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("proxy_protocol: 2", "listeners[0].proxy_protocol: found '2', expected"),
        ("proxy_protocol: {from: []}", "listeners[0].proxy_protocol.from: found"),
        ("proxy_protocol: {from: [lb]}", ".proxy_protocol.from[0]: found 'lb', expected an IP address"),
        ("proxy_protocol: {timeout: 0s}", ".proxy_protocol.timeout: found 0, expected a duration above 0"),
        ("proxy_protocol: {form: []}", "did you mean 'from'?"),
        ("{proxy_protocol: true, trusted_proxies: []}", ".proxy_protocol: found nobody who is trusted"),
    ],
)  # fmt: skip
def test_mistakes_name_the_key(load: Load, line: str, told: str) -> None:
    """
    Nobody to trust would be a listener that closes every connection.
    """
    lines = line.strip("{}").split(", ") if line.startswith("{") else [line]
    with pytest.raises(ConfigError) as raised:
        load(FILE + "".join(f"    {each}\n" for each in lines))
    assert told in str(raised.value)


@pytest.mark.parametrize("word", ["auto", "v1", "v2", "true", "1", "V2"])
def test_option_switches_it_on(word: str) -> None:
    """
    In gunicorn's words. Which version comes is seen.
    """
    assert given(proxy_protocol=word).listeners[0].proxy_protocol is True


@pytest.mark.parametrize("word", ["off", "false", "0", "none"])
def test_option_switches_it_off(load: Load, word: str) -> None:
    """
    Also that of a file.
    """
    assert settled(given(proxy_protocol=word).listeners[0].proxy_protocol) is None
    loaded = load(FILE + "    proxy_protocol: {required: false}\n", proxy_protocol=word)
    assert settled(loaded.config.listeners[0].proxy_protocol) is None


def test_option_leaves_the_record_of_a_file(load: Load) -> None:
    """
    And its list replaces the file's.
    """
    text = FILE + "    proxy_protocol: {required: false, from: [10.0.0.1]}\n"
    on = load(text, proxy_protocol="auto").config.listeners[0].proxy_protocol
    assert on == ProxyProtocol(from_=("10.0.0.1",), required=False)
    listed = load(text, proxy_protocol="auto", proxy_allow_from="10.0.0.2, 10.1.0.0/16").config
    wanted = ProxyProtocol(from_=("10.0.0.2", "10.1.0.0/16"), required=False)
    assert listed.listeners[0].proxy_protocol == wanted


def test_list_alone_switches_nothing_on(load: Load) -> None:
    """
    As with gunicorn, where it has a default; but it is said.
    """
    loaded = load(FILE, proxy_allow_from="10.0.0.2")
    assert loaded.config.listeners[0].proxy_protocol is None
    assert any(
        "--proxy-allow-from has no effect without --proxy-protocol" in each for each in loaded.warnings
    )


def test_wrong_word_is_told_by_the_option() -> None:
    with pytest.raises(ConfigError, match="--proxy-protocol: found 'v3', expected auto or off"):
        given(proxy_protocol="v3")
    with pytest.raises(ConfigError, match="--proxy-allow-from"):
        given(proxy_protocol="auto", proxy_allow_from="lb")


def test_gunicorns_variable_may_have_the_bare_option() -> None:
    """
    Its option may stand without a value, and another one follow.
    """
    config = Invocation({}, app="a:b").load({"GUNICORN_CMD_ARGS": "--proxy-protocol --backlog 77"})
    assert config.listeners[0].proxy_protocol is True
    assert config.listeners[0].backlog == 77
    config = Invocation({}, app="a:b").load({"GUNICORN_CMD_ARGS": "--proxy-protocol=off"})
    assert settled(config.listeners[0].proxy_protocol) is None
