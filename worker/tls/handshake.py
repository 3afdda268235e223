"""
A handshake that fails: the client is told why, and the log is, once.

The loop closes a connection whose handshake failed and writes nothing more, not
even the alert that OpenSSL has ready. So a failure is held back here until that
is sent: to the loop it looks like a handshake that waits for the client, which
hangs up when it has read the alert, or is cut off when its time is over.
"""

import ssl
import sys
import time
from typing import TYPE_CHECKING, Final

from penstock.worker.logs import LOG

if TYPE_CHECKING:
    from penstock.worker.tls.context import ServerContext

_TEXT: Final = b"400 Bad Request: this port speaks TLS; ask for https:// instead\n"
# What a client is answered that speaks plain HTTP: it can read nothing else.
PLAIN_HTTP_ANSWER: Final = (
    b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain; charset=utf-8\r\nconnection: close\r\n"
    b"content-length: %d\r\n\r\n%b" % (len(_TEXT), _TEXT)
)

_WORDS: Final = {
    "HTTP_REQUEST": "a client speaks plain HTTP",
    "HTTPS_PROXY_REQUEST": "a client takes it for a proxy",
    "WRONG_VERSION_NUMBER": "a client does not speak TLS",
    "UNSUPPORTED_PROTOCOL": "a client speaks too old a version of TLS",
    "NO_SHARED_CIPHER": "a client knows none of the ciphers",
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "a client sent no certificate",
    "CALLBACK_FAILED": "a client asked for a host name that is none",
}


class Handshake(ssl.SSLObject):
    """The TLS of one connection, made by a `ServerContext`."""

    outgoing: ssl.MemoryBIO
    _failure: ssl.SSLError | None = None

    def do_handshake(self) -> None:
        """Go on with the handshake. Raises SSLError for a failure the second time it is asked."""
        if self._failure is not None:
            raise self._failure
        hook, sys.unraisablehook = sys.unraisablehook, _without_names
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as error:
            self._failure = error
            if error.reason == "HTTP_REQUEST":
                self.outgoing.read()
                self.outgoing.write(PLAIN_HTTP_ANSWER)
            _tell(self.context, error)  # type: ignore[arg-type]
            if not self.outgoing.pending:
                raise
            raise ssl.SSLWantReadError(ssl.SSL_ERROR_WANT_READ, "the alert is to be sent") from None
        finally:
            sys.unraisablehook = hook


def _tell(context: "ServerContext", error: ssl.SSLError) -> None:
    words = _WORDS.get(error.reason or "")
    if isinstance(error, ssl.SSLCertVerificationError):
        words = f"a client's certificate is not accepted: {error.verify_message}"
    if words is None:
        words = (error.reason or str(error)).replace("_", " ").lower()
    LOG.debug("TLS handshake failed on %s: %s", context.listener, words)
    told = context.complaints.judge(words, time.monotonic())
    if told is not None:
        LOG.info("TLS handshake failed on %s: %s", context.listener, told)


def _without_names(unraisable: "sys.UnraisableHookArgs") -> None:
    """Say nothing of a server name that is no ASCII: the handshake fails for it, which is told."""
    if not (isinstance(unraisable.exc_value, UnicodeDecodeError) and isinstance(unraisable.object, bytes)):
        sys.__unraisablehook__(unraisable)
