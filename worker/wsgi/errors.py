"""`wsgi.errors`: what apps print goes where the log goes."""

from collections.abc import Iterable

from penstock.worker.logs import write_raw


class ErrorStream:
    """A text stream to write to, from any thread."""

    def write(self, text: str) -> int:
        """Write it at once."""
        if not isinstance(text, str):
            raise TypeError(f"wsgi.errors takes str, not {type(text).__name__}")
        write_raw(text)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write each of them."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Do nothing: nothing waits."""


ERRORS = ErrorStream()
