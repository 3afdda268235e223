"""
The page for people, put together from the files of this folder.

It is one document without anything from elsewhere: style and scripts are put
in their places here, once, and the browser may run them alone, by their hashes.
No fact is ever written into it; the page asks `/status` and `/samples`.
"""

import re
from importlib import resources
from typing import Final

from penstock.worker.welcome.page import content_security_policy

_PLACE: Final = re.compile(r"\{\{([a-z]+\.(?:css|js))\}\}")


def assemble_page() -> str:
    """Read the folder and return the document."""
    folder = resources.files(__name__)
    return _PLACE.sub(
        lambda place: folder.joinpath(place[1]).read_text(encoding="utf-8"),
        folder.joinpath("page.html").read_text(encoding="utf-8"),
    )


# Read with the module, hence by the master: the admin process may have dropped the right to.
PAGE: Final = assemble_page()
PAGE_POLICY: Final = content_security_policy(PAGE)
