"""What `payd dev` prints once everything is ready: where to look first, or every address."""

from collections.abc import Iterator, Mapping, Sequence

import attrs

#: Entries of dev.json that are for programs, or stand in a line of their own.
_NOT_SHOWN = frozenset(
    {
        *("shop", "wallet_command", "operator_cert", "operator_key"),
        *("console_user", "console_password"),
    }
)


@attrs.frozen(kw_only=True)
class Banner:
    """The parts of the banner."""

    #: The content of dev.json.
    document: Mapping[str, str]
    #: The state directory, as a person types it.
    state: str
    #: Command lines that make a first payment.
    commands: Sequence[str]
    #: The command line's name of payd.
    program: str

    def short(self) -> Iterator[str]:
        """The shop and the console; without either, the port that callers need."""
        places = dict(self._places()) or {"gRPC": self.document["grpc"]}
        yield from _aligned(places)
        yield ""
        yield f"All addresses, and commands to try: {self.state}/dev.json, or --verbose."

    def full(self) -> Iterator[str]:
        """Every address, and how to make the first payment."""
        yield from _aligned(dict(self._places()))
        shown = {name: text for name, text in self.document.items() if name not in _NOT_SHOWN}
        yield from _aligned({**shown, "state": self.state})
        yield ""
        yield "The first payment, in another terminal:"
        yield ""
        yield from (f"  {line}" for line in self.commands)
        yield ""
        yield f"More: {self.program} --help"

    def _places(self) -> Iterator[tuple[str, str]]:
        """Name → address of what opens in a browser."""
        if shop := self.document.get("example"):
            yield "Shop", shop
        if console := self.document.get("console"):
            user, password = (self.document.get(f"console_{part}") for part in ("user", "password"))
            yield "Console", f"{console}  (user {user}, password {password})" if user else console


def _aligned(rows: Mapping[str, str]) -> Iterator[str]:
    width = max(map(len, rows), default=0) + 2
    return (f"  {name:<{width}}{value}" for name, value in rows.items())
