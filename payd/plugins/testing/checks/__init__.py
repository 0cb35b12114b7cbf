"""The checks, a file a level. Importing them registers them."""

from payd.plugins.testing.checks import (
    basic,
    money,
    resilience,
    scan,
    story,
    watch,
    webhooks,
)

__all__ = ["basic", "money", "resilience", "scan", "story", "watch", "webhooks"]
