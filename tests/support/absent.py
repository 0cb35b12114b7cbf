"""Skip a test whose tools this machine lacks, with the reason, or fail where all tests must run."""

import os
from typing import NoReturn

import pytest

NO_CHROMIUM = "no chromium on this machine (apt-get install chromium-headless-shell)"
NO_ANVIL = "no local Tempo chain"
NO_NPM = "npm is not on this machine, or reaches no registry"
NO_NAMESPACES = "no root, setpriv or namespaces on this machine (unshare --net --mount --pid)"
NO_OWN_SYSTEMD = "no systemd, root or namespaces on this machine: the units are not run"
NO_PGBOUNCER = "no pgbouncer on this machine (apt-get install pgbouncer)"
NO_TLS_POSTGRES = "no PostgreSQL with TLS on this machine (apt-get install postgresql)"
NO_SYSTEMD = "no systemd-analyze on this machine (apt-get install systemd)"


def do_without(reason: str) -> NoReturn:
    """Skip the test; fail it where all tests must run."""
    if os.environ.get("REQUIRE_ALL") == "1":
        pytest.fail(f"{reason}; REQUIRE_ALL is set", pytrace=False)
    pytest.skip(reason)
