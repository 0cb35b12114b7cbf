"""One request of an operator: who is there, and the page that answers."""

import math
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import cast

import attrs
import trio
from payd_client import PaydClientError, PaymentClient, Refund
from quart import Response, g, redirect, request

from payd.transport.console.live import Live
from payd.transport.console.own_calls import Visitor
from payd.transport.console.refund_lines import RefundLine, lines
from payd.transport.console.rendering import Renderer
from payd.transport.console.sessions import Session

#: For a page that only reads, whatever it asks for: shorter than the listener's own limit, which
#: cuts an answer without a page.
READING_S = 12.0
#: gRPC code → HTTP status; any other is 503.
_STATUS = {
    "INVALID_ARGUMENT": 400,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "FAILED_PRECONDITION": 409,
    "RESOURCE_EXHAUSTED": 429,
    "INTERNAL": 500,
}


@attrs.frozen
class Visits:
    """What every route needs."""

    calls: PaymentClient
    renderer: Renderer
    #: Names of the operators who can log in by name and password.
    operators: Callable[[], Sequence[str]]
    live: Live

    def page(self, template: str, status: int = 200, **values: object) -> Response:
        """Return a page for the operator of this request."""
        session = cast(Session, g.session)
        return self.renderer.page(
            template,
            status,
            user=session.user,
            form_token=session.form_token,
            path=request.path,
            done=request.args.get("done", ""),
            **values,
        )

    def refund_lines(self, refunds: Iterable[Refund]) -> tuple[RefundLine, ...]:
        """Return refunds as the operator of this request sees them."""
        return lines(refunds, cast(Session, g.session).user, self.operators())

    def refusal(self, error: PaydClientError) -> Response:
        """Return a page that says what payd refused."""
        return self.page("refused.html", status_of(error), error=error)

    async def answered(self, answer: Callable[[], Awaitable[Response]]) -> Response:
        """Answer, or say what payd refused, or that it takes too long.

        A change that has begun is waited for: its page says what became of it.
        """
        try:
            with trio.fail_after(READING_S if request.method == "GET" else math.inf):
                return await answer()
        except PaydClientError as error:
            return self.refusal(error)
        except trio.TooSlowError:
            return self.page("notice.html", 503, name="slow")


def caller() -> Visitor:
    """Return the origin of this request's calls: the operator, and where the browser is."""
    session, peer = cast(Session, g.session), request.remote_addr or ""
    return Visitor(actor=session.user, ip=g.get("forwarded_for") or peer, peer=peer)


def status_of(error: PaydClientError) -> int:
    """Return the HTTP status of an error."""
    return _STATUS.get(error.code, 503)


def see_other(path: str) -> Response:
    """Lead the browser to another page of ours, with GET."""
    return cast(Response, redirect(path, 303))
