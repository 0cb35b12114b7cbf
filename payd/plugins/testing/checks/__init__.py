"""The checks, grouped by topic. Importing this package registers them."""

from payd.plugins.testing.checks import (
    basic,
    books,
    changes,
    faults,
    money,
    objects,
    refund_faults,
    refunds,
    refusal,
    remote_side,
    resilience,
    scan,
    story,
    tokens,
    watch,
    webhooks,
)

__all__ = [
    "basic",
    "books",
    "changes",
    "faults",
    "money",
    "objects",
    "refund_faults",
    "refunds",
    "refusal",
    "remote_side",
    "resilience",
    "scan",
    "story",
    "tokens",
    "watch",
    "webhooks",
]
