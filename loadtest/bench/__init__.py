"""
The bench: load on servers, and what it cost them.

Nothing of Penstock's imports this; it drives servers from outside, as any
client does. The commands are `loadtest/run`, `loadtest/compare` and `make guard`.
"""
