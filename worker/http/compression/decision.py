"""
What becomes of a response, once the first piece of its body is there.

Pure, and the same for every way in which a response may come.
"""

from typing import NamedTuple

from penstock.worker.asgi.types import Scope
from penstock.worker.http.compression import representation
from penstock.worker.http.compression.codings import Coding
from penstock.worker.http.compression.plan import Plan
from penstock.worker.http.compression.representation import Headers
from penstock.worker.http.fields import content_length


class Decision(NamedTuple):
    """The coding of a response, None for none, and its headers so far: what it depends on is noted there."""

    coding: Coding | None
    headers: Headers
    declared: int | None = None  # its Content-Length


def decide(plan: Plan, scope: Scope, status: int, headers: Headers, *, size: int | None) -> Decision:
    """
    Choose a coding for a response that begins.

    `size` is that of a body that is there as a whole. Raises ValueError for a
    Content-Length that is none.
    """
    traits = representation.judge(status, headers)
    if traits is None:
        if status == 304:
            headers = representation.revalidated(headers, scope["headers"])
        return Decision(None, headers)
    if not plan.types.include(traits.content_type):
        return Decision(None, headers)
    is_head = scope["method"] == "HEAD"
    declared = size  # as nearly always when both are told
    if traits.declared is None:
        declared = None
    elif size is None or traits.declared != b"%d" % size:
        declared = content_length(traits.declared)
    if size is not None and declared is not None and declared != size and not is_head:
        return Decision(None, headers)  # It is wrong, and whoever writes it says so.
    known = size if declared is None and not (is_head and not size) else declared
    choice = plan.choice(scope["headers"])
    if known is not None and (not known or (known < plan.size_min and not choice.refuses_identity)):
        return Decision(None, headers)
    headers = representation.varied(headers, has_vary=traits.has_vary)
    if choice.coding is None or (known is None and size is not None):
        return Decision(None, headers)  # The latter is a HEAD that does not tell how much there is.
    return Decision(plan.codings[choice.coding], headers, declared)


def is_worth_it(plan: Plan, scope: Scope, packed: bytes, body: bytes) -> bool:
    """Tell whether a body that is compressed is better than the body itself."""
    return len(packed) < len(body) or plan.choice(scope["headers"]).refuses_identity
