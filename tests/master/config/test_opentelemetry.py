"""The standard variables are honoured where Penstock's own keys are silent, and break nothing."""

import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import pytest

from penstock.master.config import ConfigError, Invocation
from penstock.master.config.invocation import Reading
from penstock.master.config.opentelemetry import MISSING
from penstock.master.config.telling import Tracing

LISTENERS = "listeners: [{bind: ':80', routes: [{respond: {}}]}]\n"
URL = "http://collector:4318/v1/traces"


def read(tmp_path: Path, text: str = "", *options: str, **environ: str) -> Reading:
    (tmp_path / "p.yaml").write_text(text + LISTENERS)
    given = {"config": (str(tmp_path / "p.yaml"),)}
    given |= {"tracing_" + name: (value,) for name, value in (each.split("=", 1) for each in options)}
    return Invocation(given).read(dict(environ))


def tracing(tmp_path: Path, text: str = "", *options: str, **environ: str) -> Tracing:
    found = read(tmp_path, text, *options, **environ)
    assert found.warnings == ()
    assert found.config.tracing is not None
    return found.config.tracing


def test_off_unless_asked_for(tmp_path: Path) -> None:
    """Sampling alone asks for nothing."""
    assert tracing(tmp_path).endpoint is None
    assert tracing(tmp_path, "", "sample=0.5").endpoint is None
    assert tracing(tmp_path, OTEL_TRACES_SAMPLER="always_on", OTEL_SERVICE_NAME="shop").endpoint is None


def test_every_key_of_the_file(tmp_path: Path) -> None:
    """As documented."""
    found = tracing(
        tmp_path,
        "tracing: {endpoint: 'http://c:4318', sample: 10%, service_name: shop, timeout: 2s, query: redact,\n"
        "  headers: {authorization: Bearer x}, resource: {deployment.environment.name: prod},\n"
        "  follow_parent: false, response_header: true, app_spans: true}\n",
    )
    assert found == Tracing(
        endpoint="http://c:4318/v1/traces",
        sample=0.1,
        service_name="shop",
        timeout_s=2.0,
        query="redact",
        headers={"authorization": "Bearer x"},
        resource={"deployment.environment.name": "prod"},
        follow_parent=False,
        response_header=True,
        app_spans=True,
    )


@pytest.mark.parametrize(
    ("environ", "endpoint"),
    [
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:1/own"}, "http://c:1/own"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:1"}, "http://c:1/v1/traces"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:1/base/"}, "http://c:1/base/v1/traces"),
        (
            {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:1/t", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://d"},
            "http://c:1/t",
        ),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:1", "OTEL_TRACES_EXPORTER": "none"}, None),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:1", "OTEL_TRACES_EXPORTER": "otlp"},
            "http://c:1/v1/traces",
        ),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:1", "OTEL_SDK_DISABLED": "true"}, None),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, None),
    ],
)
def test_endpoint_of_the_variables(tmp_path: Path, environ: dict[str, str], endpoint: str | None) -> None:
    """The more special one first; the general one is a base."""
    assert tracing(tmp_path, **environ).endpoint == endpoint


def test_own_key_wins(tmp_path: Path) -> None:
    """Option, then variable of ours, then file, then theirs."""
    theirs = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://theirs", "OTEL_TRACES_SAMPLER": "always_off"}
    text = "tracing: {endpoint: 'http://file/x', sample: 0.5}\n"
    found = tracing(tmp_path, text, **theirs)
    assert (found.endpoint, found.sample, found.follow_parent) == ("http://file/x", 0.5, True)
    ours = {"PENSTOCK_TRACING_ENDPOINT": "http://ours/x", "PENSTOCK_TRACING_SAMPLE": "0.25"}
    found = tracing(tmp_path, text, **theirs, **ours)
    assert (found.endpoint, found.sample) == ("http://ours/x", 0.25)
    found = tracing(tmp_path, text, "endpoint=http://option/x", "sample=1", **theirs, **ours)
    assert (found.endpoint, found.sample) == ("http://option/x", 1.0)
    assert tracing(tmp_path, "", "endpoint=none", **theirs).endpoint is None
    assert read(tmp_path, "tracing: none\n", **theirs).config.tracing is None


