"""The services, each object once, sharing one clock and one crash point."""

from datetime import timedelta

import attrs

from payd.adapters.system import RandomIds, SystemClock
from payd.config import Config
from payd.domain.decide import Rules
from payd.ports.provider import Providers
from payd.daemon.preflight import crash_points
from payd.service.ask import Ask
from payd.service.audit import Audit
from payd.service.cancel import Cancel
from payd.service.initiate import Initiate
from payd.service.intake import Intake
from payd.service.look import Look
from payd.service.publish import Publish
from payd.service.query import Query
from payd.service.reconcile import Reconcile
from payd.service.recover import Recover
from payd.service.scan import Scan
from payd.service.settle import Settle
from payd.transport.grpc.handlers import Services
from payd.daemon.current import Holder
from payd.daemon.build.adapters import Outside


@attrs.frozen(kw_only=True)
class UseCases:
    """The services, on asyncio."""

    door: Services
    intake: Intake
    publish: Publish
    recover: Recover
    scan: Scan
    reconcile: Reconcile
    audit: Audit


def build_use_cases(
    config: Config, outside: Outside, providers: Providers, holder: Holder
) -> UseCases:
    """Every use case, sharing one clock and one crash point."""
    clock, crash = SystemClock(), crash_points(config)
    store = outside.store
    settle = Settle(
        store=store, providers=providers, clock=clock, crash=crash, rules=payment_rules(config)
    )
    ask = Ask(settle=settle, providers=providers, clock=clock, crash=crash)
    look = Look(settle=settle, inbox=outside.inbox)
    cancel = Cancel(settle=settle, look=look, providers=providers, crash=crash)
    query = Query(
        store=store,
        providers=providers,
        prices=holder,
        clock=clock,
        quote_ttl=timedelta(seconds=config.payments.quote_ttl_s),
    )
    initiate = Initiate(
        store=store, query=query, ask=ask, clock=clock, ids=RandomIds(), crash=crash
    )
    return UseCases(
        door=Services(initiate=initiate, cancel=cancel, query=query),
        intake=Intake(
            inbox=outside.inbox,
            store=store,
            providers=providers,
            settle=settle,
            clock=clock,
            crash=crash,
        ),
        publish=Publish(
            outbox=outside.outbox,
            publisher=outside.stream,
            crash=crash,
            batch_size=config.nats.in_flight,
            lease_s=config.outbox.lease_s,
        ),
        recover=Recover(
            store=store,
            settle=settle,
            ask=ask,
            cancel=cancel,
            look=look,
            providers=providers,
            clock=clock,
            batch_size=config.recovery.batch_size,
            lease_s=config.recovery.lease_s,
        ),
        scan=Scan(
            inbox=outside.inbox,
            cursors=outside.inbox,
            providers=providers,
            interval=timedelta(seconds=config.recovery.scan_interval_s),
        ),
        reconcile=_build_reconcile(config, outside, providers, settle),
        audit=build_audit(config, outside, providers),
    )


def _build_reconcile(
    config: Config, outside: Outside, providers: Providers, settle: Settle
) -> Reconcile:
    return Reconcile(
        store=outside.store,
        settle=settle,
        inbox=outside.inbox,
        cursors=outside.inbox,
        results=outside.reconciliations,
        providers=providers,
        clock=SystemClock(),
        interval=timedelta(seconds=config.recovery.reconcile_interval_s),
        window=timedelta(seconds=config.recovery.reconcile_window_s),
    )


def build_audit(config: Config, outside: Outside, providers: Providers) -> Audit:
    """For the daemon, and for an operator who wants to know now."""
    return Audit(
        receipts=outside.receipts,
        results=outside.reconciliations,
        inbox=outside.inbox,
        cursors=outside.inbox,
        providers=providers,
        clock=SystemClock(),
        interval=timedelta(seconds=config.recovery.reconcile_interval_s),
    )


def payment_rules(config: Config) -> Rules:
    """What the operator has set about closing."""
    return Rules(
        late_window=timedelta(seconds=config.payments.late_window_s),
        not_attempted_limit=timedelta(seconds=config.payments.creating_timeout_s),
    )
