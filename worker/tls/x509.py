"""
Reads in a certificate what Python's `ssl` does not tell of one that is not a peer's: when it ends,
which names it is for, whose it is.

Takes DER apart; judges no signature and trusts nothing.
"""

import calendar
import re
import ssl
import time
from collections.abc import Iterator
from typing import NamedTuple

_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)

_SEQUENCE, _SET, _OID = 0x30, 0x31, 0x06
_VERSION, _EXTENSIONS = 0xA0, 0xA3
_UTC_TIME = 0x17
_DNS_NAME = 0x82
_ALTERNATIVE_NAMES = "2.5.29.17"
_COMMON_NAME = "2.5.4.3"

# How the kinds of text in a name are written.
_ENCODINGS = {0x1C: "utf-32-be", 0x1E: "utf-16-be", 0x14: "latin-1"}

# Short names of attributes (RFC 4514, section 3). Others are told by number.
_SHORT = {
    _COMMON_NAME: "CN",
    "2.5.4.6": "C",
    "2.5.4.7": "L",
    "2.5.4.8": "ST",
    "2.5.4.9": "STREET",
    "2.5.4.10": "O",
    "2.5.4.11": "OU",
    "0.9.2342.19200300.100.1.1": "UID",
    "0.9.2342.19200300.100.1.25": "DC",
}
_ESCAPED = str.maketrans({char: "\\" + char for char in '"+,;<>\\'} | {"\0": "\\00"})


class Element(NamedTuple):
    """One element of DER: its tag, its content, and both together with the length between them."""

    tag: int
    content: bytes
    whole: bytes


class Attribute(NamedTuple):
    """One part of a name: its type as a dotted number, and its value."""

    oid: str
    value: Element

    @property
    def text(self) -> str:
        """The value as text."""
        return self.value.content.decode(_ENCODINGS.get(self.value.tag, "utf-8"), "replace")


class Certificate(NamedTuple):
    """What a certificate says."""

    subject: tuple[tuple[Attribute, ...], ...]
    dns_names: tuple[str, ...]  # lower case; the common name if there are no others
    not_before_s: float
    not_after_s: float
    key_algorithm: str

    @property
    def name(self) -> str:
        """What people call it: the first host name, else whose it is."""
        return self.dns_names[0] if self.dns_names else distinguished_name(self.subject)


def certificates_of(pem: bytes) -> list[bytes]:
    """Find the certificates of a PEM file, as DER. Raises ValueError."""
    return [ssl.PEM_cert_to_DER_cert(each.decode("ascii")) for each in _PEM.findall(pem)]


def read_certificate(der: bytes) -> Certificate:
    """Read a certificate. Raises ValueError for what is none."""
    try:
        return _read(der)
    except (IndexError, StopIteration) as error:
        raise ValueError("not a certificate") from error


def distinguished_name(subject: tuple[tuple[Attribute, ...], ...]) -> str:
    """Write a name as RFC 4514 has it: the last part first."""
    return ",".join("+".join(_written(each) for each in reversed(part)) for part in reversed(subject))


def _read(der: bytes) -> Certificate:
    outer, _ = _element(der, 0)
    signed, _ = _element(_content(outer, _SEQUENCE), 0)
    parts = list(_elements(_content(signed, _SEQUENCE)))
    if parts[0].tag == _VERSION:
        del parts[0]
    # Before these: serial number, algorithm, issuer.
    validity, name, key, rest = parts[3], parts[4], parts[5], parts[6:]
    begin, end = _elements(_content(validity, _SEQUENCE))
    subject = tuple(_part(each) for each in _elements(_content(name, _SEQUENCE)))
    algorithm, _ = _element(_content(key, _SEQUENCE), 0)
    names = tuple(_dns_names(rest))
    if not names:
        names = tuple(each.text.lower() for part in subject for each in part if each.oid == _COMMON_NAME)
    return Certificate(subject, names, _time(begin), _time(end), _oid(next(_elements(algorithm.content))))


def _element(data: bytes, at: int) -> tuple[Element, int]:
    tag, size = data[at], data[at + 1]
    start = at + 2
    if size & 0x80:
        count = size & 0x7F
        size = int.from_bytes(data[start : start + count], "big")
        start += count
    end = start + size
    if end > len(data):
        raise ValueError("not a certificate: it is cut off")
    return Element(tag, data[start:end], data[at:end]), end


def _elements(data: bytes) -> Iterator[Element]:
    at = 0
    while at < len(data):
        element, at = _element(data, at)
        yield element


def _content(element: Element, tag: int) -> bytes:
    if element.tag != tag:
        raise ValueError(f"not a certificate: found {element.tag:#x} for {tag:#x}")
    return element.content


def _part(element: Element) -> tuple[Attribute, ...]:
    found = []
    for each in _elements(_content(element, _SET)):
        kind, value = _elements(_content(each, _SEQUENCE))
        found.append(Attribute(_oid(kind), value))
    return tuple(found)


def _oid(element: Element) -> str:
    content = _content(element, _OID)
    numbers = []
    value = 0
    for byte in content:
        value = value << 7 | byte & 0x7F
        if not byte & 0x80:
            numbers.append(value)
            value = 0
    first = min(numbers[0] // 40, 2)
    return ".".join(map(str, (first, numbers[0] - 40 * first, *numbers[1:])))


def _time(element: Element) -> float:
    text = element.content.decode("ascii")
    return float(
        calendar.timegm(time.strptime(text, "%y%m%d%H%M%SZ" if element.tag == _UTC_TIME else "%Y%m%d%H%M%SZ"))
    )


def _dns_names(parts: list[Element]) -> Iterator[str]:
    extensions = next((each for each in parts if each.tag == _EXTENSIONS), None)
    if extensions is None:
        return
    listed, _ = _element(extensions.content, 0)
    for extension in _elements(listed.content):
        kind, *rest = _elements(extension.content)
        if _oid(kind) == _ALTERNATIVE_NAMES:
            names, _ = _element(rest[-1].content, 0)
            for each in _elements(names.content):
                if each.tag == _DNS_NAME:
                    yield each.content.decode("latin-1").lower()


def _written(attribute: Attribute) -> str:
    short = _SHORT.get(attribute.oid)
    if short is None:
        return f"{attribute.oid}=#{attribute.value.whole.hex()}"
    text = attribute.text.translate(_ESCAPED)
    if text[:1] in {" ", "#"}:
        text = "\\" + text
    if text[-1:] == " " and len(attribute.text) > 1:
        text = text[:-1] + "\\ "
    return f"{short}={text}"
