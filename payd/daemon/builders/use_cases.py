"""Build every use case once, with a shared clock and shared crash points."""

from datetime import timedelta
from functools import partial

import attrs

from payd.adapters.personal import bare_letter
from payd.adapters.rate_limit import RateLimiter
from payd.adapters.system import OrderedIds
from payd.adapters.traced import traced_publisher, traced_store
from payd.adapters.turns import AsyncioTurns
from payd.config import Config
from payd.daemon.builders.adapters import Adapters
from payd.daemon.current import CurrentConfig
from payd.daemon.preflight import crash_points
from payd.ports import Clock, CrashPoints, DaemonState, Providers
from payd.service.approve_refund import ApproveRefund
from payd.service.ask import Ask
from payd.service.attach import Attach
from payd.service.audit import Audit
from payd.service.cancel import Cancel
from payd.service.cancel_refund import CancelRefund
from payd.service.dead_letters import ReadDeadLetters
from payd.service.explain import ExplainPayment
from payd.service.export_payments import ExportPayments
from payd.service.forget_customer import ForgetCustomer
from payd.service.initiate import Initiate
from payd.service.intake import Intake
from payd.service.list_payments import ListPayments
from payd.service.overview import GetOverview
from payd.service.publish import Publish
from payd.service.query import Query
from payd.service.reconcile import Reconcile
from payd.service.recover import Recover
from payd.service.recover_refunds import RecoverRefunds
from payd.service.refund import RefundPayment
from payd.service.replay import ReplayDeadLetters
from payd.service.reports import Reports
from payd.service.republish import Republish
from payd.service.resolve_attention import ResolveAttention
from payd.service.scan import Scan
from payd.service.send_refund import SendRefund
from payd.service.settle import Settle
from payd.service.settle_refund import SettleRefund
from payd.service.show_payment import ShowPayment
from payd.service.show_receipts import ShowReceipts
from payd.service.sponsor import SponsorTransfer
from payd.service.status_check import StatusCheck
from payd.service.sync import SyncPayment
from payd.service.watch import Watch
from payd.transport.grpc.handlers import Services
from payd.transport.grpc.operator_handlers import OperatorServices
from payd.transport.page_links import PageLinks

#: How often the wallets of all payments together may ask for a sponsor.
_SPONSORED_PER_S = 5
_SPONSORED_BURST = 50


@attrs.frozen(kw_only=True)
class RefundUseCases:
    """The use cases of money that goes back."""

    request: RefundPayment
    approve: ApproveRefund
    cancel: CancelRefund
    settle: SettleRefund
    recover: RecoverRefunds


@attrs.frozen(kw_only=True)
class UseCases:
    """Every use case of the daemon. They run on the asyncio loop."""

    grpc_services: Services
    intake: Intake
    reports: Reports
    publish: Publish
    recover: Recover
    scan: Scan
    reconcile: Reconcile
    audit: Audit
    recover_refunds: RecoverRefunds
    show: ShowPayment
    sponsor: SponsorTransfer
    page_links: PageLinks


def build_use_cases(
    config: Config,
    adapters: Adapters,
    providers: Providers,
    current: CurrentConfig,
    daemon: DaemonState,
) -> UseCases:
    """Build every use case on these adapters and providers."""
    clock, crash = adapters.clock, crash_points(config)
    store = adapters.store
    settle = _build_settle(adapters, providers, clock, crash)
    ask = Ask(settle=settle, providers=providers, clock=clock, crash=crash)
    status_check = StatusCheck(settle=settle, inbox=adapters.inbox)
    cancel = Cancel(settle=settle, status_check=status_check, providers=providers, crash=crash)
    query = Query(
        store=store,
        providers=providers,
        prices=current,
        clock=clock,
        quote_ttl=timedelta(seconds=config.payments.quote_ttl_s),
        quote_keys=current.quote_keys,
    )
    ids, tags = OrderedIds(), adapters.tags
    initiate = Initiate(
        store=store, query=query, ask=ask, clock=clock, ids=ids, tags=tags, crash=crash
    )
    refunds = _build_refunds(config, adapters, providers, settle)
    links = PageLinks(public_url=config.http.public_url or "", keys=current.page_keys)
    recover = _build_recover(config, ask, cancel)
    return UseCases(
        grpc_services=Services(
            initiate=initiate,
            cancel=cancel,
            query=query,
            watch=Watch(store=store, changes=adapters.changes, clock=clock),
            refund=refunds.request,
            cancel_refund=refunds.cancel,
            approve_refund=refunds.approve,
            settle_refund=refunds.settle,
            resolve_attention=ResolveAttention(settle=settle),
            forget_customer=ForgetCustomer(settle=settle, personal=adapters.personal_data),
            list_payments=ListPayments(lists=adapters.payment_lists, clock=clock),
            explain=_build_explain(config, adapters, settle),
            sync=SyncPayment(recover=recover, recover_refunds=refunds.recover),
            export_payments=ExportPayments(accounts=adapters.accounts),
            operators=_build_operators(adapters, settle, daemon),
            show_receipts=ShowReceipts(receipts=adapters.receipts, providers=providers),
            page_url=links.url_of,
        ),
        intake=Intake(inbox=adapters.inbox, providers=providers, clock=clock, crash=crash),
        reports=Reports(
            inbox=adapters.inbox, store=store, providers=providers, settle=settle, clock=clock
        ),
        publish=_build_publish(config, adapters, crash),
        recover=recover,
        scan=Scan(
            inbox=adapters.inbox,
            cursors=adapters.inbox,
            providers=providers,
            interval=lambda: timedelta(seconds=current.config().recovery.scan_interval_s),
        ),
        reconcile=_build_reconcile(config, adapters, providers, settle),
        audit=build_audit(config, adapters, providers),
        recover_refunds=refunds.recover,
        show=ShowPayment(
            store=store, receipts=adapters.receipts, changes=adapters.changes.uncounted
        ),
        sponsor=_build_sponsor(adapters, providers, clock),
        page_links=links,
    )


