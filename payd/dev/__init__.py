"""`payd dev`: real servers from packages, a development CA, and companions of providers.

It may import nursery, config and adapters; only `cli` may import it, for `payd dev`, and `drills`,
for the same servers. Nothing here runs in production.
"""
