"""TLS on the command line and in a file: what it comes to, and what is wrong with it."""

import base64
import re
from collections.abc import Mapping
from email.utils import formatdate
from pathlib import Path
from typing import Any

import msgspec
import pytest

from penstock.master.config import Config, ConfigError, Invocation, Reading, Tls
from penstock.master.config.certificates import validity_oddity
from penstock.master.config.schema import config_schema
from penstock.master.config.tls import Certificate
from penstock.worker.tls.context import leaf_of
from tests.master.config.conftest import Faults, Load

PASSWORD = "opensesame"


def read(environ: Mapping[str, str] | None = None, **options: str | tuple[str, ...]) -> Reading:
    given = {name: (each,) if isinstance(each, str) else each for name, each in options.items()}
    return Invocation(given, app="a:b").read(dict(environ or {}))


def tls_of(config: Config, index: int = 0) -> Tls:
    tls = config.listeners[index].tls
    assert tls is not None
    return tls


def listener(tls: str, bind: str = ":443") -> str:
    return f"listeners:\n  - bind: {bind}\n    routes: [{{app: 'a:b'}}]\n    tls: {tls}\n"


def test_options_are_a_certificate_of_every_tcp_listener(pem: dict[str, str]) -> None:
    """
    As uvicorn's, which has one listener. A UNIX socket is for the proxy in front, in plain text.
    """
    config = read(
        bind=("127.0.0.1:1", "unix:/x", "[::1]:2"),
        ssl_certfile=pem["cert"],
        ssl_keyfile=pem["key"],
        ssl_ca_certs=pem["cert"],
        ssl_cert_reqs="2",
        ssl_ciphers="ECDHE+AESGCM",
        ssl_version="1.3",
    ).config

    first, unix, second = (each.tls for each in config.listeners)
    assert unix is None
    assert first == second
    assert first == Tls(
        certificates=(Certificate(cert=pem["cert"], key=pem["key"]),),
        min_version="1.3",
        ciphers="ECDHE+AESGCM",
        client_ca=pem["cert"],
        client_cert="required",
    )


def test_options_replace_what_the_file_says(load: Load, pem: dict[str, str]) -> None:
    """
    And leave the rest of it.
    """
    both = f"{{certificates: [{{cert: {pem['cert']}, key: {pem['key']}}}], min_version: 1.3}}"
    config = load(listener(both), ssl_ciphers="ECDHE+AESGCM", ssl_cert_reqs="none").config

    assert tls_of(config).ciphers == "ECDHE+AESGCM"
    assert tls_of(config).min_version == "1.3"
    assert tls_of(config).certificates[0].key == pem["key"]


@pytest.mark.parametrize(
    ("option", "text", "key", "value"),
    [
        ("ssl_cert_reqs", "0", "client_cert", "none"),
        ("ssl_cert_reqs", "1", "client_cert", "optional"),
        ("ssl_cert_reqs", "required", "client_cert", "required"),
        ("ssl_version", "17", "min_version", "1.2"),  # uvicorn's default
        ("ssl_version", "2", "min_version", "1.2"),  # gunicorn's
        ("ssl_version", "TLSv1_2", "min_version", "1.2"),
        ("ssl_version", "tls1.3", "min_version", "1.3"),  # granian's
    ],
)
def test_numbers_of_other_servers_are_understood(
    pem: dict[str, str], option: str, text: str, key: str, value: str
) -> None:
    given: dict[str, Any] = {option: text}
    config = read(ssl_certfile=pem["cert"], ssl_keyfile=pem["key"], ssl_ca_certs=pem["cert"], **given).config

    assert getattr(tls_of(config), key) == value


@pytest.mark.parametrize(
    ("option", "text"), [("ssl_ciphers", "TLSv1"), ("ssl_version", "3"), ("ssl_version", "TLSv1_1")]
)
def test_values_without_meaning_are_warned_about(pem: dict[str, str], option: str, text: str) -> None:
    """
    They are other servers' defaults, or too old to be safe.
    """
    given: dict[str, Any] = {option: text}
    reading = read(ssl_certfile=pem["cert"], ssl_keyfile=pem["key"], **given)

    [warning] = reading.warnings
    assert warning.startswith(f"--{option.replace('_', '-')} {text} is ignored")
    assert tls_of(reading.config).ciphers is None
    assert tls_of(reading.config).min_version == "1.2"


