"""What runs, and with which settings, without secrets."""

from collections.abc import Sequence

import attrs


@attrs.frozen(kw_only=True)
class SettingInForce:
    """One setting; the value of a secret is masked."""

    key: str
    value: str
    #: The environment variable that sets it.
    variable: str
    #: A file, a variable, or "default".
    source: str


@attrs.frozen(kw_only=True)
class RunningProvider:
    """An enabled provider."""

    name: str
    version: str = ""
    methods: Sequence[str] = ()
    #: Why it could not be loaded; empty when it runs.
    problem: str = ""


@attrs.frozen(kw_only=True)
class Running:
    """The configuration in force, and the versions."""

    version: str
    environment: str
    pricing_version: str
    providers: Sequence[RunningProvider]
    settings: Sequence[SettingInForce]
