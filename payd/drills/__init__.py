"""`payd drill`: rehearse a disaster with real servers on this machine, and report what held.

It may import dev, config and adapters; only `cli` may import it, and only for `payd drill`. Nothing
here runs in production.
"""
