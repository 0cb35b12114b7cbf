"""Development companions: what plays a provider's remote side in `payd dev`.

A wheel names its companion with an entry point of the provider's name in the group
`payd.companions`. What the companion's server needs is the wheel's extra `dev`.
"""

import re
import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import attrs

from payd.plugins.context import Clock

_NAME = re.compile(r"[a-z][a-z0-9_]*")


#: Sets a clock: the time, and whether it runs on from there or stands still.
MoveClock = Callable[[datetime, bool], Awaitable[None]]


class CompanionFailed(Exception):
    """The companion cannot start. The message names the cause and the next step."""


def _are_names(instance: Any, attribute: "attrs.Attribute[Any]", names: Any) -> None:
    """Validate the items of a tuple, or the keys of a mapping."""
    for name in names:
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise ValueError(f"{attribute.name}: {name!r} is invalid: use lower-case a-z 0-9 _")


_TEXTS = (
    attrs.validators.deep_mapping(
        attrs.validators.instance_of(str),
        attrs.validators.instance_of(str),
    ),
    _are_names,
)


@attrs.frozen(kw_only=True)
class RunningCompanion:
    """What a companion reports once it can be used.

    Attributes:
        settings: Settings and credentials of the provider, by their names without the provider's
            prefix, as text in the form that an environment variable has. Values that the operator
            set win.
        announced: Entries of dev.json and of the banner; `payd dev` puts `NAME_` before each key.
        banner: Lines of the banner: commands to try. CompanionContext.command writes one.
        shop: Base URL of a shop's pages `/paid` and `/back`, to which `payd pay` sends customers.
        wallet_command: Arguments of the payd command that pays a token transfer; the payment's id
            follows them.
        move_clock: Sets the clock of a remote side that has its own, such as a chain. It is called
            for each `payd clock` command, before payd's own clock moves, and at the start if the
            clock was moved by an earlier run.
    """

    settings: Mapping[str, str] = attrs.field(factory=dict, validator=_TEXTS, repr=False)
    announced: Mapping[str, str] = attrs.field(factory=dict, validator=_TEXTS, repr=False)
    banner: tuple[str, ...] = attrs.field(
        default=(), validator=attrs.validators.deep_iterable(attrs.validators.instance_of(str))
    )
    shop: str = attrs.field(default="", validator=attrs.validators.instance_of(str))
    wallet_command: str = attrs.field(default="", validator=attrs.validators.instance_of(str))
    move_clock: MoveClock | None = attrs.field(
        default=None, validator=attrs.validators.optional(attrs.validators.is_callable())
    )


class CompanionContext(Protocol):
    """What `payd dev` gives a companion."""

    @property
    def host(self) -> str:
        """The loopback address to listen on."""

    @property
    def folder(self) -> Path:
        """An existing folder for data. It is kept for the next run, except with --ephemeral."""

    @property
    def cache(self) -> Path:
        """A folder for downloads, kept in any case. It may not exist yet."""

    @property
    def webhook_url(self) -> str:
        """Where payd receives this provider's webhooks."""

    @property
    def clock(self) -> Clock:
        """The clock of this `payd dev`: use it instead of the system's. `payd clock` moves it."""

    @property
    def settings(self) -> Mapping[str, str]:
        """The settings and credentials that the operator set for this provider, as text."""

    @property
    def methods_taken(self) -> frozenset[str]:
        """Methods of the other providers; known only to a companion that opens last."""

    def port(self, name: str, usual: int) -> int:
        """Choose a port: that of the last run, else `usual`, else any free one."""

    def secret(self, name: str) -> str:
        """Return 32 random hex digits, generated once and kept beside the data."""

    def command(self, arguments: str) -> str:
        """Return a payd command line as a person would type it for this `payd dev`."""

    def pay_command(self, method: str, options: str = "") -> str:
        """Return the command that starts an example payment with this method."""

    def server(
        self,
        name: str,
        argv: Sequence[str],
        port: int,
        *,
        environment: Mapping[str, str] | None = None,
        death_signal: signal.Signals = signal.SIGKILL,
    ) -> AbstractAsyncContextManager[None]:
        """Run a program until the end of the block; enter it once `port` accepts connections.

        `argv` begins with an absolute path. The output goes to a log file in the state directory.
        A program that ends by itself is started again. It never outlives `payd dev`: the kernel
        sends it `death_signal` when `payd dev` is killed. The exception for a program that does
        not start contains the end of its log.
        """


OpenCompanion = Callable[[CompanionContext], AbstractAsyncContextManager[RunningCompanion]]


@attrs.frozen(kw_only=True)
class Companion:
    """A companion, and when `payd dev` starts it.

    Attributes:
        open: Starts it; the block's end stops it. Import here what the wheel's extra `dev` lists.
        replaces: Settings and credentials of the real remote side, without the provider's prefix.
            The companion starts only while none of them is set.
        generated: Credential → prefix of its value. `payd dev` generates these where they are not
            set, with the companion or beside the real remote side.
        opens_last: Start after the others, to offer methods that no other provider takes.
    """

    open: OpenCompanion = attrs.field(validator=attrs.validators.is_callable())
    replaces: tuple[str, ...] = attrs.field(default=(), validator=_are_names)
    generated: Mapping[str, str] = attrs.field(factory=dict, validator=_TEXTS)
    opens_last: bool = False
