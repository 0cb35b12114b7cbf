"""The payment methods that payd offers, from its HTTP port."""

from typing import Any

import httpx
from payd_client import Unavailable

#: Reason while payd has not answered since the shop was started.
STARTING = "PAYD_STARTING"


class Methods:
    """Reads the methods; tells a payd that has not been seen yet from one that is away."""

    def __init__(self, payd_http: httpx.AsyncClient) -> None:
        self._payd_http = payd_http
        self._has_answered = False

    async def read(self) -> Any:
        """Return payd's document. Raises Unavailable."""
        try:
            answer = await self._payd_http.get("/api/v1/payment-methods")
            answer.raise_for_status()
        except httpx.HTTPError as error:
            away = Unavailable("UNAVAILABLE", f"payd is unreachable: {error!r}")
            away.reason = "" if self._has_answered else STARTING
            raise away from None
        self._has_answered = True
        return answer.json()
