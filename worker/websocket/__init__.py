"""WebSockets: the handshake of one, its frames, and what its app sees of it."""
