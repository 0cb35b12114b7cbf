"""Rows of a payment as the database has them, for the person who does not believe the rest."""

import attrs

#: Newest rows of one table that are shown.
ROWS_MAX = 200
#: Of all rows of an answer. What is older in its table gives way first.
BYTES_MAX = 1024 * 1024


@attrs.frozen(kw_only=True)
class StoredTable:
    """Rows of one table."""

    name: str
    #: Each row as a JSON object, oldest first.
    rows: tuple[str, ...]
    #: Whether there are older ones.
    has_more: bool = False
