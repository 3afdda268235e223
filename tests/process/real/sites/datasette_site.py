"""Datasette over the database $SITE_DB, as `--factory` wants it."""

import os
from typing import Any

from datasette.app import Datasette


def make() -> Any:
    """Make the application."""
    return Datasette([os.environ["SITE_DB"]], settings={"force_https_urls": False}).app()