@pytest.mark.parametrize(
    ("sampler", "argument", "ratio", "follows"),
    [
        ("always_on", "", 1.0, False),
        ("always_off", "", 0.0, False),
        ("traceidratio", "0.2", 0.2, False),
        ("traceidratio", "", 1.0, False),
        ("parentbased_always_on", "", 1.0, True),
        ("parentbased_always_off", "", 0.0, True),
        ("parentbased_traceidratio", "0.2", 0.2, True),
    ],
)
def test_sampler_of_the_variables(
    tmp_path: Path, sampler: str, argument: str, ratio: float, follows: bool
) -> None:
    """All that opentelemetry itself knows."""
    environ = {"OTEL_TRACES_SAMPLER": sampler, "OTEL_TRACES_SAMPLER_ARG": argument}
    found = tracing(tmp_path, "", f"endpoint={URL}", **environ)
    assert (found.sample, found.follow_parent) == (ratio, follows)
    kept = tracing(tmp_path, "tracing: {follow_parent: false}\n", f"endpoint={URL}", **environ)
    assert (kept.sample, kept.follow_parent) == (ratio, False)


@pytest.mark.parametrize(
    ("environ", "told"),
    [
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "not grpc"),
        ({"PENSTOCK_TRACING_ENDPOINT": URL, "OTEL_SDK_DISABLED": "true"}, "OTEL_SDK_DISABLED=true"),
        ({"PENSTOCK_TRACING_ENDPOINT": URL, "OTEL_TRACES_SAMPLER": "xray"}, "'xray' is not one of"),
    ],
)
def test_what_cannot_be_done_by_a_variable_is_a_warning(
    tmp_path: Path, environ: dict[str, str], told: str
) -> None:
    """It may be meant for the app alone."""
    [warning] = read(tmp_path, **environ).warnings
    assert told in warning


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "tracing: {endpoint: collector}\n",
            "p.yaml:1:21: tracing.endpoint: found 'collector', expected a URL",
        ),
        ("tracing: {endpoint: 'ftp://c/'}\n", "expected a URL such as http://127.0.0.1:4318/v1/traces"),
        ("tracing: {endpoint: 'http://u:p@c/'}\n", "found a URL with '@'"),
        ("tracing: {endpoint: 'http://c:x/'}\n", "expected a URL"),
        ("tracing: {sample: 1.5}\n", "found '1.5', expected a ratio from 0 to 1, such as 0.1, or 10%"),
        ("tracing: {sample: nan}\n", "expected a ratio"),
        ("tracing: {sample: -1%}\n", "expected a ratio"),
        ("tracing: {timeout: 0s}\n", "tracing.timeout: found 0s, expected a duration above 0, up to 1m"),
        ("tracing: {timeout: 2m}\n", "expected a duration above 0"),
        ("tracing: {query: hide}\n", "expected 'keep', 'omit' or 'redact'"),
        ("tracing: {samples: 1}\n", "did you mean 'sample'?"),
    ],
)
def test_a_mistake_is_told(tmp_path: Path, text: str, told: str) -> None:
    """With its place, and what was expected."""
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text)
    assert told in str(caught.value)


def test_mistake_in_a_variable_is_told_by_its_name(tmp_path: Path) -> None:
    """Nobody would look for it in the file."""
    environ = {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "x"}
    with pytest.raises(ConfigError, match="OTEL_TRACES_SAMPLER_ARG: found 'x', expected a ratio"):
        read(tmp_path, "", f"endpoint={URL}", **environ)


class Blocker:
    """Hides opentelemetry's SDK, as if it was not installed."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if name.startswith(("opentelemetry.sdk", "opentelemetry.exporter")):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return None


@pytest.fixture
def without_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "meta_path", [Blocker(), *sys.meta_path])
    for name in [each for each in sys.modules if each.startswith("opentelemetry")]:
        monkeypatch.delitem(sys.modules, name)


@pytest.mark.usefixtures("without_extra")
def test_extra_that_is_missing_is_told(tmp_path: Path) -> None:
    """By what is to be typed; asked for by a variable alone, it is a warning."""
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, f"tracing: {{endpoint: '{URL}'}}\n")
    told = f"p.yaml:1:21: tracing.endpoint: found '{URL}', and {MISSING}"
    assert str(caught.value).endswith(told)
    assert "pip install penstock[otel]" in MISSING
    found = read(tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT="http://c")
    [warning] = found.warnings
    assert MISSING in warning
    assert found.config.tracing is not None
    assert found.config.tracing.endpoint is None
