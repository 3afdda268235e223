"""Routes of a real server, asked by curl: the example of etc/, apps of both kinds, metrics and the log."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.process.harness import Server, run_penstock, wait_for, write_app

EXAMPLE = Path(__file__).parents[2] / "etc" / "routing.yaml"

APPS = """
import json

def told(scope):
    kept = {key: scope[key] for key in ("path", "root_path", "client")}
    return json.dumps(kept | {"headers": {name.decode(): value.decode() for name, value in scope["headers"]}})

async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"x-powered-by", b"me")]})
    await send({"type": "http.response.body", "body": told(scope).encode()})

def wsgi(environ, start):
    start("200 OK", [("x-powered-by", "me")])
    keys = ("PATH_INFO", "SCRIPT_NAME", "HTTP_X_ID", "HTTP_HOST")
    return [json.dumps({key: environ.get(key) for key in keys}).encode()]
"""

FILE = """
workers: 2
request_id: true
log: {access: {path: access.log}}
listeners:
  - name: web
    bind: 127.0.0.1:0
    trusted_proxies: ["127.0.0.1"]
    routes:
      - name: inside
        match: {path: /admin/, client: [10.0.0.0/8]}
        respond: {body: "inside"}
      - name: asgi
        match: {path: /asgi/}
        app: main:app
        rewrite: {strip_prefix: /asgi}
        request_headers: {set: {x-id: "{request_id}", host: inner.example}, remove: [user-agent]}
        response_headers: {remove: [x-powered-by], set: {x-seen: "{client}"}}
      - name: wsgi
        match: {path: /wsgi/}
        app: main:wsgi
        rewrite: {strip_prefix: /wsgi}
        request_headers: {set: {x-id: "{request_id}", host: inner.example}}
        response_headers: {remove: [x-powered-by], set: {x-seen: "{client}"}}
      - name: canary
        match: {path: /canary}
        split_by: cookie:session
        split:
          - {weight: 2, name: stable, respond: {body: "stable"}}
          - {weight: 1, respond: {body: "next"}}
"""


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    servers: list[Server] = []

    def run(*options: str, **settings: str) -> Server:
        servers.append(Server(*options, cwd=tmp_path, env=settings))
        return servers[-1].wait_serving()

    yield run
    for server in servers:
        server.clean_up()


def curl(server: Server, path: str, *options: str) -> tuple[int, dict[str, str], str]:
    """Ask with curl; answers status, headers and body."""
    command = [shutil.which("curl") or "curl", "-sS", "-i", "--path-as-is", "--max-time", "30", *options]
    url = f"http://127.0.0.1:{server.port}{path}"
    raw = subprocess.check_output([*command, url], timeout=60).decode()
    head, _, body = raw.partition("\r\n\r\n")
    lines = head.split("\r\n")
    fields = dict(line.lower().split(": ", 1) for line in lines[1:] if ": " in line)
    return int(lines[0].split()[1]), fields, body


def test_the_example_works_as_it_stands(start: Callable[..., Server]) -> None:
    """
    And does what its comments say.
    """
    server = start("-c", str(EXAMPLE), PORT="0")

    status, headers, _ = curl(server, "/old/page?x=1")
    assert (status, headers["location"], headers["x-served-by"]) == (308, "/new/page?x=1", "moved")
    assert curl(server, "/u/42")[1]["location"] == "/users/42"
    assert curl(server, "/a?b", "-H", "Host: shop.example.net")[1]["location"] == "https://example.com/a?b"
    assert curl(server, "/app/whoami", "-H", "X-Debug: 1")[2] == "debugging\n"
    assert curl(server, "/new/", "-H", "X-Debug: 0")[0] == 404
    assert json.loads(curl(server, "/app/whoami")[2])["pid"]
    seen = {user: curl(server, "/release", "-H", f"X-User: {user}")[2] for user in map(str, range(40))}
    assert set(seen.values()) == {"stable\n", "canary\n"}
    assert all(curl(server, "/release", "-H", f"X-User: {user}")[2] == seen[user] for user in list(seen)[:5])
    assert curl(server, "/nowhere")[0] == 404


def test_the_example_is_explained(tmp_path: Path) -> None:
    """
    By the command that stands in it.
    """
    words = ("--explain", "GET http://localhost:8000/app/whoami", "-H", "X-Debug: 1")
    done = run_penstock("check", "-c", str(EXAMPLE), *words, cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    assert re.search(r"^4 +debug +takes it", done.stdout, re.MULTILINE)


def test_apps_metrics_and_the_log_of_a_routed_server(start: Callable[..., Server], tmp_path: Path) -> None:
    """
    Apps see the changed request, clients the changed response, and operators what was asked.
    """
    write_app(tmp_path, APPS)
    (tmp_path / "p.yaml").write_text(FILE)
    server = start("-c", "p.yaml")

    forwarded = ("-H", "X-Forwarded-For: 10.1.1.1", "-H", "X-Request-ID: one")
    assert curl(server, "/admin/", *forwarded)[2] == "inside"
    assert curl(server, "/admin/")[0] == 404
    status, headers, body = curl(server, "/asgi/a%2Fb?q=1", *forwarded)
    scope = json.loads(body)
    assert (status, scope["path"], scope["root_path"]) == (200, "/asgi/a/b", "/asgi")
    assert (scope["headers"]["x-id"], scope["headers"]["host"]) == ("one", "inner.example")
    assert "user-agent" not in scope["headers"]
    assert (headers["x-seen"], headers.get("x-powered-by")) == ("10.1.1.1", None)
    status, headers, body = curl(server, "/wsgi/x", *forwarded)
    assert json.loads(body) == {
        "PATH_INFO": "/x",
        "SCRIPT_NAME": "/wsgi",
        "HTTP_X_ID": "one",
        "HTTP_HOST": "inner.example",
    }
    assert (headers["x-seen"], headers.get("x-powered-by")) == ("10.1.1.1", None)
    assert curl(server, "/asgi/../x")[0] == 400

    bodies = [curl(server, "/canary", "-b", f"session=s{number}")[2] for number in range(30)]
    assert set(bodies) == {"stable", "next"}
    again = [curl(server, "/canary", "-b", f"session=s{number}")[2] for number in range(30)]
    assert again == bodies

    def counted() -> bool:
        found = {
            label: server.metric("penstock_requests_total", listener="web", route=label)
            for label in ("stable", "canary#2", "canary", "asgi", "inside")
        }
        stable = 2.0 * bodies.count("stable")
        return found == {
            "stable": stable,
            "canary#2": 60.0 - stable,
            "canary": 0.0,
            "asgi": 1.0,
            "inside": 1.0,
        }

    wait_for(counted, "a number for each variant, and none for their route")
    log = tmp_path / "access.log"
    wait_for(lambda: "/asgi/a%2Fb" in log.read_text(), "the line of the request as it was sent")
    [line] = [each for each in log.read_text().splitlines() if "/asgi/a%2Fb" in each]
    assert "curl/" in line  # although the app was not told
