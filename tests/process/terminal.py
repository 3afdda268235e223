"""A terminal for the programs under test: tmux, with a server of its own."""

import os
import shlex
import subprocess
from pathlib import Path

from tests.process.harness import DEADLINE_S, wait_for

# What a program may find out about its terminal from its environment is the test's to say.
_OURS = ("TMUX", "TERM", "COLUMNS", "LINES", "NO_COLOR", "LC_", "LANG", "PENSTOCK_")


class Terminal:
    """
    A terminal that runs one command.

    A line before it and one after it say what became of the terminal, and of the command.
    """

    def __init__(
        self,
        folder: Path,
        *command: str,
        width: int = 80,
        height: int = 24,
        env: dict[str, str] | None = None,
    ) -> None:
        self._folder = folder
        # The folder's own path may be too long for a socket's.
        self._socket = f"/proc/self/cwd/tmux-{id(self):x}.sock"
        script = (
            # Ctrl-C goes to the shell too, which is to live on.
            f"trap : INT; echo before; stty -g >stty.before; {shlex.join(command)}; "
            "echo status $?; stty -g >stty.after; exec cat"
        )
        environ = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
        environ = environ | {"TERM": "xterm-256color", "LC_ALL": "C.UTF-8"} | (env or {})
        exported = " ".join(f"{name}={shlex.quote(value)}" for name, value in (env or {}).items())
        size = ["-x", str(width), "-y", str(height)]
        run = f"exec env {exported} sh -c {shlex.quote(script)}"
        self._environ = environ
        self._tmux("-f", os.devnull, "new-session", "-d", *size, run)
        # The last screen of a command that ends too early is what the test then wants to see.
        self._tmux("set-option", "-g", "status", "off")
        self.resize(width, height)

    def lines(self) -> list[str]:
        """Read what the screen shows."""
        return self._tmux("capture-pane", "-p").split("\n")[:-1]

    def text(self) -> str:
        """Read what the screen shows, in one piece."""
        return "\n".join(self.lines())

    def styled(self) -> str:
        """Read what the screen shows, with the escape sequences of its colours."""
        return self._tmux("capture-pane", "-p", "-e")

    def wait_text(self, *wanted: str, deadline_s: float = DEADLINE_S) -> list[str]:
        """Wait until the screen shows all of these; give its lines."""
        seen: list[str] = []

        def is_shown() -> bool:
            seen[:] = self.lines()
            return all(each in "\n".join(seen) for each in wanted)

        try:
            wait_for(is_shown, f"{wanted} on the screen", deadline_s)
        except AssertionError as error:
            shown = "\n".join(seen)
            raise AssertionError(f"{error}\n{shown}") from None
        return seen

    def press(self, *keys: str) -> None:
        """Press keys, by the names that tmux has for them."""
        self._tmux("send-keys", *keys)

    def resize(self, width: int, height: int) -> None:
        """Change the size of the terminal."""
        self._tmux("resize-window", "-x", str(width), "-y", str(height))

    def wait_end(self) -> int:
        """Wait until the command has ended and the terminal is as before; give the exit status."""
        lines = self.wait_text("before", "status ")
        settings = self._folder / "stty.after"
        wait_for(lambda: settings.exists() and settings.stat().st_size, "the terminal's settings")
        after = settings.read_text()
        settings.unlink()
        assert after == (self._folder / "stty.before").read_text()
        flags = self._tmux("display-message", "-p", "#{alternate_on} #{cursor_flag} #{mouse_any_flag}")
        assert flags.strip() == "0 1 0"
        [status] = [line for line in lines if line.startswith("status ")]
        return int(status.removeprefix("status "))

    def close(self) -> None:
        """End the terminal and what runs in it."""
        self._tmux("kill-server")

    def _tmux(self, *words: str) -> str:
        result = subprocess.run(
            ["tmux", "-u", "-S", self._socket, *words],
            cwd=self._folder,
            env=self._environ,
            capture_output=True,
            encoding="utf-8",
            timeout=DEADLINE_S,
            check=False,
        )
        assert result.returncode == 0, f"tmux {words[0]}: {result.stderr}"
        return result.stdout
