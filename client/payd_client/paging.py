"""Calls whose answer is a page of a list: read page after page."""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator
from typing import Any

from payd_client.values import Caller


class PagedCalls(ABC):
    """Base of the parts of PaymentClient that read lists."""

    @abstractmethod
    async def _call(
        self, method: str, request: Any, caller: Caller | None, deadline_s: float
    ) -> Any:
        """Make one unary call and return its answer."""

    async def _pages(
        self, method: str, request: Any, caller: Caller | None, deadline_s: float
    ) -> AsyncGenerator[Any, None]:
        """Yield every page of a list, each by a call of its own."""
        while True:
            page = await self._call(method, request, caller, deadline_s)
            yield page
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token
