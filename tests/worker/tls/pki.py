"""Certificates for tests, made with openssl: authorities, servers, clients."""

import subprocess
from pathlib import Path
from typing import NamedTuple

DAYS = ("-days", "2")
EC = ("ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")
RSA = ("rsa:2048",)


class Pair(NamedTuple):
    """Files with a certificate and its key."""

    cert: Path
    key: Path


def openssl(*words: str) -> str:
    """Run it."""
    done = subprocess.run(["openssl", *words], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def make(
    folder: Path,
    name: str,
    *,
    names: tuple[str, ...] = (),
    subject: str | None = None,
    issuer: Pair | None = None,
    kind: tuple[str, ...] = EC,
    valid: tuple[str, ...] = DAYS,
) -> Pair:
    """Make a certificate, signed by itself or by another."""
    pair = Pair(folder / f"{name}.pem", folder / f"{name}.key")
    words = ["req", "-x509", "-newkey", *kind, "-nodes", "-utf8", "-subj", subject or f"/CN={name}", *valid]
    if names:
        words += ["-addext", "subjectAltName=" + ",".join(f"DNS:{each}" for each in names)]
    if issuer is not None:
        words += ["-CA", str(issuer.cert), "-CAkey", str(issuer.key)]
        words += ["-addext", "basicConstraints=critical,CA:FALSE"]
    openssl(*words, "-keyout", str(pair.key), "-out", str(pair.cert))
    return pair


def encrypt(key: Path, password: str) -> Path:
    """Write a key with a password beside it."""
    path = key.with_suffix(".locked")
    openssl("pkey", "-in", str(key), "-aes256", "-passout", f"pass:{password}", "-out", str(path))
    return path
