"""
Reloading on a change of the code, for development.

A process of its own looks, because the master has neither time nor threads for
it, and tells the master, which rolls its workers as it does on HUP.
"""
