"""Keep a drill to servers of its own, whatever the shell and the configuration file say."""

import os
from collections.abc import Mapping

from payd.config import installed_providers, load_config
from payd.dev.companions import Added, variable_of
from payd.dev.run import FIXED
from payd.dev.servers import ServerFailed

#: Vault has credentials of other servers, and a collector of spans is another server.
_OTHERS = ("VAULT_", "OTEL_")


def without_others(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the settings, with an empty value for each variable that names another server.

    A daemon has the variables of the shell, too; payd takes an empty one as not set. A provider
    that the shell has disabled stays disabled.
    """
    providers = installed_providers()
    prefixes = (*_OTHERS, *(variable_of(provider, "") for provider in providers))
    switches = {variable_of(provider, "enabled") for provider in providers}
    named = {name for name in {*os.environ, *environment} if name.startswith(prefixes)}
    return {**dict.fromkeys(FIXED, ""), **environment, **dict.fromkeys(named - switches, "")}


def refuse_others(added: Added) -> None:
    """Raise ServerFailed where the configuration file names servers that are not the drill's."""
    config = load_config(added.environment, None)
    for provider in sorted(config.providers.enabled().keys() - added.running.keys()):
        raise ServerFailed(
            f"a drill has no server of its own for {provider}: set"
            f" {variable_of(provider, 'enabled')}=false, or remove its credentials from the"
            " configuration file"
        )
    chosen = [
        f"providers.{provider}.{name}"
        for provider, companion in added.running.items()
        for name, value in companion.settings.items()
        if added.environment.get(variable_of(provider, name)) != value
    ]
    chosen += ["vault.addr"] if config.vault.addr else []
    chosen += ["tracing.endpoint"] if config.tracing.endpoint else []
    if chosen:
        raise ServerFailed(
            f"a drill uses servers of its own: remove {', '.join(chosen)} from the configuration"
            " file, or name another file in PAYD_CONFIG"
        )
