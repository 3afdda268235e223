"""What is read in a certificate, beside what openssl says of it."""

import calendar
import ssl
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.worker.tls.x509 import certificates_of, distinguished_name, read_certificate
from tests.worker.tls.pki import RSA, Pair, make, openssl


def read(pair: Pair) -> tuple[str, object]:
    [der] = certificates_of(pair.cert.read_bytes())
    leaf = read_certificate(der)
    return distinguished_name(leaf.subject), leaf


@pytest.mark.parametrize(
    "subject",
    [
        "/CN=localhost",
        "/C=CH/ST=Bern/L=Biel/O=Acme, Inc./OU=a\\+b/CN=x",
        "/CN=#1",
        "/CN= a ",
        '/CN=a"b<c>;d\\\\e',
        "/CN=Zoë 中 €",
        "/DC=com/DC=example/UID=bob",
        "/O=a/OU=b+CN=c",
    ],
)
def test_name_is_written_as_openssl_writes_it(tmp_path: Path, subject: str) -> None:
    """
    RFC 4514, which apps compare with what they have in a list.
    """
    pair = make(tmp_path, "x", subject=subject)

    name, _ = read(pair)

    # Without escapes for what is not ASCII, which the RFC leaves open.
    shown = openssl("x509", "-in", str(pair.cert), "-noout", "-subject", "-nameopt", "RFC2253,-esc_msb,utf8")
    assert name == shown.strip("\n").removeprefix("subject=")


def test_attribute_without_a_short_name_is_told_by_number(tmp_path: Path) -> None:
    """
    With its whole value, so that nothing is lost.
    """
    name, _ = read(make(tmp_path, "x", subject="/CN=a/emailAddress=b@c"))

    assert name == "1.2.840.113549.1.9.1=#160362" + "4063,CN=a"


def test_validity_and_names_are_found(pairs: dict[str, Pair]) -> None:
    [der] = certificates_of(pairs["wild"].cert.read_bytes())
    leaf = read_certificate(der)

    shown = openssl("x509", "-in", str(pairs["wild"].cert), "-noout", "-enddate").strip()
    expected = calendar.timegm(time.strptime(shown, "notAfter=%b %d %H:%M:%S %Y GMT"))
    assert leaf.not_after_s == expected
    assert leaf.not_after_s - leaf.not_before_s == 2 * 86400
    assert leaf.dns_names == ("*.example.com", "example.com")
    assert leaf.name == "*.example.com"


def test_without_alternative_names_the_common_name_counts(pairs: dict[str, Pair]) -> None:
    """
    As old certificates of the house have it.
    """
    [der] = certificates_of(pairs["authority"].cert.read_bytes())

    assert read_certificate(der).dns_names == ("authority",)


def test_end_after_2049_is_read(tmp_path: Path) -> None:
    """
    From then on years have four digits.
    """
    _, leaf = read(make(tmp_path, "x", valid=("-days", "20000")))

    assert time.gmtime(leaf.not_after_s).tm_year > 2050  # type: ignore[attr-defined]


def test_kinds_of_key_differ(tmp_path: Path, pairs: dict[str, Pair]) -> None:
    """
    OpenSSL has room for one certificate of each kind.
    """
    kinds = [
        read_certificate(certificates_of(each.cert.read_bytes())[0]).key_algorithm
        for each in (pairs["first"], make(tmp_path, "x", kind=RSA))
    ]

    assert kinds == ["1.2.840.10045.2.1", "1.2.840.113549.1.1.1"]


@given(data=st.data())
def test_what_is_none_is_a_value_error(pairs: dict[str, Pair], data: st.DataObject) -> None:
    """
    Cut off, with a byte changed, or anything at all: never another exception.
    """
    der = ssl.PEM_cert_to_DER_cert(pairs["wild"].cert.read_text())
    at = data.draw(st.integers(0, len(der) - 1))
    changed = der[:at] + bytes([data.draw(st.integers(0, 255))]) + der[at + 1 :]
    for each in (der[:at], changed, data.draw(st.binary(max_size=60))):
        try:
            read_certificate(each)
        except ValueError:
            pass
