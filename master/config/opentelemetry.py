"""
What the variables of OpenTelemetry say where Penstock's own keys are silent.

They are laid under the tree of the file and the options. They may be meant for
the app alone, so what Penstock cannot do by them is a warning and no fault.
Those for headers, resource and service name are read by opentelemetry itself.
"""

import importlib.util
from collections.abc import Mapping as EnvironmentMapping

from penstock.master.config.overlay import with_value
from penstock.master.config.problems import Place
from penstock.master.config.tree import Mapping, Node, Scalar

MISSING = "opentelemetry is not installed; pip install penstock[otel]"
_MODULES = ("opentelemetry.sdk.trace", "opentelemetry.exporter.otlp.proto.http")

TRACES_ENDPOINT = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
EXPORTERS = "OTEL_TRACES_EXPORTER"
SAMPLER = "OTEL_TRACES_SAMPLER"
SAMPLER_ARGUMENT = "OTEL_TRACES_SAMPLER_ARG"
DISABLED = "OTEL_SDK_DISABLED"

# The ratio, None for the argument's, and whether the caller's decision counts.
SAMPLERS: dict[str, tuple[str | None, bool]] = {
    "always_on": ("1", False),
    "always_off": ("0", False),
    "traceidratio": (None, False),
    "parentbased_always_on": ("1", True),
    "parentbased_always_off": ("0", True),
    "parentbased_traceidratio": (None, True),
}


def is_installed() -> bool:
    """Whether the extra is there. Imports nothing of it."""
    try:
        return all(importlib.util.find_spec(name) is not None for name in _MODULES)
    except ImportError:
        return False


def laid_under(root: Node, environ: EnvironmentMapping[str, str]) -> tuple[Node, list[str]]:
    """Add to a tree what only the variables say; and what of it is not done, and why."""
    if not isinstance(root, Mapping):
        return root, []
    tracing = root.get("tracing")
    if tracing is not None and not isinstance(tracing, Mapping):
        return root, []  # Switched off, or a mistake.
    written = {} if tracing is None else {key.text: value for key, value in tracing.items}
    warnings: list[str] = []
    if environ.get(DISABLED, "").strip().lower() == "true":
        if "endpoint" in written:
            root = with_value(root, ("tracing", "endpoint"), _scalar(DISABLED, "none"))
            warnings.append(f"{DISABLED}=true: nothing is traced")
        return root, warnings
    if "endpoint" not in written:
        endpoint, reason = _endpoint(environ)
        if endpoint is None:
            return root, warnings
        if reason:
            return root, [f"{endpoint.place}: Penstock traces nothing by it: {reason}"]
        root = with_value(root, ("tracing", "endpoint"), endpoint)
    if "sample" not in written:
        root = _with_sampler(root, environ, warnings, may_set_parent="follow_parent" not in written)
    return root, warnings


def _endpoint(environ: EnvironmentMapping[str, str]) -> tuple[Scalar | None, str]:
    """Find the endpoint that is given by a variable, and why it cannot be used."""
    variable = TRACES_ENDPOINT if environ.get(TRACES_ENDPOINT) else ENDPOINT
    text = environ.get(variable)
    exporters = [each.strip() for each in environ.get(EXPORTERS, "otlp").split(",")]
    if not text or "otlp" not in exporters:
        return None, ""
    if variable == ENDPOINT:
        text = text.rstrip("/") + "/v1/traces"
    protocol = next((environ[name] for name in PROTOCOLS if environ.get(name)), "http/protobuf")
    reason = ""
    if protocol != "http/protobuf":
        reason = f"it speaks http/protobuf, and not {protocol}"
    elif not is_installed():
        reason = MISSING
    return _scalar(variable, text), reason


def _with_sampler(
    root: Mapping, environ: EnvironmentMapping[str, str], warnings: list[str], *, may_set_parent: bool
) -> Mapping:
    sampler = environ.get(SAMPLER, "").strip().lower()
    if not sampler:
        return root
    if sampler not in SAMPLERS:
        warnings.append(f"{SAMPLER}={sampler!r} is not one of {', '.join(SAMPLERS)}, so it is not used")
        return root
    ratio, follows = SAMPLERS[sampler]
    if ratio is not None:
        root = with_value(root, ("tracing", "sample"), _scalar(SAMPLER, ratio))
    elif argument := environ.get(SAMPLER_ARGUMENT):
        root = with_value(root, ("tracing", "sample"), _scalar(SAMPLER_ARGUMENT, argument))
    if may_set_parent:
        text = "true" if follows else "false"
        root = with_value(root, ("tracing", "follow_parent"), _scalar(SAMPLER, text))
    return root


def _scalar(variable: str, text: str) -> Scalar:
    return Scalar(Place(variable), text, is_literal=True)
