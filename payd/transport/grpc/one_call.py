"""One call of the service, and a method to answer it."""

from collections.abc import Callable, Coroutine
from typing import Any

import attrs

from payd.domain.payment import Origin
from payd.transport.grpc.roles import Access


@attrs.frozen(kw_only=True)
class Call:
    """One call: its origin, and how long it may wait."""

    origin: Origin
    #: For another call's answer.
    wait_s: float
    #: Altogether: until shortly before its deadline.
    budget_s: float


Handle = Callable[[Any, Call], Coroutine[Any, Any, Any]]


@attrs.frozen(kw_only=True)
class Method:
    """One method of the service, for the server to wrap."""

    request: type[Any]
    response: type[Any]
    handle: Handle
    access: Access
