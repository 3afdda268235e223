"""
The welcome page: `page.html` with the facts filled in.

Facts enter as escaped text and never touch the page's style or script, whose
hashes are therefore constant and are all that the browser is allowed to run.
"""

import base64
import hashlib
import html
import os
import platform
import re
from pathlib import Path

from penstock import __version__
from penstock.worker.identity import Identity

TEMPLATE = (Path(__file__).parent / "page.html").read_text(encoding="utf-8")
PLACEHOLDER = re.compile(r"\{\{(\w+)\}\}")
HOST_PORT = re.compile(r":\d*$")
EVERY_ADDRESS = ("", "*", "0.0.0.0", "[::]")


def content_security_policy(page: str) -> str:
    """
    Return the policy that lets a self-contained page run what it was written with.

    Its own style and script by their hashes, its own origin for questions, an
    icon inside the page, and nothing else from anywhere.
    """
    return "; ".join(
        (
            "default-src 'none'",
            f"style-src {hashes_of('style', page)}",
            f"script-src {hashes_of('script', page)}",
            "connect-src 'self'",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    )


def hashes_of(tag: str, page: str) -> str:
    """Return the CSP sources for every inline element of a kind, or 'none'."""
    elements = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
    digests = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in elements)
    return " ".join(f"'sha256-{digest}'" for digest in digests) or "'none'"


PAGE_CONTENT_SECURITY_POLICY = content_security_policy(TEMPLATE).encode()


def render_page(who: Identity, *, host: str = "127.0.0.1:8000", root_path: str = "") -> bytes:
    """Return the page as this worker tells it to a client that asked for `host`."""
    facts = page_facts(who, host, root_path.rstrip("/"))
    return PLACEHOLDER.sub(lambda found: html.escape(facts[found[1]]), TEMPLATE).encode()


def page_facts(who: Identity, host: str, root: str) -> dict[str, str]:
    """Return what each placeholder says, not yet escaped."""
    return {
        "root": root,
        "origin": host + root,
        "version": __version__,
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "workers": str(who.worker_count),
        "pid": str(os.getpid()),
        "slot": str(who.slot),
        "core": "any" if who.core is None else str(who.core),
        "generation": str(who.generation),
        "admin": who.admin_address or "",
        "admin_url": admin_url(who.admin_address, host),
        "master": "MASTER_PID" if who.master_pid is None else str(who.master_pid),
    }


def admin_url(address: str | None, host: str) -> str:
    """
    Return where a browser finds the admin page, or "" if it cannot.

    An endpoint that is bound to every address is found on the one that the
    client has just used to come here.
    """
    if address is None or "/" in address:  # a UNIX socket is named by its path
        return ""
    bound, _, port = address.rpartition(":")
    if bound in EVERY_ADDRESS:
        bound = HOST_PORT.sub("", host)
    return f"http://{bound}:{port}/"
