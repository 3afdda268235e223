"""Whether a certificate and its key can be served, told before anything binds."""

import os
import ssl
from pathlib import Path as FilePath


def certificate_fault(cert: str, key: str) -> tuple[str, str] | None:
    """Find what is wrong with a pair: the key of the file (`cert` or `key`) and the message."""
    for name, path in (("cert", cert), ("key", key)):
        try:
            # A FIFO would be waited for, and no certificate is one.
            if not FilePath(path).is_file():
                return name, f"found {path!r}, expected a PEM file: {_missing(path)}"
            with FilePath(path).open("rb") as stream:
                stream.read(1)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            return name, f"found {path!r}, expected a PEM file that can be read: {reason}"
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert)
    except ssl.SSLError as error:
        # A file with the certificate alone fails for want of a key, and that is well.
        if not _holds(cert, b"CERTIFICATE"):
            return "cert", f"found {cert!r}, expected a certificate in PEM ({_reason(error)})"
    try:
        # A passphrase would be asked for on the terminal; an empty one fails instead.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert, key, password=lambda: "")
    except (ssl.SSLError, OSError, ValueError) as error:
        reason = _reason(error)
        if "MISMATCH" in reason:
            return "key", f"found {key!r}, which is not the key of the certificate {cert!r}"
        if not _holds(key, b"PRIVATE KEY"):
            return "key", f"found {key!r}, expected a private key in PEM"
        if _holds(key, b"ENCRYPTED"):
            return "key", f"found {key!r}, expected a private key without a passphrase"
        return "cert", f"found {cert!r} with {key!r}, expected a certificate and its key in PEM ({reason})"
    return None


def _missing(path: str) -> str:
    return "it is not a regular file" if os.path.lexists(path) and FilePath(path).exists() else "no such file"


def _holds(path: str, word: bytes) -> bool:
    return word in FilePath(path).read_bytes()[: 1024 * 1024]


def _reason(error: Exception) -> str:
    return getattr(error, "reason", None) or str(error) or type(error).__name__
