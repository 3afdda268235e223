"""`penstock check --explain`: which route takes a request, and why."""

from pathlib import Path

import pytest

from penstock.master.cli.explain import explained, read_request
from penstock.master.config import Config, ConfigError, Invocation
from tests.process.harness import run_penstock

FILE = """
request_id: true
listeners:
  - name: web
    bind: 127.0.0.1:8000
    request_headers: {set: {x-all: "1"}}
    routes:
      - match: {path: [/old/, /older/]}
        redirect: {to: "/new/{rest}", code: 308}
      - name: beta
        match: {host: "*.example.com", headers: {x-beta: "1"}, client: [10.0.0.0/8]}
        respond: {body: beta}
      - name: api
        match: {path: /api/, methods: [GET, POST]}
        app: main:app
        rewrite: {strip_prefix: /api}
        response_headers: {set: {x-id: "{request_id}"}, remove: [x-b]}
      - name: shop
        match: {path: /shop/}
        split_by: header:X-User
        split:
          - {weight: 3, app: main:app, rewrite: {strip_prefix: /shop, add_prefix: /v1}}
          - {weight: 1, name: next, app: main:app}
  - name: secure
    bind: 127.0.0.1:8001
    routes:
      - match: {path: /legacy/}
        proxy: 127.0.0.1:9000
      - respond: {}
"""


@pytest.fixture
def config(tmp_path: Path) -> Config:
    (tmp_path / "p.yaml").write_text(FILE)
    return Invocation({"config": (str(tmp_path / "p.yaml"),)}).read({}).config


def told(
    config: Config, capsys: pytest.CaptureFixture[str], words: str, *headers: str, client: str | None = None
) -> tuple[int, list[str]]:
    status = explained(config, words, headers, client)
    return status, capsys.readouterr().out.splitlines()


