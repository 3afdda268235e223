"""
TLS of a listener: certificates and which of them a client gets, handshakes that fail, what an app is told.

OpenSSL speaks it and the loop moves its bytes; nothing here does either.
"""
