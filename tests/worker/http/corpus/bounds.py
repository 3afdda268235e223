"""How much a client may send: at each limit, and one beyond it."""

from tests.worker.http.corpus.case import Case, bad, chunked, get, good, head_of, post

SMALL = {"header_bytes": 256}
FEW = {"header_count": 3}
BODY = {"body_bytes": 5}


def of_size(size: int, *, in_target: bool = False) -> bytes:
    """Write a request whose head has this size."""
    bare = len(get(b"/", b"X: "))
    if in_target:
        return get(b"/" + b"t" * (size - bare), b"X: ")
    return get(b"/", b"X: " + b"v" * (size - bare))


CASES = [
    *good(
        [
            ("at the limit", of_size(256), {"path": "/"}),
            ("at the limit, long target", of_size(256, in_target=True)),
        ],
        "head",
        limits=SMALL,
    ),
    *bad(
        [
            ("one byte more", of_size(257)),
            ("one byte more, and a good one after it", of_size(257) + get()),
            ("many more", of_size(2000)),
            ("without an end", of_size(300)[:-4]),
            ("one name", get(b"/", b"n" * 300 + b": v")),
            ("many small ones", get(b"/", *[b"X: y"] * 60)),
        ],
        "head",
        431,
        limits=SMALL,
    ),
    *bad(
        [
            ("target too long", get(b"/" + b"a" * 300)),
            ("target too long, query", get(b"/?" + b"a" * 300)),
            ("target without an end", b"GET /" + b"a" * 300),
            ("absolute target too long", get(b"http://a/" + b"a" * 300)),
            ("method without an end", b"A" * 300),
        ],
        "head",
        414,
        limits=SMALL,
    ),
    *bad(
        [("too long, and a bad request line", b"GET /\r\n" + b"X: y\r\n" * 60 + b"\r\n")],
        "head",
        505,
        limits=SMALL,
    ),
    *bad(
        [("too long, and a bare newline", b"GET / HTTP/1.1\r\nHost: a\n" + b"X: y\r\n" * 60 + b"\r\n")],
        "head",
        400,
        limits=SMALL,
    ),
    *bad(
        [("unknown method, too long", get(b"/", b"X: " + b"y" * 300, method=b"BREW"))],
        "head",
        501,
        limits=SMALL,
    ),
    *bad([("16 KiB and more", of_size(16 * 1024 + 1))], "head", 431),
    *good([("16 KiB", of_size(16 * 1024), {"path": "/"})], "head"),
    *good([("at the limit", get(b"/", b"X: 1", b"X: 2"), {"path": "/"})], "headers", limits=FEW),
    *good([("a hundred", get(b"/", *[b"X: y"] * 99), {"path": "/"})], "headers"),
    *bad(
        [
            ("one more", get(b"/", b"X: 1", b"X: 2", b"X: 3")),
            ("one more, with a body", post(b"", b"X: 1", b"X: 2")),
            ("many more", get(b"/", *[b"X: y"] * 40)),
        ],
        "headers",
        431,
        limits=FEW,
    ),
    *bad([("a hundred and one", get(b"/", *[b"X: y"] * 100))], "headers", 431),
    *bad(
        [("too many, and two Hosts", head_of(b"GET / HTTP/1.1", b"Host: a", b"Host: a", b"X: y", b"X: y"))],
        "headers",
        400,
        limits=FEW,
    ),
    # Bodies.
    *good(
        [
            ("at the limit", post(b"hello"), {"body": "hello"}),
            ("chunks at the limit", chunked(b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"), {"body": "hello"}),
            ("two at the limit", post(b"hello") + post(b"hello"), {"body": "hello"}, {"body": "hello"}),
        ],
        "body",
        limits=BODY,
    ),
    *bad(
        [
            ("one byte more", post(b"hello!")),
            ("announced, not sent", post(b"", length=b"6")),
            ("far more", post(b"", length=b"1000000000000")),
            ("a chunk that is too long", chunked(b"6\r\nhello!\r\n0\r\n\r\n")),
            ("a chunk announced", chunked(b"6\r\n")),
            ("a chunk too many", chunked(b"5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n")),
            ("a chunk too many, then a bad one", chunked(b"5\r\nhello\r\n1\r\n!\r\nx\r\n")),
            ("a huge chunk", chunked(b"fffffffffffffff\r\nhello")),
            ("too long, and a request in it", post(get(b"/b"))),
        ],
        "body",
        413,
        limits=BODY,
    ),
    *bad(
        [("bad chunk before it is too long", chunked(b"5\r\nhello\r\nx\r\n6\r\n"))], "body", 400, limits=BODY
    ),
    # Chunk lines and trailers.
    *good(
        [
            ("extension at the limit", chunked(b"1;" + b"x" * 254 + b"\r\nx\r\n0\r\n\r\n"), {"body": "x"}),
            (
                "extensions of a body that is worth it",
                chunked((b"80;s=" + b"x" * 64 + b"\r\n" + b"d" * 128 + b"\r\n") * 300 + b"0\r\n\r\n"),
            ),
        ],
        "chunk",
    ),
    *bad(
        [
            ("extension one beyond the limit", chunked(b"1;" + b"x" * 255 + b"\r\nx\r\n0\r\n\r\n")),
            ("extension without an end", chunked(b"1;" + b"x" * 1000)),
            ("extensions without end", chunked((b"1;" + b"x" * 200 + b"\r\nx\r\n") * 100 + b"0\r\n\r\n")),
            ("size without an end", chunked(b"1" * 1000)),
        ],
        "chunk",
    ),
    *good(
        [("as many as headers", chunked(b"0\r\n" + b"X: y\r\n" * 3 + b"\r\n"), {"body": ""})],
        "trailers",
        limits=FEW,
    ),
    *bad([("one more", chunked(b"0\r\n" + b"X: y\r\n" * 4 + b"\r\n"))], "trailers", 431, limits=FEW),
    *good(
        [("at the limit", chunked(b"0\r\nX: " + b"y" * 251 + b"\r\n\r\n"), {"body": ""})],
        "trailers",
        limits=SMALL,
    ),
    *bad(
        [
            ("one byte more", chunked(b"0\r\nX: " + b"y" * 252 + b"\r\n\r\n")),
            ("without an end", chunked(b"0\r\nX: " + b"y" * 400)),
            ("one after the other", chunked(b"0\r\n" + b"X: yyyyyyyyyy\r\n" * 20 + b"\r\n")),
        ],
        "trailers",
        431,
        limits=SMALL,
    ),
    Case("body: none refused without a limit", post(b"x" * 100_000), (200,), "open", ({"path": "/"},)),
]
