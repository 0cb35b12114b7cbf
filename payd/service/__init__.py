"""What we do: one file per use case, one pass each, no waiting.

Awaits ports and names no event loop: neither trio nor asyncio, no outside library but attrs.
Rules about payments belong in `domain`; what waits or repeats belongs in `nursery`.
"""
