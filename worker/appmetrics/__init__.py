"""
The hosted app's own `prometheus_client` metrics, kept in shared memory.

`boot.py` is what master and worker call. `hook.py` is the hook itself, and
depends on the insides of prometheus_client, so nobody imports it who could not
do without:

    prepare()               in a process that imports the app: values are made, and lie nowhere yet
    install(area, view=)    in a worker, before the app is imported: values lie in its row

After that an app counts with prometheus_client as ever, and whatever it serves
from a registry is the total over all workers.
"""
