"""
The hosted app's own `prometheus_client` metrics, kept in shared memory.

    prepare()                in a master that imports the app: values are made, and lie nowhere yet
    install(area, view=)     in a worker, before the app is imported: values lie in its row

After that an app counts with prometheus_client as ever, and whatever it serves
from a registry is the total over all workers.
"""

from penstock.worker.appmetrics.hook import Hook, install, prepare

__all__ = ["Hook", "install", "prepare"]
