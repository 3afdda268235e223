"""The command line: what is meant by the words on it."""

import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from penstock import __version__
from penstock.master import cli
from penstock.master.cli.command import COMMANDS, penstock
from penstock.master.cli.parameters import first_word, given_invocation
from penstock.master.config import Invocation
from penstock.master.config.option import Option
from penstock.master.config.options import BY_NAME, OPTIONS
from penstock.master.config.peers import ALIASES, EXCUSES, REFUSALS, Refusal, meaning_of
from tests.process.harness import run_penstock


def run(*words: str) -> Result:
    return CliRunner().invoke(penstock, list(words))


def invocation(*words: str) -> Invocation:
    return given_invocation(penstock.make_context("penstock", list(words)))


def test_an_app_and_options_become_an_invocation() -> None:
    """
    Only what was typed is in it: defaults are the configuration's.
    """
    given = invocation(
        "--workers", "4", "main:app", "--port=80", "-b", ":1", "-b", ":2", "--no-pin", "--factory"
    )

    assert given.app == "main:app"
    assert given.options == {
        "workers": ("4",),
        "port": ("80",),
        "bind": (":1", ":2"),
        "pin": ("false",),
        "factory": ("true",),
    }
    assert invocation().options == {}
    assert invocation().app is None


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_every_spelling_of_an_option_is_the_same_option(option: Option) -> None:
    """
    Uvicorn's names and gunicorn's aliases.
    """
    for flag in option.flags:
        words = [flag] if option.is_switch else [flag, "value"]
        assert invocation(*words).options == {option.name: ("true" if option.is_switch else "value",)}
    for flag in option.off:
        assert invocation(flag).options == {option.name: ("false",)}


def test_no_flag_has_two_meanings() -> None:
    """
    Ours, those to come, and those of other servers.
    """
    flags = [flag for option in OPTIONS for flag in (*option.flags, *option.off)]
    flags += [*EXCUSES, *REFUSALS]

    assert len(flags) == len(set(flags))
    assert len(BY_NAME) == len(OPTIONS)


@pytest.mark.parametrize(
    ("words", "index"),
    [
        ([], None),
        (["check"], 0),
        (["-c", "check", "status"], 2),
        (["--workers=4", "check"], 1),
        (["-w4", "--no-pin", "check"], 2),
        (["--workers", "4", "--factory", "check"], 3),
        (["--", "check"], None),
        (["-c", "x"], None),
        (["-w"], None),
    ],
)
def test_the_first_word_is_found_behind_options_and_their_values(words: list[str], index: int | None) -> None:
    """
    `penstock -c check` names a file called "check".
    """
    assert first_word(words, penstock.params) == index


def test_a_command_wins_over_an_app_without_a_colon() -> None:
    """
    `status` is the command, `status:app` the app in status.py.
    """
    for name in COMMANDS:
        assert f"Usage: penstock {name}" in run(name, "--help").output
    assert invocation("status:app").app == "status:app"
    assert invocation("--", "status").app == "status"


def test_a_command_may_stand_behind_its_options(tmp_path: Path) -> None:
    """
    `penstock -c FILE check`, as one edits the last line of the shell's history.
    """
    file = tmp_path / "p.yaml"
    file.write_text("workers: x\n")

    results = [run("check", "-c", str(file)), run("-c", str(file), "check")]
    assert [each.exit_code for each in results] == [2, 2]
    assert results[0].output == results[1].output


def test_the_help_fits_a_terminal_and_names_every_option() -> None:
    """
    In groups, because forty options in a row are not read.
    """
    result = run("--help")

    assert result.exit_code == 0
    assert max(map(len, result.output.splitlines())) <= 80
    for option in OPTIONS:
        shown = [each for each in option.flags if each == option.flags[0] or not each.startswith("--")]
        assert all(flag in result.output for flag in (*shown, *option.off)), option.name
    for group in {option.group for option in OPTIONS}:
        assert f"\n{group}:\n" in result.output
    for name in COMMANDS:
        assert f"penstock {name}" in result.output
    assert run("-h").output == result.output


def test_the_version_is_told() -> None:
    """
    The first question of every report.
    """
    result = run("--version")

    assert (result.exit_code, result.output) == (0, f"penstock {__version__}\n")


