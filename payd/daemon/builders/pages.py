"""Build the payment pages, for the HTTP server on trio."""

from payd.adapters import bridge
from payd.adapters.rate_limit import RateLimiter
from payd.config import Config
from payd.daemon.builders.use_cases import UseCases
from payd.transport.http.pages.routes import Pages
from payd.transport.http.pages.sponsoring import Sponsoring

#: How often one payment's page may be opened: enough for several people and tabs.
_OPENINGS_PER_S = 2
_OPENINGS_BURST = 30
#: How often the wallet of one payment may ask for a sponsor: each request costs calls elsewhere.
_SPONSORED_PER_S = 0.1
_SPONSORED_BURST = 6


def build_pages(config: Config, use_cases: UseCases) -> Pages:
    """Build the pages. Each daemon limits by itself: no page depends on Redis."""

    async def wait_of(payment: str) -> float:
        return await bridge.aio(limiter.admit, payment)

    async def sponsor_wait_of(payment: str) -> float:
        return await bridge.aio(sponsored.admit, payment)

    limiter = RateLimiter(rate=_OPENINGS_PER_S, burst=_OPENINGS_BURST, redis=None)
    sponsored = RateLimiter(rate=_SPONSORED_PER_S, burst=_SPONSORED_BURST, redis=None)
    return Pages(
        show=bridge.for_trio(use_cases.show),
        links=use_cases.page_links,
        methods=use_cases.grpc_services.query.methods,
        clock=use_cases.intake.clock,
        wait_of=wait_of,
        live_max=config.http.max_live_pages,
        shop_name=config.http.shop_name or "",
        is_test=not config.in_production,
        sponsoring=Sponsoring(
            sponsor=bridge.for_trio(use_cases.sponsor),
            links=use_cases.page_links,
            wait_of=sponsor_wait_of,
        ),
    )