def test_it_tells_of_each_route_the_first_thing_that_is_not_met(
    config: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    Up to the one that takes it; then what becomes of the request.
    """
    status, lines = told(config, capsys, "POST http://a.example.com:8000/api/x%2Fy?z", "X-Beta: 1")

    assert status == 0
    assert lines == [
        "request   POST /api/x%2Fy?z",
        "host      a.example.com:8000",
        "client    127.0.0.1",
        "listener  web (127.0.0.1:8000)",
        "",
        "   route            because",
        "1  /old/  no        path: /api/x/y, wanted /old/ or /older/",
        "2  beta   no        client: 127.0.0.1, wanted 10.0.0.0/8",
        "3  api    takes it  path: /api/; methods: GET or POST",
        "1 more is not asked: the first match wins",
        "",
        "route            api",
        "action           app main:app",
        "path             /api/x%2Fy",
        "root_path        /api",
        "request header   set x-all: 1",
        "response header  remove x-b",
        "response header  set x-id: (the request id)",
    ]


def test_a_client_and_headers_can_be_given(config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    """
    As the rules ask for them.
    """
    words = "http://a.example.com:8000/api/"
    _, lines = told(config, capsys, words, "X-Beta: 1", client="10.1.1.1")
    assert "action          respond 200" in lines
    assert "2  beta   takes it  host: *.example.com; headers.x-beta: '1'; client: 10.0.0.0/8" in lines
    _, lines = told(config, capsys, words, "X-Beta: 1", "Host: other", client="unix:")
    assert "2  beta   no        host: other, wanted *.example.com" in lines
    assert "client    a UNIX socket" in lines


def test_the_target_of_a_redirect_is_told(config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    """
    As the client would get it.
    """
    assert "action          redirect 308 /new/a?b" in told(config, capsys, "http://x:8000/older/a?b")[1]


def test_the_variant_of_a_split_is_told(config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    """
    The one that the same user always gets.
    """
    _, lines = told(config, capsys, "http://x:8000/shop/a", "X-User: u2")
    assert "split           by header:X-User: shop#1 75%, next 25%" in lines
    assert "variant         shop#1" in lines
    assert "path            /v1/a" in lines
    _, lines = told(config, capsys, "http://x:8000/shop/a")
    assert any(line.endswith(", or another: without a key it gets any") for line in lines)
    _, lines = told(config, capsys, "http://x:8000/shop/../a", "X-User: u2")
    assert "action   400: the path has a part '.' or '..', and is not rewritten" in lines


def test_what_no_route_takes_is_status_1(config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    """
    With the methods, if only that was wrong.
    """
    status, lines = told(config, capsys, "http://x:8000/nowhere")
    assert (status, lines[-1]) == (1, "no route takes it: 404")
    status, lines = told(config, capsys, "DELETE http://x:8000/api/")
    assert (status, lines[-1]) == (1, "no route takes it: 405, Allow: GET, POST")
    assert "3  api    no  methods: DELETE, wanted GET or POST" in lines


def test_a_path_that_is_not_passed_on_is_told(config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    """
    And one that is.
    """
    _, lines = told(config, capsys, "http://x:8001/legacy/%2e%2e/admin")
    assert "action  400: the path has a part '.' or '..', and is not passed on" in lines
    _, lines = told(config, capsys, "http://x:8001/legacy/.admin")
    assert not any("400" in line for line in lines)


def test_the_listener_is_that_of_the_port(config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    """
    If it is not clear which, none is guessed.
    """
    assert "listener  secure (127.0.0.1:8001)" in told(config, capsys, "http://x:8001/")[1]
    with pytest.raises(ConfigError, match="found port 80, expected that of one listener: web or secure"):
        explained(config, "http://x/", (), None)


@pytest.mark.parametrize(
    ("words", "headers", "client", "message"),
    [
        ("/path", (), None, "--explain: found '/path', expected a method and a URL"),
        ("GTE http://x/", (), None, "--explain: found 'GTE http://x/', expected a method"),
        ("http://x:y/", (), None, "--explain: found 'http://x:y/', expected a method"),
        ("ftp://x/", (), None, "--explain: found 'ftp://x/', expected a method"),
        ("", (), None, "--explain: found '', expected a method"),
        ("http://x:8000/", ("nothing",), None, "-H: found 'nothing', expected 'Name: value'"),
        ("http://x:8000/", ("a b: c",), None, "-H: found 'a b: c', expected a header name"),
        ("http://x:8000/", ("a: b\r\nc: d",), None, "-H: found 'a: b\\r\\nc: d', expected a header value"),
        ("http://x:8000/", (), "10.0.0.0/8", "--explain-client: found '10.0.0.0/8', expected an IP address"),
        ("http://x:8000/", (), "me", "--explain-client: found 'me', expected an IP address, or 'unix:'"),
    ],
)
def test_what_is_no_request_is_told(
    config: Config, words: str, headers: tuple[str, ...], client: str | None, message: str
) -> None:
    """
    By the option, with what was expected.
    """
    with pytest.raises(ConfigError) as caught:
        explained(config, words, headers, client)
    assert str(caught.value).startswith(message)


def test_a_url_may_be_written_as_a_person_does() -> None:
    """
    What a client would encode is encoded.
    """
    asked = read_request("http://x/ä b?c d", (), "::1").asked
    assert (asked.path, asked.raw_path, asked.query) == ("/ä b", b"/%C3%A4%20b", b"c%20d")


def test_it_is_an_option_of_the_check(tmp_path: Path) -> None:
    """
    Nothing is imported for it; and the statuses are those of the command.
    """
    (tmp_path / "p.yaml").write_text(FILE)
    done = run_penstock(
        "check", "-c", "p.yaml", "--explain", "GET http://x:8000/api/", "-H", "X-Beta: 1", cwd=tmp_path
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "3  api    takes it" in done.stdout
    assert run_penstock("check", "-c", "p.yaml", "--explain", "http://x:8000/", cwd=tmp_path).returncode == 1
    done = run_penstock("check", "-c", "p.yaml", "--explain", "nothing", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    done = run_penstock("check", "-H", "a: b", cwd=tmp_path)
    assert done.returncode == 2
    assert "say more of what --explain asks" in done.stderr