@pytest.mark.parametrize(
    ("option", "nearest"),
    [
        ("--wrokers", "--workers"),
        ("--prot", "--port"),
        ("--time-out-keep-alive", "--timeout-keep-alive"),
        ("--no-pinn", "--no-pin"),
        ("--deamon", "--daemon"),
    ],
)
@pytest.mark.parametrize("command", [(), ("check",)])
def test_an_unknown_option_fails_with_the_nearest_known_one(
    command: tuple[str, ...], option: str, nearest: str
) -> None:
    """
    On every command that takes the options.
    """
    result = run(*command, option, "4")

    assert result.exit_code == 2
    assert f"there is no option {option}; did you mean '{nearest}'?" in result.output


@pytest.mark.parametrize("option", ["--zzzzzz", "-Z"])
def test_an_option_that_is_like_no_other_just_fails(option: str) -> None:
    """
    A wrong guess would be worse than none.
    """
    result = run(option)

    assert result.exit_code == 2
    assert result.output.endswith(f"there is no option {option}\n")


@pytest.mark.parametrize("option", sorted(REFUSALS.keys() - {"--check-config"}))
def test_an_option_that_is_done_in_another_way_says_how(option: str) -> None:
    """
    Gunicorn's --daemon and --paste.
    """
    meaning = meaning_of(option)
    if not isinstance(meaning, Refusal):
        pytest.fail(f"{option} is an option by now, so its refusal can go")
    result = run("main:app", option)

    assert result.exit_code == 2
    assert meaning.told in result.output


@pytest.mark.parametrize("option", sorted(EXCUSES))
def test_an_option_that_changes_nothing_is_accepted_and_says_why(
    option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    In one line, and the values that say what is done anyway need none.
    """
    excuse = EXCUSES[option]
    if excuse.refused:
        assert excuse.refused in run("main:app", option, "a-value").output
    else:
        words = [option] if excuse.is_flag else [option, "a-value"]
        assert invocation(*words, "main:app").app == "main:app"
        assert len(capsys.readouterr().err.splitlines()) == 1
    for value in excuse.natural:
        assert invocation(option, value, "main:app").app == "main:app"
        assert not capsys.readouterr().err


@pytest.mark.parametrize("option", sorted(ALIASES))
def test_another_spelling_of_an_option_is_that_option(option: str) -> None:
    """
    With its value in the units that the option here has.
    """
    alias = ALIASES[option]
    if meaning_of(option) is not alias:
        assert isinstance(meaning_of(option), Option)
        return
    (name,) = {each.name for each in OPTIONS if alias.flag in each.flags}
    words = [option] if alias.value is not None else [option, "7"]

    assert invocation(*words).options == {name: (alias.value or f"7{alias.unit}",)}


def test_our_own_word_wins_over_a_translated_one() -> None:
    """
    Granian's header timeout is in milliseconds.
    """
    given = invocation("--http1-header-read-timeout", "500", "--no-log")
    assert given.options == {"timeout_request_header": ("500ms",), "log_level": ("critical",)}
    given = invocation("--timeout-request-header", "3", "--http1-header-read-timeout", "500")
    assert given.options == {"timeout_request_header": ("3",)}


def test_a_notice_is_not_repeated_by_a_hot_restart(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    The command line is read again, but nobody has typed it again.
    """
    monkeypatch.setenv("_PENSTOCK_HANDOVER", "9")
    invocation("--loop", "asyncio", "main:app")

    assert not capsys.readouterr().err


def test_gunicorns_check_config_is_the_check(tmp_path: Path) -> None:
    """
    A line of a deployment script that goes on working.
    """
    # In a process of its own: a check ends the one that it is in when a thread would keep it.
    result = run_penstock("--check-config", "penstock.worker.welcome:app", cwd=tmp_path)

    assert (result.returncode, result.stdout) == (0, "config ok: 1 listener, 1 route, 1 app\n")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["scale"], "Missing argument 'WORKERS'"),
        (["scale", "two"], "'two' is not a valid integer"),
        (["scale", "1.5"], "'1.5' is not a valid integer"),
        (["scale", "1", "2"], "unexpected extra argument"),
        (["scale", "-1"], "there is no option -1"),
        (["reload", "2"], "unexpected extra argument"),
        (["reload", "--tiemout", "2"], "did you mean '--timeout'"),
        (["upgrade", "--timeout", "0"], "0.0 is not in the range"),
        (["drain", "--timeout", "soon"], "'soon' is not a valid float"),
    ],
)
def test_an_order_that_makes_no_sense_is_not_given(words: list[str], told: str) -> None:
    """
    Nobody is asked, so nothing can have happened.
    """
    result = run(*words, "--control", "/nowhere")

    assert result.exit_code == 2
    assert told in result.output


