"""`payd dev`: real servers from packages, a development CA, and companions of providers.

It may import nursery, config and adapters; only `cli` may import it, and only for `payd dev`.
Nothing here runs in production.
"""
