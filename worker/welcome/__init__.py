"""
The welcome service: what `penstock` serves when it is told nothing else.

A plain ASGI app, without a framework, that runs like any user's app does:
`penstock penstock.worker.welcome:app` is the same as `penstock`.
"""

from penstock.worker.welcome.service import app

__all__ = ["app"]