@pytest.mark.parametrize("words", [["reload"], ["upgrade"], ["scale", "2"], ["stacks", "0"], ["drain"]])
def test_an_order_without_a_server_fails(words: list[str]) -> None:
    """
    In one line, and with another status than a slip in the words has.
    """
    result = run(*words, "--control", "/nowhere/penstock.sock")

    assert result.exit_code == 1
    assert result.output == f"penstock: {words[0]}: /nowhere/penstock.sock: no such socket\n"


def test_a_slip_in_a_command_is_not_taken_for_an_app() -> None:
    """
    `penstock statsu` should not answer that there is no module of that name.
    """
    result = run("statsu")

    assert result.exit_code == 2
    assert "there is no command 'statsu'; did you mean 'status'?" in result.output


@pytest.mark.parametrize(
    ("words", "warned"),
    [
        (["--loop", "asyncio"], "penstock: --loop asyncio has no meaning here\n"),
        (["--http", "h11"], "penstock: --http h11 has no meaning here\n"),
        (
            ["-k", "uvicorn.workers.UvicornWorker"],
            "penstock: -k uvicorn.workers.UvicornWorker has no meaning",
        ),
        (["--loop", "uvloop", "--http", "httptools", "--no-access-log"], ""),
    ],
)
def test_values_that_have_no_meaning_here_are_warned_about(
    words: list[str], warned: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    So that a line that was written for uvicorn goes on working.
    """
    assert invocation(*words, "main:app").app == "main:app"
    assert capsys.readouterr().err.startswith(warned)
    assert warned or not capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--workers"], "requires an argument"),
        (["a:b", "c:d"], "unexpected extra argument"),
        (["check", "--workers"], "requires an argument"),
        (["schema", "x"], "unexpected extra argument"),
        (["status", "--jsn"], "did you mean '--json'?"),
    ],
)
def test_other_mistakes_on_the_command_line_are_usage_errors(words: list[str], told: str) -> None:
    """
    Exit status 2, and the usage of the command that is meant.
    """
    result = run(*words)

    assert result.exit_code == 2
    assert told in result.output


def test_a_wrong_configuration_stops_a_check_with_everything_that_is_wrong(tmp_path: Path) -> None:
    """
    Each on its line, then how many there are.
    """
    file = tmp_path / "p.yaml"
    file.write_text("wrokers: 1\nlisteners: [{bind: x, routes: [{app: 'a:b'}]}]\n")

    result = run("check", "-c", str(file))

    lines = result.output.splitlines()
    assert result.exit_code == 2
    assert lines[0].startswith(f"{file}:1:1: wrokers: found the key 'wrokers'")
    assert lines[1].startswith(f"{file}:2:20: listeners[0].bind: found 'x'")
    assert lines[2] == "penstock: 2 problems; nothing was started"


def test_the_command_is_what_the_package_installs(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    `penstock` and `python -m penstock` are the same.
    """
    monkeypatch.setattr(sys, "argv", ["penstock", "--version"])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == 0


def test_another_system_is_refused_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    Instead of an import error from the middle of uvloop.
    """
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == 3
    assert capsys.readouterr().err == "penstock runs on Linux only, and this is darwin\n"


def test_every_parameter_is_an_option_of_the_table_or_excused() -> None:
    """
    Nothing is on the command line that the table, and so the docs, do not know.
    """
    names = {each.name for each in penstock.params if isinstance(each, click.Option) and each.expose_value}

    assert names == set(BY_NAME)
