"""What the pages of docs/ tell one to type is tried here, and what they point at is there."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from penstock.master.config.bind import TcpBind
from penstock.master.config.invocation import Invocation
from penstock.master.config.options import OPTIONS
from penstock.master.rollout import DRAIN_GRACE_S
from tests.process.harness import Server, run_penstock, wait_for

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "docs").glob("*.md"))


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(
        rf"^```{language}\n(.*?)^```$", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )


@pytest.fixture
def quickstart(tmp_path: Path) -> Path:
    """Save the files of the quickstart as it says."""
    page = ROOT / "docs" / "quickstart.md"
    [app], [config] = blocks(page, "python"), blocks(page, "yaml")
    (tmp_path / "main.py").write_text(app)
    # Its port may be taken on this machine; the page has one that is easy to type.
    (tmp_path / "penstock.yaml").write_text(config.replace("127.0.0.1:8000", "127.0.0.1:0"))
    return tmp_path


@pytest.fixture
def server(quickstart: Path, request: pytest.FixtureRequest) -> Iterator[Server]:
    started = Server(*request.param, cwd=quickstart)
    try:
        yield started.wait_serving()
    finally:
        started.clean_up()


@pytest.mark.parametrize("server", [["main:app", "--workers", "2", "--port", "0"]], indirect=True)
def test_quickstart_app_is_served(server: Server) -> None:
    """
    The first code that a newcomer types works, and without a word of complaint.
    """
    assert re.fullmatch(rb"Hello from process \d+\n", server.get("/")[1])
    assert not re.search("WARNING|ERROR", server.output())


@pytest.mark.parametrize("server", [["-c", "penstock.yaml"]], indirect=True)
def test_quickstart_file_is_served(server: Server) -> None:
    """
    So does the first config file.
    """
    assert server.get("/ping") == (200, b"pong\n")
    assert re.fullmatch(rb"Hello from process \d+\n", server.get("/")[1])


def test_quickstart_file_passes_the_check(quickstart: Path) -> None:
    """
    The page says that one can check it first.
    """
    result = run_penstock("check", "-c", "penstock.yaml", cwd=quickstart)

    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    """
    A page that was renamed takes the links to it along.
    """
    for target in re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8")):
        if not re.match(r"https?:", target):
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("name", ["index.md", "quickstart.md", "running.md"])
def test_every_option_exists(name: str) -> None:
    """
    An option of ours that a page names is one that the command takes.
    """
    ours = {flag for option in OPTIONS for flag in (*option.flags, *option.off)} | {
        "--help",
        "--json",
        "--timeout",
    }
    text = (ROOT / "docs" / name).read_text(encoding="utf-8")
    lines = [
        line for line in text.splitlines() if not re.search("useradd|systemctl|pip |python -m|docker", line)
    ]

    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", "\n".join(lines))) <= ours


def test_the_pod_of_the_deploying_page_is_given_the_time_that_it_takes(tmp_path: Path) -> None:
    """
    The sum is what people get wrong, and a probe of a path that is not there restarts the pod for ever.
    """
    [pod] = blocks(ROOT / "docs" / "deploying.md", "yaml")
    spec = yaml.safe_load(pod)["spec"]
    [container] = spec["containers"]
    program, app, *options = container["args"]
    assert (program, app) == ("penstock", "main:app")
    config = Invocation(
        {name.removeprefix("--").replace("-", "_"): (text,) for name, text in pairs(options)}, app
    )
    read = config.load({})
    assert (
        spec["terminationGracePeriodSeconds"] > read.shutdown_delay_s + read.drain_timeout_s + DRAIN_GRACE_S
    )
    assert read.shutdown_delay_s > 2 * container["readinessProbe"]["periodSeconds"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert read.admin_address == TcpBind("0.0.0.0", ports["admin"])
    assert [each.address for each in read.listeners] == [TcpBind("0.0.0.0", ports["http"])]

    quick = ["--port", "0", "--admin-bind", "127.0.0.1:0", "--host", "127.0.0.1", "--workers", "1"]
    (tmp_path / "main.py").write_text(blocks(ROOT / "docs" / "quickstart.md", "python")[0])
    server = Server(app, *options, *quick, cwd=tmp_path)
    try:
        server.wait_serving()
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            assert container[probe]["httpGet"]["port"] == "admin"
            path = container[probe]["httpGet"]["path"]
            wait_for(lambda path=path: server.admin(path)[0] == 200, f"{path} to say yes")  # type: ignore[misc]
    finally:
        server.clean_up()


def pairs(options: list[str]) -> list[tuple[str, str]]:
    return list(zip(options[::2], options[1::2], strict=True))
