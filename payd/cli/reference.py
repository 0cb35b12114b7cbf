"""`payd config reference`: docs/configuration.md, generated from the settings."""

import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated

from pydantic.fields import FieldInfo

from payd.config import SETTINGS, Setting
from payd.config.passwords import VAULT_NAMES
from payd.config.settings import bounds
from payd.plugins.interface import ProviderManifest
from payd.providers.discovery import manifest_of

#: The providers that ship with payd, in the order of config/payd.yaml.
SHIPPED = ("stripe", "tempo", "mock")

_HEAD = """\
# Configuration

This page lists every setting of payd. `payd config reference` (`make reference`) generates it from
the settings model, and a test fails when it is stale.

Set a value in the configuration file (`config/payd.yaml`, or the file that `PAYD_CONFIG` names)
under its key, or in its environment variable, which wins. An unknown key, a value out of bounds or
a missing secret stops the start within a second: payd names the key and exits with code 78. A
relative path in the file is relative to the file's folder. `payd config show` lists the values in
force and the source of each; `payd config check` checks a configuration without starting anything,
with the enabled providers: wheels, settings, credentials and methods. It names every mistake.

## Secrets

Secrets are not allowed in the configuration file. A secret comes from Vault, from a file of its own
(`…_FILE`) or, except in production, from its variable. Vault wins over the other two; setting both
a file and a variable is an error. Several lines are several values, newest first: for example, two
webhook secrets while Stripe rolls one. A change in Vault takes effect within
`vault.read_interval_s`, a change in a file after SIGHUP. Under systemd the file is a copy made at
the start: restart payd, or use files-in-place.conf. After a change only the new values are valid; a
removed value is refused at once.

| secret | in Vault | setting | file | class |
|---|---|---|---|---|
"""
_SECTIONS: Mapping[str, str] = {
    "": "General",
    "log": "Log",
    "tracing": "Traces",
    "database": "PostgreSQL",
    "redis": "Redis",
    "nats": "NATS",
    "grpc": "gRPC",
    "http": "HTTP",
    "console": "Operator console",
    "metrics": "Metrics",
    "pricing": "Prices",
    "payments": "Payments",
    "refunds": "Refunds",
    "recovery": "Recovery",
    "audit": "Audit trail",
    "inbox": "Inbox",
    "outbox": "Outbox",
    "vault": "Vault",
    "providers": "Providers",
}
_KINDS: Mapping[object, str] = {
    bool: "switch",
    int: "integer",
    float: "number",
    tuple: "list",
    Mapping: "mapping",
    dict: "mapping",
    Path: "file",
}
_VAULT_NAMES = {key: name for name, key in VAULT_NAMES.items()}


def reference() -> str:
    """Generate the whole page as Markdown."""
    manifests = [manifest_of(name) for name in SHIPPED]
    parts = [_HEAD + "\n".join(_secrets(manifests))]
    for section, title in _SECTIONS.items():
        chosen = [setting for setting in SETTINGS if _section(setting) == section]
        parts.append(f"## {title}\n\n{_table(map(_row, chosen))}")
    parts += [_provider(manifest) for manifest in manifests]
    return "\n\n".join(parts) + "\n"


def _section(setting: Setting) -> str:
    return setting.key.partition(".")[0] if "." in setting.key else ""


def _secrets(manifests: Iterable[ProviderManifest]) -> Iterator[str]:
    for setting in SETTINGS:
        if setting.kind in ("secret", "secrets"):
            vault = _VAULT_NAMES[setting.key]
            yield _secret(setting.description, vault, setting.key, setting.env)
    for manifest in manifests:
        for credential in manifest.credentials:
            name = credential.removeprefix(f"{manifest.name}_")
            env = f"{manifest.name}_{name}".upper()
            key = f"providers.{manifest.name}.{name}"
            yield _secret(f"Credential `{name}` of {manifest.name}.", env.lower(), key, env)


def _secret(text: str, vault: str, key: str, env: str) -> str:
    return f"| {text} | `{vault}` | `{key}`, `{env}` | `{key}_file`, `{env}_FILE` | secret |"


def _table(rows: Iterable[str]) -> str:
    return "\n".join(
        ["| key | variable | type | default | meaning |", "|---|---|---|---|---|", *rows]
    )


def _row(setting: Setting) -> str:
    default = _shown(setting.default)
    if setting.production_default is not None:
        default += f"; in production {_shown(setting.production_default)}"
    form = f"; {setting.form}" if setting.form else ""
    kind = _escaped(setting.type + form)
    meaning = _escaped(setting.description)
    return f"| `{setting.key}` | `{setting.env}` | {kind} | {default} | {meaning} |"


def _shown(value: object) -> str:
    match value:
        case None:
            return "none"
        case bool():
            return f"`{str(value).lower()}`"
        case tuple() | list():
            return ", ".join(f"`{part}`" for part in value) or "none"
        case _:
            return f"`{_escaped(str(value))}`"


def _provider(manifest: ProviderManifest) -> str:
    readme = f"[Its README](../plugins/{manifest.name}_provider/README.md)"
    head = f"## Provider {manifest.name}\n\n{readme} says how it works."
    return f"{head}\n\n{settings_table(manifest)}"


def settings_table(manifest: ProviderManifest) -> str:
    """Generate the table of a provider's settings from their model, as Markdown."""
    rows = []
    for name, field in manifest.config_model.model_fields.items():
        key, env = f"providers.{manifest.name}.{name}", f"{manifest.name}_{name}".upper()
        kind = _kind(field.annotation) + bounds(field)
        meaning = _escaped(field.description or "")
        rows.append(f"| `{key}` | `{env}` | {kind} | {_default(field)} | {meaning} |")
    return _table(rows)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True, validated_data={})
    if isinstance(value, Mapping):
        return ", ".join(f"`{key}`" for key in value) or "none"
    return _shown(value)


def _kind(annotation: object) -> str:
    """The type of a provider's setting in words, as in the file."""
    origin = typing.get_origin(annotation) or annotation
    if origin is Annotated:
        return _kind(typing.get_args(annotation)[0])
    if origin in (types.UnionType, typing.Union):
        return _kind(next(a for a in typing.get_args(annotation) if a is not types.NoneType))
    if origin is typing.Literal:
        return _escaped(" | ".join(map(str, typing.get_args(annotation))))
    return _KINDS.get(origin, "text")


def _escaped(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
