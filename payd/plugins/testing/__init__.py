"""The conformance kit: what payd relies on in a provider, as checks that its author can run.

A pytest plugin; never imported by payd when it takes money. The author writes a `Remote`, his remote
side scripted, and one line: `test_acme = conformance(MANIFEST, open_remote)`. Each check has a
sentence that says what went wrong and why it matters.
"""

from payd.plugins.testing.bench import Bench, BenchClock, BenchLog, BenchSink, OpenRemote
from payd.plugins.testing.certify import conformance
from payd.plugins.testing.registry import CHECKS, Check, Failed, Level
from payd.plugins.testing.remote import CannotHappen, Fault, NotScripted, Remote
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
    "Report",
    "Verdict",
    "conformance",
    "open_bench",
    "run_check",
    "run_kit",
]
