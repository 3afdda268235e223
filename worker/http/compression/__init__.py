"""
Compressed responses: negotiated by Accept-Encoding, for a route that is configured so.

A route without it has the plain `Exchange`, and pays nothing.
"""
