"""Log lines go where they should, also after the file was rotated away."""

import io
import logging
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from penstock.worker.logs import SwappableHandler, open_log_file


def run(code: str, *arguments: object) -> tuple[str, str]:
    """Run a script with the logging functions at hand; give what it wrote to both outputs."""
    start = """
import logging, os, sys
from penstock.worker.logs import LOG, open_log_file, set_up_logging, swap_log_file
from penstock.worker.spec import LogSpec
"""
    command = [sys.executable, "-c", start + textwrap.dedent(code), *map(str, arguments)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    return done.stdout, done.stderr


def test_lines_go_to_standard_error_with_time_and_process() -> None:
    out, err = run("""
        set_up_logging(LogSpec())
        LOG.info("hello %s", "you")
        LOG.debug("not this")
    """)
    assert out == ""
    assert len(err.splitlines()) == 1
    day, time, process, level, message = err.strip().split(" ", 4)
    assert (len(day), len(time)) == (len("2025-01-01"), len("00:00:00.000"))
    assert process.strip("[]").isdigit()
    assert (level, message) == ("INFO", "hello you")


def test_the_apps_loggers_are_the_apps() -> None:
    """Nothing is set up on the root logger, and our lines do not go there as well."""
    _, err = run("""
        set_up_logging(LogSpec(level="debug"))
        logging.basicConfig(format="root: %(message)s")
        LOG.debug("ours")
        logging.getLogger("shop").warning("theirs")
    """)
    ours, theirs = err.splitlines()
    assert ours.endswith("DEBUG ours")
    assert theirs == "root: theirs"


def test_lines_go_to_the_file_and_setting_up_again_doubles_none(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("before\n")
    _, err = run(
        """
        for _ in range(2):
            set_up_logging(LogSpec(path=sys.argv[1]), open_log_file(sys.argv[1]))
        LOG.warning("once")
        """,
        path,
    )
    assert err == ""
    before, once = path.read_text().splitlines()
    assert before == "before"
    assert once.endswith("WARNING once")


def test_after_a_swap_lines_go_to_the_new_file(tmp_path: Path) -> None:
    """As logrotate does it: rename, then signal."""
    path = tmp_path / "log"
    run(
        """
        set_up_logging(LogSpec(path=sys.argv[1]), open_log_file(sys.argv[1]))
        LOG.info("old")
        os.rename(sys.argv[1], sys.argv[1] + ".1")
        LOG.info("still old")
        swap_log_file(open_log_file(sys.argv[1]))
        LOG.info("new")
        """,
        path,
    )
    assert [line.split()[-1] for line in Path(f"{path}.1").read_text().splitlines()] == ["old", "old"]
    assert path.read_text().endswith("new\n")


def test_a_swap_closes_the_file_before() -> None:
    handler = SwappableHandler(io.StringIO())
    count = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 (counted alike each time)
    for _ in range(5):
        handler.swap(os.memfd_create("log"))
    assert len(os.listdir("/proc/self/fd")) == count + 1  # noqa: PTH208
    handler.stream.close()


def test_a_swap_away_from_standard_error_leaves_it_open(tmp_path: Path) -> None:
    """The hosted app prints there."""
    _, err = run(
        """
        set_up_logging(LogSpec())
        swap_log_file(open_log_file(sys.argv[1]))
        LOG.info("to the file")
        print("to the terminal", file=sys.stderr)
        """,
        tmp_path / "log",
    )
    assert err == "to the terminal\n"


def test_text_that_is_not_unicode_is_written_all_the_same(tmp_path: Path) -> None:
    """A path or a header may hold any byte."""
    handler = SwappableHandler(io.StringIO())
    handler.swap(open_log_file(str(tmp_path / "log")))
    handler.handle(logging.makeLogRecord({"msg": "caf\udce9"}))
    handler.stream.close()
    assert (tmp_path / "log").read_text() == "caf\\udce9\n"


def test_a_log_file_is_not_for_everyone_and_not_for_subprocesses(tmp_path: Path) -> None:
    mask = os.umask(0)
    fd = open_log_file(str(tmp_path / "log"))
    os.umask(mask)
    assert os.fstat(fd).st_mode & 0o777 == 0o640
    assert not os.get_inheritable(fd)
    os.close(fd)


def test_several_processes_write_to_one_file_without_tearing(tmp_path: Path) -> None:
    """Master and workers share the descriptor, and each line goes out in one append."""
    path = tmp_path / "log"
    run(
        """
        set_up_logging(LogSpec(path=sys.argv[1]), open_log_file(sys.argv[1]))
        children = []
        for name in "ab":
            pid = os.fork()
            if pid == 0:
                for number in range(500):
                    LOG.info("%s", name * 100)
                os._exit(0)
            children.append(pid)
        for pid in children:
            os.waitpid(pid, 0)
        """,
        path,
    )
    messages = [line.split(" ")[-1] for line in path.read_text().splitlines()]
    assert len(messages) == 1000
    assert set(messages) == {"a" * 100, "b" * 100}


def test_a_dictionary_of_the_operators_has_the_last_word() -> None:
    """`--log-config`: his handlers for his loggers, and for ours if he names it."""
    _, err = run("""
        set_up_logging(LogSpec(dict_config={
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"short": {"format": "%(name)s: %(message)s"}},
            "handlers": {"all": {"class": "logging.StreamHandler", "formatter": "short"}},
            "loggers": {"penstock": {"handlers": ["all"], "level": "WARNING"}},
            "root": {"handlers": ["all"], "level": "INFO"},
        }))
        LOG.info("too low")
        LOG.error("ours")
        logging.getLogger("shop").info("theirs")
    """)
    assert err.splitlines() == ["penstock: ours", "shop: theirs"]


def test_a_dictionary_that_cannot_be_applied_is_an_error_of_its_value() -> None:
    with pytest.raises(subprocess.CalledProcessError) as caught:
        run('set_up_logging(LogSpec(dict_config={"version": 1, "root": {"handlers": ["none"]}}))')
    assert "ValueError" in caught.value.stderr


def test_a_dictionary_that_forgets_our_logger_does_not_silence_it() -> None:
    """`disable_existing_loggers` is on unless somebody thinks of it."""
    _, err = run("""
        set_up_logging(LogSpec(dict_config={"version": 1, "root": {"level": "INFO"}}))
        LOG.info("still here")
    """)
    assert err.endswith("INFO still here\n")


def test_a_full_disk_does_not_stand_in_the_way_of_rotation(tmp_path: Path) -> None:
    """It may well be why the file is rotated."""
    _, err = run(
        """
        set_up_logging(LogSpec(path="/dev/full"), os.open("/dev/full", os.O_WRONLY))
        logging.raiseExceptions = False
        LOG.info("lost")
        swap_log_file(open_log_file(sys.argv[1]))
        LOG.info("kept")
        """,
        tmp_path / "log",
    )
    assert err == ""
    assert (tmp_path / "log").read_text().endswith("INFO kept\n")
