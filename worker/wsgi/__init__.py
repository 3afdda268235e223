"""
WSGI (PEP 3333): apps that block are called in threads, and answer through the loop.

The loop alone touches connections. What it does with a request is in `exchange`,
what the thread does in `call`; `threads` carries requests one way and letters
the other.
"""