def test_defaults_of_other_servers_do_not_ask_for_tls() -> None:
    """
    Scripts that say everything say these.
    """
    config = read(ssl_cert_reqs="0", ssl_version="17", ssl_ciphers="TLSv1").config

    assert config.listeners[0].tls is None


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (
            {"ssl_keyfile": "k"},
            "--ssl-keyfile: found a key without a certificate, expected --ssl-certfile beside it",
        ),
        (
            {"ssl_keyfile_password": PASSWORD},
            "--ssl-keyfile-password: found a password without a certificate, "
            "expected --ssl-certfile beside it",
        ),
        ({"ssl_certfile": "/none"}, "--ssl-certfile: found '/none', expected a PEM file: no such file"),
        (
            {"ssl_cert_reqs": "3", "ssl_certfile": "cert", "ssl_keyfile": "key"},
            "--ssl-cert-reqs: found '3', expected 'none', 'optional' or 'required'",
        ),
        (
            {"ssl_version": "1.4", "ssl_certfile": "cert", "ssl_keyfile": "key"},
            "--ssl-version: found '1.4', expected '1.2' or '1.3'; did you mean '1.3'?",
        ),
        (
            {"ssl_certfile": "cert"},
            "--ssl-certfile: found 'cert' without a private key, expected one in it, or a 'key' beside it",
        ),
        (
            {"ssl_certfile": "cert", "ssl_keyfile": "key", "ssl_cert_reqs": "1"},
            "--ssl-cert-reqs: found 'optional' without 'client_ca', "
            "expected it beside it: who may issue them?",
        ),
    ],
)
def test_mistake_in_an_option_is_told_by_its_name(
    pem: dict[str, str], options: dict[str, str], told: str
) -> None:
    given = {name: pem.get(text, text) for name, text in options.items()}
    with pytest.raises(ConfigError) as caught:
        read(**given)  # type: ignore[arg-type]

    found = [
        re.sub(r"found '[^']*/(cert|key)\.pem'", r"found '\1'", str(each)) for each in caught.value.problems
    ]
    assert found == [told]


@pytest.mark.parametrize(
    ("tls", "place", "told"),
    [
        ("client_cert: required", "client_cert", "without 'client_ca'"),
        ("client_ca: /none", "client_ca", "found '/none', expected a PEM file: no such file"),
        ("client_ca: KEY", "client_ca", "expected certificates in PEM"),
        ("ciphers: NONSENSE", "ciphers", "found 'NONSENSE', which OpenSSL does not know"),
        ("ciphers: 'ECDHE+AESGCM:AES-BOGUS'", "ciphers", "found 'AES-BOGUS', which OpenSSL does not know"),
        ("ciphers: TLS_AES_128_GCM_SHA256", "ciphers", "expected ciphers of TLS 1.2"),
        ("ciphers: '!ALL'", "ciphers", "of which OpenSSL makes no cipher"),
        ("client_cert: maybe", "client_cert", "expected 'none', 'optional' or 'required'"),
    ],
)
def test_mistake_in_a_file_is_told_at_its_line(
    faults: Faults, pem: dict[str, str], tls: str, place: str, told: str
) -> None:
    text = listener(f"\n      certificates: [{{cert: {pem['cert']}, key: {pem['key']}}}]\n      {tls}")

    [found] = faults(text.replace("KEY", pem["key"]))

    assert found.startswith("6:")
    assert f"listeners[0].tls.{place}: " in found
    assert told in found


@pytest.mark.parametrize(
    "ciphers", ["ECDHE+AESGCM:!RC4:!NOSUCH", "HIGH:!aNULL:@STRENGTH", "DEFAULT@SECLEVEL=2"]
)
def test_lists_of_ciphers_that_people_have_pass(load: Load, pem: dict[str, str], ciphers: str) -> None:
    """
    They take out what today's OpenSSL has forgotten.
    """
    text = listener(f"{{certificates: [{{cert: {pem['cert']}, key: {pem['key']}}}], ciphers: '{ciphers}'}}")

    assert load(text).warnings == ()


