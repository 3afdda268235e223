"""The control plane: decides who runs, who drains, and what the numbers say."""

# A bare `import master` belongs to the user, whose app may well be called that.
if __name__ != "penstock.master":
    raise ImportError("this folder is a part of Penstock: import it as penstock.master")
