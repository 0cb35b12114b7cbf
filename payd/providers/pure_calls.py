"""A provider's synchronous methods: called in the caller's task, guarded, and checked."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from payd.domain.errors import ProviderUnavailable, WebhookRefused
from payd.domain.evidence import Observation
from payd.plugins import errors
from payd.plugins.interface import (
    CreateOperation,
    ProviderEvent,
    SupportsEvents,
    SupportsPrepare,
    SupportsWebhooks,
    WebhookRequest,
)
from payd.ports.provider import Untranslatable
from payd.providers import answers, validation
from payd.providers.calls import PluginFailed, guarded, is_valid_error

__all__ = ["prepare", "translate", "verify"]


def prepare(name: str, provider: SupportsPrepare, operation: CreateOperation) -> Mapping[str, Any]:
    """Return the parameters.

    Raises InvalidField, and ProviderUnavailable for parameters that cannot be stored.
    """

    def act() -> Mapping[str, Any] | None:
        parameters: object = provider.prepare(operation)
        is_storable = isinstance(parameters, Mapping) and validation.is_json(parameters)
        return parameters if is_storable else None  # type: ignore[return-value]  # a Mapping

    try:
        parameters = guarded(act)
    except PluginFailed as error:
        cause = error.__cause__
        if isinstance(cause, errors.InvalidRequest) and is_valid_error(cause):
            raise answers.invalid_field(cause.field, cause.message) from None
        raise ProviderUnavailable(f"{name} cannot prepare it: {error}", provider=name) from error
    if parameters is None:
        raise ProviderUnavailable(f"{name} prepared nothing that can be stored", provider=name)
    return parameters


def verify(
    provider: SupportsWebhooks,
    request: WebhookRequest,
    secrets: Mapping[str, tuple[str, ...]],
    now: datetime,
) -> tuple[ProviderEvent, ...]:
    """Return the request's events.

    Raises only WebhookRefused and InvalidBatch, whatever the plugin does.
    """

    def act() -> tuple[ProviderEvent, ...] | None:
        return validation.events_of(provider.verify(request, secrets, now))

    try:
        events = guarded(act)
    except PluginFailed as error:
        cause = error.__cause__
        if isinstance(cause, errors.WebhookRefused):
            raise WebhookRefused(cause.message, why=cause.reason) from None
        if isinstance(cause, validation.InvalidBatch):
            raise cause from None
        # Nothing of the error's text: it may quote the body.
        raise WebhookRefused("it cannot be read", why="unreadable") from error
    if events is None:
        raise WebhookRefused("it cannot be read", why="unreadable")
    return events


def translate(provider: SupportsEvents, event: ProviderEvent) -> Sequence[Observation]:
    """Return what the event reports; raises Untranslatable."""

    def act() -> Sequence[Observation] | None:
        observations = provider.translate(event)
        return tuple(observations) if validation.is_observations(observations) else None

    try:
        observations = guarded(act)
    except PluginFailed as error:
        raise Untranslatable(str(error)) from error
    if observations is None:
        raise Untranslatable("what it returned are no observations")
    return observations
