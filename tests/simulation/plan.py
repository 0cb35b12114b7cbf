"""What a simulated history consists of: buyers, daemons and faults, all from one seed."""

from datetime import timedelta
from random import Random

import attrs

#: Every kind of fault; a plan has some of them.
FAULTS = (
    "database away",
    "commit lost its answer",
    "daemon killed",
    "daemon frozen",
    "clocks differ",
    "clock steps back",
    "provider refuses",
    "provider limits",
    "provider answer lost",
    "provider hangs",
    "provider lags",
    "provider out",
    "report lost",
    "report doubled",
    "report late",
    "stream away",
    "stream full",
    "stream loses",
    "acknowledgement lost",
)
#: Faults of the chain, in plans that have one.
CHAIN_FAULTS = ("chain reorganises", "chain halts", "chain lags")
#: Faults that last for a day; few plans have one, because their histories take longer to run.
LONG_FAULTS = ("provider out for a day", "stream away for a day")
#: Faults in few plans.
RARE_FAULTS = ("provider ends", "provider finds late")
#: When the faults end.
CALM_S = 7200.0
DAY_S = 86_400.0
#: For how long the remote side knows an operation id again, in plans where that is short.
SHORT_WINDOW_S = 120.0
#: Faults with which nobody can say whether a short time is over.
_CLOCK_FAULTS = {"clocks differ", "clock steps back"}


@attrs.frozen(kw_only=True)
class Buyer:
    """A customer with the main app: when they start, and what they do."""

    number: int
    start_s: float
    #: When the customer pays; None is never.
    pay_s: float | None
    #: For how long the money is on its way; 0 is final at once.
    slow_s: float = 0.0
    #: Whether that money never arrives.
    bounces: bool = False
    #: When the main app cancels; None is never.
    cancel_s: float | None = None
    #: Minor units of each refund that is asked for, at the same time.
    refunds: tuple[int, ...] = ()
    #: How long after the payment they are asked for.
    refund_after_s: float = 0.0
    #: Minor units that a person refunds at the provider, without payd.
    refund_at_provider: int = 0
    #: What becomes of the refunds at the remote side.
    refunds_fail: bool = False
    #: Whether the customer's bank disputes the payment.
    is_disputed: bool = False
    #: Whether the main app uses the keys of its calls for other ones, too.
    reuses_keys: bool = False
    #: For money on the chain: per cent of what is due in each transfer; () pays by card.
    transfers: tuple[int, ...] = ()
    #: Whether the transfers say what they are for.
    has_memo: bool = True
    #: Whether operators find out whose money without a memo is.
    is_matched: bool = False
    #: Whether an operator takes refunds back that a person is to send.
    is_taken_back: bool = False

    def __str__(self) -> str:
        pays = "never pays" if self.pay_s is None else f"pays after {self.pay_s:.0f} s"
        arrives = "bounces" if self.bounces else "arrives"
        slow = f", {arrives} {self.slow_s:.0f} s later" if self.slow_s else ""
        cancels = "" if self.cancel_s is None else f", cancels after {self.cancel_s:.0f} s"
        later = f" {self.refund_after_s:.0f} s later" if self.refund_after_s else ""
        refunds = f", wants {self.refunds} back{later}" if self.refunds else ""
        by_hand = f", gets {self.refund_at_provider} by hand" if self.refund_at_provider else ""
        keys = ", uses keys twice" if self.reuses_keys else ""
        disputes = ", disputes it" if self.is_disputed else ""
        memo = "" if self.has_memo else " without a memo"
        chain = f", in transfers of {self.transfers} %{memo}" if self.transfers else ""
        matched = ", matched" if self.is_matched else ""
        back = ", refunds taken back" if self.is_taken_back else ""
        return (
            f"buyer {self.number}: starts at {self.start_s:.0f} s, {pays}{slow}"
            f"{cancels}{refunds}{by_hand}{disputes}{keys}{chain}{matched}{back}"
        )


@attrs.frozen(kw_only=True)
class Plan:
    """One history before it happens."""

    seed: int
    daemons: int
    buyers: tuple[Buyer, ...]
    faults: frozenset[str]
    #: Whether the remote side can prove that it never saw an operation.
    proves_absence: bool
    #: Whether the daemons have the chain, too.
    has_chain: bool = False
    #: For how long the remote side knows an operation id again.
    window_s: float = DAY_S
    #: Whether a report of a refund says which of payd's refunds it is about.
    names_refunds: bool = True
    #: For how long money on the chain completes a payment that has ended; None is never.
    late_window_s: float | None = DAY_S
    #: Whether operators end reasons for attention.
    has_operators: bool = False
    #: Whether the main app calls each daemon once more when the faults have ended.
    asks_at_the_end: bool = False

    @property
    def calm_s(self) -> float:
        """When the faults end."""
        return CALM_S + (DAY_S if self.faults & {*LONG_FAULTS} else 0.0)

    def __str__(self) -> str:
        faults = ", ".join(sorted(self.faults)) or "none"
        return "\n".join((f"{self.daemons} daemons; faults: {faults}", *map(str, self.buyers)))


