"""Build the operator console: its client calls this daemon's own methods."""

from collections.abc import Mapping
from functools import cache, partial

import trio

from payd import telemetry
from payd.adapters import bridge
from payd.adapters.rate_limit import RateLimiter
from payd.config import Config
from payd.daemon.builders.use_cases import UseCases
from payd.daemon.current import CurrentConfig
from payd.domain.quote_token import KEY_LENGTH_MIN
from payd.telemetry import Metrics, register_secret, rpc_observer
from payd.transport.console.app import Console, build_console_app
from payd.transport.console.guard import LOCAL_HOSTS
from payd.transport.console.live import Live
from payd.transport.console.logins import Logins, Proxy
from payd.transport.console.own_calls import OwnCalls
from payd.transport.console.passwords import Entry, entries_of
from payd.transport.console.sessions import Sessions
from payd.transport.grpc.handlers import Handlers
from payd.transport.http.pages.live import LivePages
from payd.transport.http.serve import HttpLimits, serve_app

_log = telemetry.get_logger(__name__)

#: Logins of one name: enough for a person who mistypes. All together: what hashing may cost.
_LOGINS_PER_S, _LOGINS_BURST = 0.1, 5
_ALL_LOGINS_PER_S, _ALL_LOGINS_BURST = 1.0, 20
#: Open pages of payments: as many as some operators have.
_LIVE_PAGES_MAX = 100
#: A change waits for its payment and for a provider; to cut its answer would hide what it did.
_LIMITS = HttpLimits(request_timeout_s=60.0)


async def open_console(
    servers: trio.Nursery,
    shut: trio.Event,
    config: Config,
    use_cases: UseCases,
    current: CurrentConfig,
    metrics: Metrics,
) -> str:
    """Serve the console in the nursery until `shut`; return its address, empty when it is off."""
    settings = config.console
    if not settings.enabled:
        return ""
    app = build_console_app(build_console(config, use_cases, current, metrics, shut))
    serve = partial(serve_app, app)
    port = await servers.start(serve, settings.host, settings.port, shut, _LIMITS)
    return f"{settings.host}:{port}"


def build_console(
    config: Config,
    use_cases: UseCases,
    current: CurrentConfig,
    metrics: Metrics,
    shut: trio.Event,
) -> Console:
    """Build what the console's application needs. Operators and secret follow a reload."""

    async def wait_of(name: str) -> float:
        # The name first: guesses of one name must not take the logins of all others.
        wait_s = await bridge.aio(limiter.admit, name)
        return wait_s or await bridge.aio(together.admit, "all")

    limiter = RateLimiter(rate=_LOGINS_PER_S, burst=_LOGINS_BURST, redis=None)
    together = RateLimiter(rate=_ALL_LOGINS_PER_S, burst=_ALL_LOGINS_BURST, redis=None)
    methods = {
        path.rpartition("/")[2]: method
        for path, method in Handlers(use_cases.grpc_services).methods().items()
    }
    settings = config.console
    return Console(
        calls=OwnCalls(methods, bridge.aio, rpc_observer(metrics)),
        logins=Logins(
            entries=lambda: _entries(_lines(current.config())),
            proxy=lambda: _proxy(current.config()),
            wait_of=wait_of,
        ),
        sessions=Sessions(
            idle_s=settings.session_idle_s, age_s=settings.session_max_s, now=trio.current_time
        ),
        hosts=LOCAL_HOSTS | {settings.host.strip("[]"), *settings.allowed_hosts},
        environment=config.environment,
        live=Live(
            payments=LivePages(bridge.for_trio(use_cases.show), _LIVE_PAGES_MAX), stopping=shut
        ),
    )


def _lines(config: Config) -> tuple[str, ...]:
    """The operators' lines. A value of the vault may have several."""
    return tuple(
        line
        for secret in config.console.users or ()
        for line in secret.reveal().splitlines()
        if line.strip()
    )


@cache
def _entries(lines: tuple[str, ...]) -> Mapping[str, Entry]:
    """Read the lines once. Those of a vault are not checked before: a wrong one lets nobody in."""
    try:
        return entries_of(lines)
    except ValueError as error:
        _log.error("console_users_refused", error=str(error))
        return {}


def _proxy(config: Config) -> Proxy | None:
    header, secret = config.console.proxy_user_header, config.console.proxy_secret
    return _known_proxy(header.lower(), secret.reveal()) if header and secret else None


@cache
def _known_proxy(header: str, secret: str) -> Proxy | None:
    """Check the secret once. That of a vault is not checked before: a short one lets nobody in."""
    register_secret(secret)
    if len(secret) < KEY_LENGTH_MIN:
        problem = f"needs at least {KEY_LENGTH_MIN} characters"
        _log.error("console_proxy_secret_refused", error=problem)
        return None
    return Proxy(user_header=header, secret=secret)
