"""The conformance kit: what payd relies on in a provider, as checks that its author can run.

A pytest plugin; never imported by payd when it takes money. The author writes a `Remote`, his remote
side scripted, and one line: `test_conformance = conformance(MANIFEST, open_remote)`. Each check has a
sentence that says what went wrong and why it matters.
"""

from payd.plugins.testing.bench import Bench
from payd.plugins.testing.registry import CHECKS, Check, Failed, Level, Unproven
from payd.plugins.testing.remote import Fault, NotScripted, Remote
from payd.plugins.testing.run import Report, Verdict, conformance, run_check, run_kit

__all__ = [
    "CHECKS",
    "Bench",
    "Check",
    "Failed",
    "Fault",
    "Level",
    "NotScripted",
    "Remote",
    "Report",
    "Unproven",
    "Verdict",
    "conformance",
    "run_check",
    "run_kit",
]
