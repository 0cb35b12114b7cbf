"""Payments that a provider refuses in a row: its health may be good while it takes none.

A refused create is no failure of the remote side, so the breaker stays closed, and a check of health
that only reads finds nothing. Several in a row are hardly the callers' mistakes.
"""

from payd.plugins.context import Logger
from payd.plugins.interface import Declined, InvalidRequest, Misconfigured, ProviderError

#: After this many refusals in a row an operator is told. One or two may be a caller's mistakes.
REFUSALS_MAX = 3
_REASON_MAX = 300


class Refusals:
    """Counts them; one create that is accepted, or declined for its customer, ends the row."""

    def __init__(self, provider: str, log: Logger) -> None:
        self._provider = provider
        self._log = log
        self._reason = ""
        self.in_a_row = 0

    @property
    def told(self) -> str | None:
        """What to tell an operator; None while there is nothing to tell."""
        if self.in_a_row < REFUSALS_MAX:
            return None
        return f"the last {self.in_a_row} payments were refused: {self._reason}"

    def note(self, answer: object) -> None:
        """The answer to a create; one that says nothing about it changes nothing."""
        if isinstance(answer, InvalidRequest | Misconfigured):
            self.in_a_row += 1
            self._reason = str(answer)[:_REASON_MAX]
            if self.in_a_row == REFUSALS_MAX:
                self._log.error(
                    "provider_refuses_creates", provider=self._provider, error=self._reason
                )
        elif isinstance(answer, Declined) or not isinstance(answer, ProviderError):
            self.in_a_row = 0
