"""Shared memory: the few bytes that both planes agree on."""

# A bare `import shm` belongs to the user, whose app may well be called that.
if __name__ != "penstock.shm":
    raise ImportError("this folder is a part of Penstock: import it as penstock.shm")
