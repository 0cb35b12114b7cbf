"""What reports say that payd has not settled yet, or that contradict each other."""

from payd.domain.dispute import Dispute
from payd.domain.evidence import Conflict, Receipt, Snapshot
from payd.domain.explain.words import in_asset, listing, when
from payd.domain.history import Fact, History, StoredReport
from payd.domain.payment import Payment
from payd.domain.refund import RefundSnapshot


def reported(history: History) -> str:
    """A clause about the reports that wait: what the first of them says."""
    first, *others = history.waiting
    provider = history.payment.provider
    more = f", with {len(others)} more" if others else ""
    content = contents(history.payment, first)
    what = f"has reported {content} (report {first.event_id}{more})" if content else ""
    what = what or f"has sent report {first.event_id}{more}"
    return f"{provider} {what}; payd has not processed that yet"


def contents(payment: Payment, report: StoredReport) -> str:
    """What a report says; empty where payd cannot read it."""
    return listing([_says(payment, fact) for fact in report.facts]) if report.facts else ""


def _says(payment: Payment, fact: Fact) -> str:
    match fact:
        case Snapshot(status=status, asset=asset, received=received, confirmed=confirmed):
            final = in_asset(payment, asset, confirmed)
            seen = f"{in_asset(payment, asset, received)} received and {final} final"
            return f"{status.value} with {seen}"
        case RefundSnapshot(reference=name, asset=asset, amount=amount, state=state):
            return f"refund {name} of {in_asset(payment, asset, amount)} as {state.value}"
        case Dispute(id=name, asset=asset, amount=amount, status=status):
            return f"dispute {name} of {in_asset(payment, asset, amount)} as {status.value}"
        case Conflict(detail=detail):
            return f"a contradiction ({detail})" if detail else "a contradiction"
    return listing(_arrival(payment, receipt) for receipt in fact) if fact else "no receipts"


def _arrival(payment: Payment, receipt: Receipt) -> str:
    amount = in_asset(payment, receipt.asset, receipt.amount)
    return f"receipt {receipt.id} of {amount} as {receipt.state.value}"


def contradictions(history: History) -> list[str]:
    """A sentence for each report that came with two contents, as far as payd can read them."""
    by_event: dict[str, list[StoredReport]] = {}
    for report in sorted(history.reports.values(), key=lambda one: one.id):
        by_event.setdefault(report.event_id, []).append(report)
    return [
        _two(history.payment, *same[:2])
        for same in by_event.values()
        if len(same) > 1 and all(report.facts for report in same[:2])
    ]


def _two(payment: Payment, first: StoredReport, second: StoredReport) -> str:
    return (
        f"Report {first.event_id} came twice. The first time, at {when(first.receive_time)}, it"
        f" says {contents(payment, first)}; the second time, at {when(second.receive_time)}, it"
        f" says {contents(payment, second)}. payd counts the first only."
    )
