"""
Whether certificates, keys and ciphers can be served, told before anything binds.

A password is used here and never told.
"""

import os
import re
import ssl
import time
from email.utils import formatdate
from pathlib import Path as FilePath

from penstock.master.config.tls import Certificate, Tls
from penstock.worker.tls.context import KeyPair, leaf_of, load_pair

FILE_BYTES_MAX = 1024 * 1024

# The key within the record, and the message.
Fault = tuple[str, str]


def certificate_fault(pair: Certificate) -> Fault | None:
    """Find what is wrong with a certificate and its key."""
    cert, key = pair.cert, pair.key or pair.cert
    for name, path in (("cert", cert), ("key", key)):
        fault = _file_fault(path)
        if fault is not None:
            return name, fault
    if not _holds(cert, b"-----BEGIN CERTIFICATE-----"):
        return "cert", f"found {cert!r}, expected a certificate in PEM"
    try:
        leaf_of(cert)
    except ValueError as error:
        return "cert", f"found {cert!r}, expected a certificate in PEM ({error})"
    if not _holds(key, b"PRIVATE KEY-----"):
        if pair.key is None:
            return "cert", f"found {cert!r} without a private key, expected one in it, or a 'key' beside it"
        return "key", f"found {key!r}, expected a private key in PEM"
    # What OpenSSL says of the two together is often not to the point, so the key is tried alone, too.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        load_pair(context, KeyPair(cert, pair.key, pair.password))
    except (ssl.SSLError, OSError, ValueError) as error:
        return _pair_fault(pair, key, _reason(error))
    return None


def _pair_fault(pair: Certificate, key: str, reason: str) -> Fault:
    at_key = "key" if pair.key is not None else "cert"
    if "MISMATCH" in reason:
        return at_key, f"found {key!r}, which is not the key of the certificate {pair.cert!r}"
    if _holds(key, b"ENCRYPTED"):
        if pair.password is None:
            return at_key, f"found {key!r}, a private key with a password, expected 'password' beside it"
        return "password", f"found one that does not open {key!r}, expected the password of that private key"
    return "cert", f"found {pair.cert!r} with {key!r}, expected a certificate and its key in PEM ({reason})"


def tls_faults(tls: Tls) -> list[Fault]:
    """Find what is wrong with the rest of a listener's TLS."""
    faults = [_client_ca_fault(tls.client_ca), _ciphers_fault(tls.ciphers)]
    if tls.client_cert != "none" and tls.client_ca is None:
        told = f"found {tls.client_cert!r} without 'client_ca', expected it beside it: who may issue them?"
        faults.append(("client_cert", told))
    return [each for each in faults if each is not None]


def tls_oddities(tls: Tls) -> list[Fault]:
    """Find what is no mistake, and yet likely not what was meant."""
    odd: list[Fault] = []
    if tls.client_ca is not None and tls.client_cert == "none":
        told = "has no effect: clients are asked for no certificate unless 'client_cert' says so"
        odd.append(("client_ca", told))
    if tls.ciphers is not None and tls.min_version == "1.3":
        odd.append(("ciphers", "has no effect: they are of TLS 1.2, and 'min_version' is \"1.3\""))
    return odd


def validity_oddity(pair: Certificate, now_s: float | None = None) -> str | None:
    """Tell of a certificate that has ended or not begun. A server with one is better than none."""
    now_s = time.time() if now_s is None else now_s
    try:
        leaf = leaf_of(pair.cert)
    except (OSError, ValueError):
        return None  # Told as a fault.
    if leaf.not_after_s < now_s:
        return f"the certificate {pair.cert!r} expired on {formatdate(leaf.not_after_s, usegmt=True)}"
    if leaf.not_before_s > now_s:
        return f"the certificate {pair.cert!r} is valid from {formatdate(leaf.not_before_s, usegmt=True)} on"
    return None


def _client_ca_fault(path: str | None) -> Fault | None:
    if path is None:
        return None
    fault = _file_fault(path)
    if fault is not None:
        return "client_ca", fault
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(cafile=path)
    except (ssl.SSLError, OSError, ValueError) as error:
        return "client_ca", f"found {path!r}, expected certificates in PEM ({_reason(error)})"
    return None


def _ciphers_fault(text: str | None) -> Fault | None:
    if text is None:
        return None
    expected = "expected ciphers as OpenSSL writes them, such as 'ECDHE+AESGCM:ECDHE+CHACHA20'"
    for word in re.split(r"[:, ]+", text):
        if word.startswith("TLS_"):
            told = (
                f"found {word!r}, expected ciphers of TLS 1.2: all of TLS 1.3 are on, and none can be chosen"
            )
            return "ciphers", told
        # What is taken out may be gone from OpenSSL altogether, and that is well.
        if word and word[0] not in "!-@" and not _knows_ciphers(f"{word.lstrip('+')}:@SECLEVEL=0"):
            return "ciphers", f"found {word!r}, which OpenSSL does not know, {expected}"
    if not _knows_ciphers(text):
        return "ciphers", f"found {text!r}, of which OpenSSL makes no cipher, {expected}"
    return None


def _knows_ciphers(text: str) -> bool:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).set_ciphers(text)
    except (ssl.SSLError, ValueError):
        return False
    return True


def _file_fault(path: str) -> str | None:
    try:
        # A FIFO would be waited for, and no certificate is one.
        if not FilePath(path).is_file():
            return f"found {path!r}, expected a PEM file: {_missing(path)}"
        with FilePath(path).open("rb") as stream:
            stream.read(1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        return f"found {path!r}, expected a PEM file that can be read: {reason}"
    return None


def _missing(path: str) -> str:
    return "it is not a regular file" if os.path.lexists(path) and FilePath(path).exists() else "no such file"


def _holds(path: str, word: bytes) -> bool:
    with FilePath(path).open("rb") as stream:
        return word in stream.read(FILE_BYTES_MAX)


def _reason(error: Exception) -> str:
    return getattr(error, "reason", None) or str(error) or type(error).__name__
