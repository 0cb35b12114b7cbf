"""The checks, a file a level. Importing them registers them."""

from payd.plugins.testing.checks import (
    basic,
    resilience,
    reversals,
    scan,
    story,
    watch,
    webhooks,
)

__all__ = ["basic", "resilience", "reversals", "scan", "story", "watch", "webhooks"]