def late_window(plan: Plan) -> timedelta:
    """For how long money completes a payment that has ended, where it does so at all."""
    return timedelta(seconds=DAY_S if plan.late_window_s is None else plan.late_window_s)


def plan_of(seed: int) -> Plan:
    """The plan of a seed."""
    random = Random(f"{seed} plan")
    buyers = tuple(_buyer(random, number) for number in range(random.randint(2, 6)))
    # Some histories are nearly quiet: what breaks only there is not hidden by other faults.
    chance = random.choice((0.1, 0.3, 0.5))
    faults = {kind for kind in FAULTS if random.random() < chance}
    faults |= {kind for kind in LONG_FAULTS if random.random() < 0.01}
    plan = Plan(
        seed=seed,
        daemons=random.choice((1, 1, 2, 3)),
        buyers=buyers,
        faults=frozenset(faults),
        proves_absence=random.random() < 0.5,
    )
    if Random(seed).random() < 0.3:
        plan = _with_chain(plan, Random(f"{seed} chain"))
    # Random numbers of their own: what is added here leaves every other plan as it is.
    plan = _with_bounces(plan, Random(f"{seed} bounces"))
    rare = Random(f"{seed} rare")
    plan = _with_rarities(plan, rare) if rare.random() < 0.4 else plan
    operators = Random(f"{seed} operators")
    return _with_operators(plan, operators) if operators.random() < 0.3 else plan


def _with_bounces(plan: Plan, random: Random) -> Plan:
    fates = [random.random() < 0.2 for _ in plan.buyers]
    buyers = (
        attrs.evolve(buyer, bounces=fate and buyer.slow_s > 0)
        for buyer, fate in zip(plan.buyers, fates, strict=True)
    )
    return attrs.evolve(plan, buyers=tuple(buyers))


def _with_chain(plan: Plan, random: Random) -> Plan:
    buyers = (
        attrs.evolve(
            buyer,
            # Much of what a chain is about happens shortly before and after the expiry.
            pay_s=random.choice((buyer.pay_s, buyer.pay_s, 1700.0, 1760.0)),
            transfers=random.choice(((), (100,), (100,), (50, 50), (60,), (100, 30))),
            has_memo=random.random() < 0.9,
        )
        for buyer in plan.buyers
    )
    faults = {kind for kind in CHAIN_FAULTS if random.random() < 0.4}
    return attrs.evolve(plan, has_chain=True, buyers=tuple(buyers), faults=plan.faults | faults)


def _with_rarities(plan: Plan, random: Random) -> Plan:
    buyers = (
        attrs.evolve(
            buyer,
            refund_after_s=random.choice((0.0, 0.0, 900.0, 1500.0)),
            refund_at_provider=random.choice((0, 0, 0, 3000)),
            reuses_keys=random.random() < 0.3,
        )
        for buyer in plan.buyers
    )
    faults = {kind for kind in RARE_FAULTS if random.random() < 0.3}
    has_short_window = random.random() < 0.5 and not plan.faults & _CLOCK_FAULTS
    if has_short_window:
        # What only a long search or none can find is asked for again in its window.
        faults |= {"provider answer lost", "provider finds late"}
    return attrs.evolve(
        plan,
        buyers=tuple(buyers),
        faults=plan.faults | faults,
        proves_absence=plan.proves_absence and not has_short_window,
        window_s=SHORT_WINDOW_S if has_short_window else DAY_S,
        names_refunds=random.random() < 0.5,
        late_window_s=random.choice((DAY_S, 300.0, None)) if plan.has_chain else DAY_S,
        asks_at_the_end="provider ends" in faults or random.random() < 0.2,
    )


def _with_operators(plan: Plan, random: Random) -> Plan:
    buyers = (
        attrs.evolve(
            buyer,
            has_memo=buyer.has_memo and random.random() < 0.7,
            is_matched=random.random() < 0.8,
            is_taken_back=random.random() < 0.5,
        )
        for buyer in plan.buyers
    )
    return attrs.evolve(plan, buyers=tuple(buyers), has_operators=True)


def _buyer(random: Random, number: int) -> Buyer:
    pays = random.random() < 0.8
    wants = random.choice(((), (), (5000,), (14900,), (8000, 8000), (5000, 5000, 5000)))
    return Buyer(
        number=number,
        start_s=random.uniform(0, 3000),
        pay_s=random.choice((5.0, 60.0, 600.0, 1795.0, 1805.0, 2400.0)) if pays else None,
        slow_s=random.choice((0.0, 0.0, 30.0, 3600.0)),
        cancel_s=random.choice((None, None, None, 2.0, 60.0, 61.0, 600.0)),
        refunds=wants,
        refunds_fail=random.random() < 0.2,
        is_disputed=random.random() < 0.25,
    )
