"""The pure methods of a provider, called where the caller stands: guarded, checked, translated."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from payd.domain.errors import ProviderUnavailable, WebhookRefused, WebhookUnknown
from payd.domain.evidence import Observation
from payd.plugins import interface
from payd.plugins.interface import (
    CreateOperation,
    Provider,
    ProviderEvent,
    SupportsEvents,
    SupportsPrepare,
    SupportsWebhooks,
    WebhookRequest,
)
from payd.ports.provider import Untranslatable
from payd.providers import answers, validation
from payd.providers.calls import Escaped, guarded

__all__ = ["prepare", "translate", "verify"]


def prepare(name: str, provider: SupportsPrepare, operation: CreateOperation) -> Mapping[str, Any]:
    """The parameters; raises InvalidField, and ProviderUnavailable for what cannot be stored."""
    try:
        parameters = guarded(lambda: provider.prepare(operation))
    except Escaped as error:
        cause = error.__cause__
        if isinstance(cause, interface.InvalidRequest) and validation.is_error(cause):
            raise answers.invalid_field(cause.field, cause.message) from None
        raise ProviderUnavailable(f"{name} cannot prepare it: {error}", provider=name) from error
    if not isinstance(parameters, Mapping) or not validation.is_json(parameters):
        raise ProviderUnavailable(f"{name} prepared nothing that can be stored", provider=name)
    return parameters


def verify(
    name: str,
    provider: Provider,
    request: WebhookRequest,
    secrets: Mapping[str, tuple[str, ...]],
    now: datetime,
) -> ProviderEvent:
    """The event; raises WebhookUnknown and WebhookRefused, whatever the provider's code does."""
    if not isinstance(provider, SupportsWebhooks):
        raise WebhookUnknown(f"the provider {name} takes no webhooks", provider=name)
    try:
        event = guarded(lambda: provider.verify(request, secrets, now))
    except Escaped as error:
        cause = error.__cause__
        if isinstance(cause, interface.WebhookRefused):
            raise WebhookRefused(cause.message, why=cause.reason) from None
        # Nothing of the error's text: it may quote the body.
        raise WebhookRefused("it cannot be read", why="unreadable") from error
    if not validation.is_event(event):
        raise WebhookRefused("it cannot be read", why="unreadable")
    return event


def translate(provider: Provider, event: ProviderEvent) -> Sequence[Observation]:
    """What the event says; raises Untranslatable."""
    if not isinstance(provider, SupportsEvents):
        raise Untranslatable("the provider has no events any more")
    try:
        said = guarded(lambda: provider.translate(event))
    except Escaped as error:
        raise Untranslatable(str(error)) from error
    if not validation.is_observations(said):
        raise Untranslatable("what it gave are no observations")
    return said
