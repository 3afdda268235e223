"""
Options of the edge, laid over the listeners: TLS, and which proxies are trusted.

They need more than one key each: a certificate is a record in a list, and
uvicorn's numbers mean words here.
"""

from collections.abc import Iterator

from penstock.master.config.given import Given, Levels
from penstock.master.config.problems import Path, Problem
from penstock.master.config.tree import Mapping, Node, Scalar, Sequence
from penstock.master.config.typed import BOOLEANS

# ssl.CERT_NONE, CERT_OPTIONAL and CERT_REQUIRED, as uvicorn and gunicorn want them.
CERT_REQS = {"0": "none", "1": "optional", "2": "required"}

# Words for a version, with ssl's numbers of them. They say which is the oldest that is spoken.
VERSIONS = {
    **dict.fromkeys(("1.3", "TLSv1.3", "TLSv1_3", "tls1.3"), "1.3"),
    **dict.fromkeys(("1.2", "TLSv1.2", "TLSv1_2", "tls1.2", "5", "2", "16", "17"), "1.2"),
    **dict.fromkeys(("TLS", "TLS_SERVER", "SSLv23", "PROTOCOL_TLS", "PROTOCOL_TLS_SERVER"), "1.2"),
}
TOO_OLD = {"SSLv2", "SSLv3", "TLSv1", "TLSv1_1", "TLSv1.1", "0", "1", "3", "4"}

# What uvicorn has for a default: ciphers that are old for TLS 1.2, and nobody means.
DEFAULT_CIPHERS = "TLSv1"

_PAIR = {"cert": "ssl_certfile", "key": "ssl_keyfile", "password": "ssl_keyfile_password"}


class EdgeOptions:
    """What was given of them; `problems` and `warnings` hold what is wrong and what is odd."""

    def __init__(self, levels: Levels) -> None:
        """Take what was given."""
        self._levels = levels
        self.problems: list[Problem] = []
        self.warnings: list[str] = []

    def values(self) -> list[tuple[Path, Node, bool]]:
        """List keys of a listener, what to set them to, and whether that is for TCP alone."""
        tls = [(path, node, True) for path, node in self._tls()]
        return [*tls, *((path, node, False) for path, node in self._proxies())]

    def _tls(self) -> Iterator[tuple[Path, Node]]:
        yield from self._certificates()
        for name, key in (("ssl_ca_certs", "client_ca"), ("ssl_cert_reqs", "client_cert")):
            given = self._levels.find(name)
            if given is not None:
                text = CERT_REQS.get(given.text, given.text) if key == "client_cert" else given.text
                if key == "client_cert" and text == "none" and not self._is_tls():
                    continue  # The default, and no reason to speak TLS.
                yield ("tls", key), _scalar(given, text)
        given = self._levels.find("ssl_ciphers")
        if given is not None and given.text == DEFAULT_CIPHERS:
            self.warnings.append(f"{given.place} {given.text} is ignored: strong ciphers are used")
        elif given is not None:
            yield ("tls", "ciphers"), _scalar(given, given.text)
        given = self._levels.find("ssl_version")
        if given is not None and given.text in TOO_OLD:
            self.warnings.append(f"{given.place} {given.text} is ignored: TLS 1.2 and 1.3 are spoken")
        elif given is not None and (self._is_tls() or VERSIONS.get(given.text) != "1.2"):
            yield ("tls", "min_version"), _scalar(given, VERSIONS.get(given.text, given.text))

    def _is_tls(self) -> bool:
        return self._levels.find("ssl_certfile") is not None

    def _certificates(self) -> Iterator[tuple[Path, Node]]:
        given = {key: self._levels.find(name) for key, name in _PAIR.items()}
        cert = given["cert"]
        if cert is None:
            for key, what in (("key", "a key"), ("password", "a password")):
                lonely = given[key]
                if lonely is not None:
                    told = f"found {what} without a certificate, expected --ssl-certfile beside it"
                    self.problems.append(Problem(lonely.place, (), told))
            return
        pairs = [(Scalar(each.place, key), each.scalar()) for key, each in given.items() if each is not None]
        yield ("tls", "certificates"), Sequence(cert.place, (Mapping(cert.place, tuple(pairs)),))

    def _proxies(self) -> Iterator[tuple[Path, Node]]:
        given = self._levels.find("forwarded_allow_ips")
        if given is not None:
            yield ("trusted_proxies",), _listed(given)
        given = self._levels.find("proxy_headers")
        if given is not None and given.text == "false":
            yield ("forwarded",), Scalar(given.place, "none")
        given = self._levels.find("proxy_allow_from")
        switch = self._levels.find("proxy_protocol")
        if given is not None and (switch is None or not BOOLEANS.get(switch.text)):
            self.warnings.append(f"{given.place} has no effect without --proxy-protocol")
        elif given is not None:
            yield ("proxy_protocol", "from"), _listed(given)


def _listed(given: Given) -> Sequence:
    texts = [text for each in given.text.split(",") if (text := each.strip())]
    return Sequence(given.place, tuple(_scalar(given, each) for each in texts))


def _scalar(given: Given, text: str) -> Scalar:
    return Scalar(given.place, text, is_literal=True)