def test_what_has_no_effect_is_warned_about(load: Load, pem: dict[str, str]) -> None:
    """
    Whoever names an authority believes that clients are looked at.
    """
    pair = f"certificates: [{{cert: {pem['cert']}, key: {pem['key']}}}]"

    [authority] = load(listener(f"{{{pair}, client_ca: {pem['cert']}}}")).warnings
    assert "listeners[0].tls.client_ca: has no effect" in authority
    [ciphers] = load(listener(f"{{{pair}, ciphers: ECDHE+AESGCM, min_version: 1.3}}")).warnings
    assert "listeners[0].tls.ciphers: has no effect" in ciphers


def locked(pem: dict[str, str], password: str) -> str:
    return listener(
        f"{{certificates: [{{cert: {pem['cert']}, key: {pem['locked']}, password: {password}}}]}}"
    )


def test_password_opens_the_key_and_is_never_shown(load: Load, faults: Faults, pem: dict[str, str]) -> None:
    """
    Not where it is right, wrong, too long or half a variable.
    """
    config = load(locked(pem, '"${SECRET}"'), {"SECRET": "secret"}).config
    assert tls_of(config).certificates[0].password == "secret"
    assert "secret" not in repr(config)

    for text, environ in (
        (locked(pem, PASSWORD), {}),
        (locked(pem, '"${SECRET}"'), {"SECRET": PASSWORD}),
        (locked(pem, f'"{PASSWORD}-${{MISSING}}"'), {}),
        (locked(pem, PASSWORD * 200), {}),
        (locked(pem, f"[{PASSWORD}]"), {}),
        (locked(pem, f"{{{PASSWORD}: 1}}"), {}),
    ):
        [found] = faults(text, environ)
        assert ".password" in found
        assert PASSWORD not in found, found
    with pytest.raises(ConfigError) as caught:
        read(ssl_certfile=pem["cert"], ssl_keyfile=pem["locked"], ssl_keyfile_password=PASSWORD)
    assert str(caught.value).startswith("--ssl-keyfile-password: found one that does not open ")
    assert PASSWORD not in str(caught.value)


def test_password_comes_from_a_variable(pem: dict[str, str]) -> None:
    """
    Other users of the machine see a command line, and not the environment.
    """
    environ = {"PENSTOCK_SSL_KEYFILE_PASSWORD": "secret"}
    config = read(environ, ssl_certfile=pem["cert"], ssl_keyfile=pem["locked"]).config

    assert tls_of(config).certificates[0].password == "secret"


def test_key_with_certificate_in_one_encrypted_file(load: Load, pem: dict[str, str], tmp_path: Path) -> None:
    """
    As uvicorn allows it; and nobody is asked at the terminal.
    """
    both = tmp_path / "both.pem"
    both.write_text(Path(pem["cert"]).read_text() + Path(pem["locked"]).read_text())

    assert load(listener(f"{{certificates: [{{cert: {both}, password: secret}}]}}"))
    with pytest.raises(ConfigError, match="expected 'password' beside it"):
        load(listener(f"{{certificates: [{{cert: {both}}}]}}"))


def test_certificate_out_of_its_time_is_a_warning(pem: dict[str, str]) -> None:
    """
    To serve it is better than to serve nothing, and the clock may be wrong.
    """
    pair = Certificate(cert=pem["cert"], key=pem["key"])
    leaf = leaf_of(pem["cert"])

    assert validity_oddity(pair, leaf.not_before_s) is None
    ended = validity_oddity(pair, leaf.not_after_s + 1)
    assert ended is not None
    assert f"expired on {formatdate(leaf.not_after_s, usegmt=True)}" in ended
    begins = validity_oddity(pair, leaf.not_before_s - 1)
    assert begins is not None
    assert f"is valid from {formatdate(leaf.not_before_s, usegmt=True)} on" in begins


def test_certificate_that_cannot_be_read_as_one_is_told(faults: Faults, pem: dict[str, str]) -> None:
    """
    PEM around something else.
    """
    Path(pem["cert"]).write_text(
        f"-----BEGIN CERTIFICATE-----\n{base64.b64encode(b'hello').decode()}\n-----END CERTIFICATE-----\n"
    )
    [found] = faults(listener(f"{{certificates: [{{cert: {pem['cert']}, key: {pem['key']}}}]}}"))

    assert "certificates[0].cert: found" in found
    assert "expected a certificate in PEM" in found


def test_schema_has_no_secret() -> None:
    """
    A password is a text, without an example that somebody might keep.
    """
    part = config_schema()["$defs"]["Certificate"]["properties"]["password"]

    assert "default" not in part
    assert "secret" not in msgspec.json.encode(part).decode()
