"""The checks, grouped by topic. Importing this package registers them."""

from payd.plugins.testing.checks import (
    basic,
    money,
    refund_faults,
    refunds,
    resilience,
    scan,
    story,
    watch,
    webhooks,
)

__all__ = [
    "basic",
    "money",
    "refund_faults",
    "refunds",
    "resilience",
    "scan",
    "story",
    "watch",
    "webhooks",
]
