"""Several requests on one connection, and answers that come early."""

from tests.worker.http.corpus.case import Case, chunked, get, head_of, post

A, B, C = get(b"/a"), get(b"/b"), get(b"/c")
BAD = head_of(b"GET / HTTP/1.1")  # no Host
HEAD = get(b"/h", method=b"HEAD")
# The app answers these before it reads, the second with Connection: close; the last one it never answers.
EARLY, CLOSING = b"/early", b"/close"

_SEEN = {"a": {"path": "/a"}, "b": {"path": "/b"}, "c": {"path": "/c"}, "h": {"path": "/h", "method": "HEAD"}}


def saw(names: str) -> tuple[dict[str, str], ...]:
    """Tell what the app sees of requests by the last letter of their paths."""
    return tuple(_SEEN[name] for name in names)


CASES = [
    Case("pipeline: two", A + B, (200, 200), "open", saw("ab")),
    Case("pipeline: three", A + B + C, (200, 200, 200), "open", saw("abc")),
    Case("pipeline: fifty", A * 50, (200,) * 50, "open", saw("a" * 50)),
    Case("pipeline: good and bad", A + BAD, (200, 400), "closed", saw("a")),
    Case("pipeline: bad and good", BAD + A, (400,), "closed"),
    Case("pipeline: good, bad, good", A + BAD + B, (200, 400), "closed", saw("a")),
    Case("pipeline: good and garbage", A + b"\0\0", (200, 400), "closed", saw("a")),
    Case("pipeline: good and unknown", A + get(method=b"BREW") + B, (200, 501), "closed", saw("a")),
    Case("pipeline: good and another version", A + get(version=b"HTTP/2.0"), (200, 505), "closed", saw("a")),
    Case("pipeline: good and half a request", A + B[:10], (200,), "waiting", saw("a")),
    Case("pipeline: good and half an empty line", A + b"\r", (200,), "waiting", saw("a")),
    Case("pipeline: empty lines between", A + b"\r\n\r\n" + B, (200, 200), "open", saw("ab")),
    Case("pipeline: a bare newline between", A + b"\n" + B, (200, 400), "closed", saw("a")),
    Case("pipeline: newlines after it", A + b"\r\n\n\r\n\r\n", (200, 400), "closed", saw("a")),
    Case(
        "pipeline: bodies between",
        post(b"one") + A + chunked(b"3\r\ntwo\r\n0\r\n\r\n") + B,
        (200,) * 4,
        "open",
        ({"body": "one"}, *saw("a"), {"body": "two"}, *saw("b")),
    ),
    Case(
        "pipeline: a body that is too long by one",
        post(b"hello!", length=b"5") + A,
        (200, 501),
        "closed",
        ({"body": "hello"},),
    ),
    Case(
        "pipeline: a body that is too short by one",
        post(b"hell", length=b"5") + A,
        (200, 501),
        "closed",
        ({"body": "hellG"},),
    ),
    Case(
        "pipeline: a bad body",
        A + chunked(b"x\r\n") + B,
        (200, 400),
        "closed",
        saw("a"),
    ),
    Case(
        "pipeline: close in the middle",
        A + get(b"/b", b"Connection: close") + C,
        (200, 200),
        "closed",
        saw("ab"),
        depends=True,
    ),
    Case(
        "pipeline: 1.0 in the middle",
        A + get(b"/b", version=b"HTTP/1.0") + C,
        (200, 200),
        "closed",
        saw("ab"),
        depends=True,
    ),
    Case(
        "pipeline: the app closes in the middle",
        A + get(CLOSING) + C,
        (200, 200),
        "closed",
        (*saw("a"), {"path": "/close"}),
    ),
    Case("pipeline: HEAD", A + HEAD + B, (200, 200, 200), "open", saw("ahb"), heads=frozenset({1})),
    Case("pipeline: HEAD and bad", HEAD + BAD, (200, 400), "closed", saw("h"), heads=frozenset({0})),
    Case(
        "pipeline: HEAD is bad",
        A + b"HEAD / HTTP/1.1\r\n\r\n" + B,
        (200, 400),
        "closed",
        saw("a"),
        heads=frozenset({1}),
    ),
    Case("pipeline: two HEADs", HEAD + HEAD, (200, 200), "open", saw("hh"), heads=frozenset({0, 1})),
    Case("pipeline: the app fails", get(b"/fail") + A, (500,), "closed"),
    Case("pipeline: nothing to send", get(b"/204") + A, (204, 200), "open", saw("a")),
    Case("pipeline: not modified", get(b"/304") + A, (304, 200), "open", saw("a")),
    Case("pipeline: in several pieces", get(b"/stream") + A, (200, 200), "open", saw("a")),
    Case(
        "pipeline: in pieces, to HEAD",
        get(b"/stream", method=b"HEAD") + A,
        (200, 200),
        "open",
        saw("a"),
        heads=frozenset({0}),
    ),
    Case(
        "pipeline: in pieces, to 1.0",
        get(b"/stream", version=b"HTTP/1.0") + A,
        (200,),
        "closed",
        depends=True,
    ),
    Case(
        "early: length", post(b"hello", target=EARLY) + A, (200, 200), "open", ({"path": "/early"}, *saw("a"))
    ),
    Case(
        "early: chunked",
        chunked(b"5\r\nhello\r\n0\r\n\r\n", target=EARLY) + A,
        (200, 200),
        "open",
        ({"path": "/early"}, *saw("a")),
    ),
    Case(
        "early: body like a request",
        post(B, target=EARLY) + A,
        (200, 200),
        "open",
        ({"path": "/early"}, *saw("a")),
    ),
    Case(
        "early: 64 KiB",
        post(b"x" * 65536, target=EARLY) + A,
        (200, 200),
        "open",
        ({"path": "/early"}, *saw("a")),
        depends=True,
    ),
    Case(
        "early: the rest never comes",
        post(b"x", length=b"100", target=EARLY),
        (200,),
        "waiting",
        ({"path": "/early"},),
        depends=True,
    ),
    Case(
        "early: more than is worth reading",
        post(b"x" * 1000, length=b"100000000", target=EARLY),
        (200,),
        "closed",
        ({"path": "/early"},),
        depends=True,
    ),
    Case(
        "early: the rest is bad",
        chunked(b"5\r\nhello\r\nx\r\n", target=EARLY),
        (400,),
        "closed",
        depends=True,
    ),
    Case("early: close", post(b"hello", target=CLOSING) + A, (200,), "closed", ({"path": "/close"},)),
    Case(
        "early: the client waits for leave",
        post(b"", b"Expect: 100-continue", length=b"5", target=EARLY),
        (200,),
        "closed",
        ({"path": "/early"},),
        depends=True,
    ),
    Case(
        "leave: asked for and given",
        post(b"", b"Expect: 100-continue", length=b"5"),
        (100,),
        "waiting",
        depends=True,
    ),
    Case(
        "leave: for chunks",
        get(b"/", b"Expect: 100-continue", b"Transfer-Encoding: chunked", method=b"POST"),
        (100,),
        "waiting",
        depends=True,
    ),
    Case(
        "leave: not for a request that is bad",
        head_of(b"POST / HTTP/1.1", b"Expect: 100-continue", b"Content-Length: 5"),
        (400,),
        "closed",
    ),
    Case(
        "leave: not for a body that is too large",
        post(b"", b"Expect: 100-continue", length=b"50"),
        (413,),
        "closed",
        limits={"body_bytes": 5},
    ),
]
