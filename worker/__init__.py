"""The data plane: moves bytes, from accept through parse and app to reply."""

# A bare `import worker` belongs to the user, whose app may well be called that.
if __name__ != "penstock.worker":
    raise ImportError("this folder is a part of Penstock: import it as penstock.worker")
