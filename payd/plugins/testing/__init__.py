"""The conformance kit: checks of everything that payd relies on in a provider.

A provider's author writes a `Remote`, which scripts the provider's remote side, and one line:
`test_acme = conformance(MANIFEST, open_remote)`. A failed check reports what went wrong and why it
matters. The daemon never imports the kit.
"""

from payd.plugins.testing.bench import Bench
from payd.plugins.testing.certify import conformance
from payd.plugins.testing.given import BenchClock, BenchLog, BenchSink
from payd.plugins.testing.registry import CHECKS, Check, Failed, Level
from payd.plugins.testing.remote import (
    CannotHappen,
    Fault,
    NotScripted,
    OpenRemote,
    Remote,
    RemoteMistake,
)
from payd.plugins.testing.report import Outcome, Report, Verdict
from payd.plugins.testing.run import open_bench, run_check, run_kit

__all__ = [
    "CHECKS",
    "Bench",
    "BenchClock",
    "BenchLog",
    "BenchSink",
    "CannotHappen",
    "Check",
    "Failed",
    "Fault",
    "Level",
    "NotScripted",
    "OpenRemote",
    "Outcome",
    "Remote",
    "RemoteMistake",
    "Report",
    "Verdict",
    "conformance",
    "open_bench",
    "run_check",
    "run_kit",
]
