"""POST /pay/{token}/fee: a customer's wallet asks for a sponsor of its transfer's fee."""

from collections.abc import Awaitable, Callable
from typing import cast

import attrs
from quart import Response, jsonify, request
from quart_trio import QuartTrio

from payd.domain.errors import InvalidField, PaydError, PaymentNotFound, RateLimited
from payd.service.sponsor import SponsorTransfer
from payd.service.wallet_request import SPONSOR_PATH
from payd.transport.page_links import PageLinks
from payd.transport.problems import problem

#: A signed transaction of one call has 4 KiB at most, twice that as hex.
BODY_BYTES_MAX = 16 * 1024
#: Wallets run on origins of their own. There is no cookie that their pages could use: the address
#: is all that a request needs.
_ANY_ORIGIN = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "POST",
    "Access-Control-Allow-Headers": "content-type",
    "Access-Control-Max-Age": "600",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
}


@attrs.frozen(kw_only=True)
class Sponsoring:
    """The route for wallets."""

    sponsor: SponsorTransfer
    links: PageLinks
    #: Seconds that a payment's request has to wait.
    wait_of: Callable[[str], Awaitable[float]]

    def add_to(self, app: QuartTrio) -> None:
        """Register the route; a browser asks first whether a wallet's page may send."""

        @app.route(f"/pay/<token>{SPONSOR_PATH}", methods=["POST", "OPTIONS"])
        async def sponsor(token: str) -> Response:
            if request.method == "OPTIONS":
                return _open_to_wallets(Response("", 204))
            try:
                answer = await self._answer(token)
            except PaydError as error:
                return _refused(error)
            return _open_to_wallets(Response(answer, content_type="application/json"))

    async def _answer(self, token: str) -> bytes:
        payment_id = self.links.payment_id_of(token)
        if payment_id is None:
            raise PaymentNotFound("no payment has this address")
        wait_s = await self.wait_of(str(payment_id))
        if wait_s > 0:
            raise RateLimited("too many requests for this payment", retry_after_s=wait_s)
        body = cast(bytes, await request.get_data(as_text=False))
        if len(body) > BODY_BYTES_MAX:
            raise InvalidField("body", f"it has more than {BODY_BYTES_MAX} bytes")
        return await self.sponsor.forward(payment_id, body)


def _refused(error: PaydError) -> Response:
    status, document = problem(error)
    response = jsonify(document)
    response.status_code = status
    response.content_type = "application/problem+json"
    if error.retry_after_s is not None:
        response.headers["Retry-After"] = str(max(1, round(error.retry_after_s)))
    return _open_to_wallets(response)


def _open_to_wallets(response: Response) -> Response:
    response.headers.update(_ANY_ORIGIN)
    return response
