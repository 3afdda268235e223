"""
The control socket: the admin endpoint, and orders to the master.

`POST /control/<verb>` passes an order on and answers with the operation's id at
once; what becomes of it is in `/status`. The admin address does not have this:
there anybody may ask who can reach it, and the control socket is its owner's.
"""

from collections.abc import Callable
from typing import Final
from urllib.parse import parse_qs

from penstock.master.admin.app import IS_OWNER, AdminApp
from penstock.master.admin.replies import Reply, json_reply, send_reply, text_reply
from penstock.master.operations import new_id
from penstock.master.verbs import ARGUMENT_DIGITS_MAX, VERBS
from penstock.worker.asgi.types import Receive, Scope, Send
from penstock.worker.messages import Ask

PREFIX: Final = "/control/"

ACCEPTED: Final = 202


class ControlApp:
    """The admin app with orders. `pass_on` returns why the master cannot be told, or None."""

    def __init__(self, app: AdminApp, pass_on: Callable[[Ask], str | None]) -> None:
        self._app = app
        self._pass_on = pass_on

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "http" and scope["path"].startswith(PREFIX):
            await send_reply(self._order(scope), scope, send)
        else:
            await self._app({**scope, IS_OWNER: True}, receive, send)

    def _order(self, scope: Scope) -> Reply:
        verb = scope["path"].removeprefix(PREFIX)
        if verb not in VERBS:
            return text_reply(404, f"There is no such order. There are {', '.join(VERBS)}.\n")
        if scope["method"] != "POST":
            return text_reply(405, "An order is given by POST.\n", (b"allow", b"POST"))
        try:
            argument = read_argument(verb, scope["query_string"])
        except ValueError as error:
            return text_reply(400, f"{error}\n")
        ask = Ask(verb, argument, new_id())
        refusal = self._pass_on(ask)
        if refusal is not None:
            return text_reply(503, f"{refusal}\n")
        return json_reply({"id": ask.ticket, "verb": verb}, status=ACCEPTED)


def read_argument(verb: str, query_string: bytes) -> int | None:
    """Read the number that a verb takes from the query. Raises ValueError in words."""
    name = VERBS[verb].argument
    try:
        query = parse_qs(query_string.decode("ascii"), keep_blank_values=True, max_num_fields=8)
    except (ValueError, UnicodeDecodeError):
        raise ValueError("The query makes no sense.") from None
    if unknown := query.keys() - {name}:
        raise ValueError(f"{verb} takes no {min(unknown)[:40]!r}.")
    if name is None:
        return None
    given = query.get(name, [])
    if len(given) != 1 or not is_number(given[0]):
        raise ValueError(f"{verb} takes one number: {PREFIX}{verb}?{name}=4")
    return int(given[0])


def is_number(text: str) -> bool:
    """Whether a text is a whole number without a sign, and short enough to be meant."""
    return text.isascii() and text.isdigit() and len(text) <= ARGUMENT_DIGITS_MAX
