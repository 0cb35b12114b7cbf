"""Use cases: one file each, which makes one pass and returns.

Code here awaits ports, and imports no event loop and no library but attrs. Rules about payments
belong in `domain`; loops that wait and repeat belong in `payd.daemon.loops`.
"""
