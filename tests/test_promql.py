"""A check that nothing could fail would be worse than none: this one finds what is misspelt."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.promql import Exported, Grouping, Matcher, Selector, faults, names, read

EXPOSITION = """
# TYPE penstock_requests_total counter
penstock_requests_total{listener="web",route="/",code="2xx"} 3
penstock_requests_total{listener="web",route="/",code="5xx"} 1
# TYPE penstock_workers gauge
penstock_workers{state="ready"} 2
# TYPE penstock_generation gauge
penstock_generation 1
# TYPE penstock_request_duration_seconds histogram
penstock_request_duration_seconds_bucket{listener="web",route="/",le="0.5"} 4
penstock_request_duration_seconds_bucket{listener="web",route="/",le="+Inf"} 4
penstock_request_duration_seconds_count{listener="web",route="/"} 4
penstock_request_duration_seconds_sum{listener="web",route="/"} 1
"""
EXPORTED = Exported.of(EXPOSITION)

RIGHT = [
    "penstock_generation",
    'up{job="penstock"} == 0',
    'sum by (job, instance) (penstock_workers{state="ready"}) == 0',
    'sum(rate(penstock_requests_total{code=~"2xx|5xx", instance=~"$instance"}[$__rate_interval])) by (route)',
    "histogram_quantile(0.99, sum by (le) (rate(penstock_request_duration_seconds_bucket[5m]))) > 1e3",
    'penstock_requests_total{code!~".*", route=~"/.+"} offset 5m # a comment with penstock_nothing',
    "sum without (code) (penstock_requests_total) / ignoring (route) group_left () penstock_generation",
    "max_over_time(penstock_generation[1h:30s]) and on () vector(inf) unless bool",
]
WRONG = {
    "penstock_request_total": "no metric penstock_request_total",
    "sum(rate(penstock_requests[5m]))": "no metric penstock_requests",
    'penstock_requests_total{status="5xx"}': "penstock_requests_total has no label status",
    'penstock_requests_total{code="500"}': "penstock_requests_total has no code='500'",
    'penstock_requests_total{code!="500"}': "penstock_requests_total has no code='500'",
    'penstock_requests_total{code=~"5xx|6xx"}': "penstock_requests_total has no code='6xx'",
    'penstock_request_duration_seconds_bucket{le="0.1"}': (
        "penstock_request_duration_seconds_bucket has no le='0.1'"
    ),
    "sum by (slot) (penstock_workers)": "nothing of penstock_workers has a label slot",
    "sum(penstock_workers) by (slot)": "nothing of penstock_workers has a label slot",
    "sum by (code) (penstock_workers) + sum by (code) (penstock_requests_total)": (
        "nothing of penstock_workers has a label code"
    ),
    "penstock_workers / on (slot) penstock_generation": (
        "nothing of penstock_generation, penstock_workers has a label slot"
    ),
}


@pytest.mark.parametrize("expression", RIGHT)
def test_what_is_exported_may_be_asked_for(expression: str) -> None:
    """
    In every way in which PromQL writes it.
    """
    assert faults(expression, EXPORTED) == []


@pytest.mark.parametrize("expression", WRONG)
def test_what_is_not_exported_is_found(expression: str) -> None:
    """
    A name, a label, the value of a label, a label to group by.
    """
    assert faults(expression, EXPORTED) == [WRONG[expression]]


@pytest.mark.parametrize("expression", ["sum(penstock_workers", '{job="x"}', "a ; b", "a{b=c}", "by (a)"])
def test_what_cannot_be_read_is_refused(expression: str) -> None:
    """
    Rather than passed over, with the names in it.
    """
    with pytest.raises(ValueError, match=r"\w"):
        read(expression)


def test_an_expression_is_taken_apart() -> None:
    """
    A grouping concerns the parentheses beside it alone.
    """
    selectors, groupings = read('sum by (code) (rate(a{code="x"}[5m])) / sum(b) by (job)')

    assert selectors == [Selector("a", (Matcher("code", "=", "x"),)), Selector("b")]
    assert groupings == [Grouping(("code",), frozenset({"a"})), Grouping(("job",), frozenset({"b"}))]


metrics = st.builds(
    "{}{}".format,
    st.from_regex(r"penstock_[a-z]{1,8}", fullmatch=True),
    st.sampled_from(["", "{}", '{job="a"}', '{job=~"(", instance!="}"}']),
)
expressions = st.recursive(
    metrics,
    lambda inner: st.one_of(
        st.builds("sum by (job) (rate({}[5m]))".format, inner),
        st.builds("({} / {})".format, inner, inner),
        st.builds("max({}) without (instance) > 3".format, inner),
        st.builds("{} and on (job) {} offset 1h".format, inner, inner),
        st.builds("histogram_quantile(0.9, {})".format, inner),
    ),
    max_leaves=6,
)


@given(expressions)
def test_a_wrong_name_is_found_wherever_it_stands(expression: str) -> None:
    """
    Of any expression, the metrics are those that were written into it.
    """
    written = set(re.findall(r"penstock_[a-z]+", expression))

    assert names(expression) == written
    assert not faults(expression, Exported({name: {} for name in written}))
    for name in written:
        others = Exported({other: {} for other in written - {name}})
        assert f"no metric {name}" in faults(expression, others)
