"""The checks, grouped by topic. Importing this package registers them."""

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
