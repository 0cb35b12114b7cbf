"""A running `payd dev`, as the browser tests share it."""

from collections.abc import Mapping
from pathlib import Path

import attrs

from support.forks import Fork


@attrs.frozen(kw_only=True)
class DevSite:
    """Its state folder, its process, and what dev.json says."""

    state: Path
    #: payd, and what plays Stripe; the servers and the shop are processes of their own.
    process: Fork
    addresses: Mapping[str, str]
