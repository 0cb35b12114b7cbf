"""Everything on one machine: real servers from packages, a development CA, kept state.

May import nursery, config and adapters; only `cli` may import it, and only for `payd dev`.
Nothing here runs in production.
"""