def _build_sponsor(adapters: Adapters, providers: Providers, clock: Clock) -> SponsorTransfer:
    limiter = RateLimiter(rate=_SPONSORED_PER_S, burst=_SPONSORED_BURST, redis=None)
    return SponsorTransfer(
        store=adapters.store,
        providers=providers,
        clock=clock,
        wait_of_all=partial(limiter.admit, ""),
    )


def _build_settle(
    adapters: Adapters, providers: Providers, clock: Clock, crash: CrashPoints
) -> Settle:
    return Settle(
        store=traced_store(adapters.store, adapters.tracer),
        providers=providers,
        clock=clock,
        crash=crash,
        turns=AsyncioTurns(),
        rules=adapters.rules,
    )


def _build_publish(config: Config, adapters: Adapters, crash: CrashPoints) -> Publish:
    return Publish(
        outbox=adapters.outbox,
        publisher=traced_publisher(adapters.stream, adapters.tracer),
        crash=crash,
        batch_size=config.nats.in_flight,
        lease_s=config.outbox.lease_s,
    )


def _build_operators(adapters: Adapters, settle: Settle, daemon: DaemonState) -> OperatorServices:
    return OperatorServices(
        receipts=adapters.receipts,
        attach=Attach(receipts=adapters.receipts, settle=settle),
        republish=Republish(events=adapters.outbox, publisher=adapters.stream, settle=settle),
        dead_letters=ReadDeadLetters(letters=adapters.dead_letters, events=adapters.outbox),
        replay=ReplayDeadLetters(
            letters=adapters.dead_letters, events=adapters.outbox, settle=settle, bare=bare_letter
        ),
        reconciliations=adapters.reconciliations,
        overview=GetOverview(sums=adapters.sums, daemon=daemon, clock=settle.clock),
        daemon=daemon,
        stored_rows=adapters.stored_rows,
        providers=settle.providers,
    )


def _build_explain(config: Config, adapters: Adapters, settle: Settle) -> ExplainPayment:
    return ExplainPayment(
        store=adapters.store,
        histories=adapters.histories,
        settle=settle,
        approval_from=config.refunds.approval_from,
    )


def _build_recover(config: Config, ask: Ask, cancel: Cancel) -> Recover:
    settle = ask.settle
    return Recover(
        store=settle.store,
        settle=settle,
        ask=ask,
        cancel=cancel,
        status_check=cancel.status_check,
        providers=settle.providers,
        clock=settle.clock,
        batch_size=config.recovery.batch_size,
        lease_s=config.recovery.lease_s,
    )


def _build_refunds(
    config: Config, adapters: Adapters, providers: Providers, settle: Settle
) -> RefundUseCases:
    store, clock, crash = adapters.store, settle.clock, settle.crash
    sender = SendRefund(settle=settle, providers=providers, clock=clock, crash=crash)
    return RefundUseCases(
        request=RefundPayment(
            store=store,
            settle=settle,
            sender=sender,
            clock=clock,
            ids=OrderedIds(),
            crash=crash,
            approval_from=config.refunds.approval_from,
        ),
        approve=ApproveRefund(store=store, settle=settle, sender=sender),
        cancel=CancelRefund(store=store, settle=settle),
        settle=SettleRefund(store=store, settle=settle, providers=providers),
        recover=RecoverRefunds(
            store=store,
            settle=settle,
            sender=sender,
            providers=providers,
            clock=clock,
            batch_size=config.recovery.batch_size,
            lease_s=config.recovery.lease_s,
        ),
    )


def _build_reconcile(
    config: Config, adapters: Adapters, providers: Providers, settle: Settle
) -> Reconcile:
    return Reconcile(
        store=adapters.store,
        settle=settle,
        inbox=adapters.inbox,
        cursors=adapters.inbox,
        results=adapters.reconciliations,
        providers=providers,
        clock=adapters.clock,
        interval=timedelta(seconds=config.recovery.reconcile_interval_s),
        window=timedelta(seconds=config.recovery.reconcile_window_s),
    )


def build_audit(config: Config, adapters: Adapters, providers: Providers) -> Audit:
    """Build the audit, for the daemon's daily run and for `payd NAME audit`."""
    return Audit(
        receipts=adapters.receipts,
        results=adapters.reconciliations,
        inbox=adapters.inbox,
        cursors=adapters.inbox,
        providers=providers,
        clock=adapters.clock,
        interval=timedelta(seconds=config.recovery.reconcile_interval_s),
    )
