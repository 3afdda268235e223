"""
HTTP/1.1 from the socket to the ASGI app and back.

`site` holds what the connections of a listener share, `connection` reads
requests, `exchange` answers one. They call each other directly, with no layer
of events in between, because this path is measured in microseconds; what can be
judged without a socket (`head`, `target`, `chunked`, `routing`, `wheel`) is.
"""
