"""
What the server tells of itself and of its requests: logs, metrics, traces.
"""

from typing import Annotated, Any, ClassVar, Literal

from msgspec import UNSET, Meta, UnsetType, field

from penstock.master.config.kinds import kind
from penstock.master.config.record import Duration, HeaderName, HeaderValue, Label, Record, says
from penstock.shm.schema import VALUE_COUNT, VALUE_COUNT_MAX
from penstock.worker.access.redaction import USUALLY_HIDDEN

# Enough for the few metrics that a library brings; below it nobody would save anything.
APP_VALUES_MIN = 64


class Access(Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The access log."""

    path: Annotated[
        Annotated[str, kind("access_path")],
        says("stdout, stderr or a file, opened again on USR1."),
    ] = "stdout"
    format: Annotated[
        Annotated[str, kind("access_format")],
        says("text: the combined format; json: an object a line; else atoms as gunicorn has them."),
    ] = "text"
    redact: Annotated[
        tuple[Annotated[str, kind("secret")], ...],
        says("Headers that are not shown, and query: the values in query strings. In place of the default."),
    ] = USUALLY_HIDDEN
    exclude: Annotated[
        tuple[Annotated[str, kind("path")], ...],
        says("Paths whose requests are left out, written like a route's."),
    ] = ()


class RequestId(Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An id for each request, for the app, the client and the logs."""

    header: Annotated[
        HeaderName,
        says("The header that carries it, of request and response."),
    ] = "X-Request-ID"
    trust: Annotated[bool, says("Keep an id that comes with a request; false: always make one.")] = True


class Log(Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is logged, and where to."""

    LATER: ClassVar[frozenset[str]] = frozenset({"format"})

    level: Annotated[
        Literal["critical", "error", "warning", "info", "debug"],
        says("The least severe messages that are written."),
    ] = "info"
    path: Annotated[
        Annotated[str, kind("log_path")] | None,
        says("A file, opened again on USR1. Default: standard error."),
    ] = None
    config: Annotated[
        dict[str, Any] | None,
        Meta(
            extra={"file": "log_config"},
            extra_json_schema={"x-written": {"type": ["object", "string", "null"]}},
        ),
        says("A dictionary for logging.config.dictConfig, or the path of a JSON or YAML file with one."),
    ] = None
    access: Annotated[
        Access | bool | UnsetType | None,
        says("A line for each request; true: with the defaults. Default: none, but true with reload."),
    ] = UNSET
    colors: Annotated[
        bool | None,
        says("Colours; never in a file. Default: on a terminal, unless NO_COLOR says otherwise."),
    ] = None

    @property
    def access_log(self) -> Access | None:
        """The access log, if there is to be one."""
        return Access() if self.access is True else self.access if isinstance(self.access, Access) else None


class Metrics(Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Room for numbers in the shared segment. A change takes effect with a hot restart."""

    app_values_max: Annotated[
        Annotated[int, Meta(ge=APP_VALUES_MIN, le=VALUE_COUNT_MAX)],
        says(
            "Values of the app's own metrics that each process can keep: a counter is one, "
            "a histogram one for each of its buckets and another."
        ),
    ] = VALUE_COUNT


class Tracing(Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A span for each request, sent to an OpenTelemetry collector."""

    endpoint: Annotated[
        Annotated[str, kind("otlp_url")] | None,
        says("Where spans are sent, as OTLP over HTTP; none: nowhere, and nothing is traced."),
    ] = None
    sample: Annotated[
        float,
        kind("ratio"),
        says("Of how many requests there is a span, if their caller has not decided it: 0 to 1."),
    ] = 1.0
    follow_parent: Annotated[
        bool, says("Whether a caller's decision to sample counts; false: `sample` decides for all requests.")
    ] = True
    service_name: Annotated[Label | None, says("The service that spans belong to. Default: the name.")] = None
    headers: Annotated[
        dict[HeaderName, HeaderValue],
        says("Headers to send to the collector, such as an authorization."),
    ] = field(default_factory=dict)
    timeout_s: Annotated[Duration, says("How long it is tried to send a batch of spans.")] = field(
        default=5.0, name="timeout"
    )
    resource: Annotated[dict[Label, Label], says("More attributes of the service.")] = field(
        default_factory=dict
    )
    query: Annotated[
        Literal["omit", "redact", "keep"],
        says("What a span has of the query string; redact: the names of its parameters."),
    ] = "omit"
    response_header: Annotated[bool, says("Put a traceparent header on responses.")] = False
    app_spans: Annotated[
        bool, says("Give an app that has set up no tracer provider one, so that its spans are sent too.")
    ] = False
