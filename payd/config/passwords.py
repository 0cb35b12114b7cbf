"""payd's own secrets: from Vault, from a file, or, except in production, from a variable."""

from collections.abc import Mapping
from pathlib import Path

from payd.config.draft import Draft, read_secret
from payd.config.settings import BY_KEY, Setting
from payd.telemetry import Secret

#: Name in the vault → setting.
VAULT_NAMES: Mapping[str, str] = {
    "db_password": "database.password",
    "redis_password": "redis.password",
    "nats_account_signing_seed": "nats.account_signing_seed",
}
#: Secrets that the daemon cannot start without.
_REQUIRED = ("database.password",)


def resolve_passwords(draft: Draft) -> None:
    """Read every secret into its setting, or record the problem."""
    for setting in BY_KEY.values():
        if setting.kind == "secret":
            _resolve(draft, setting)
    for key in _REQUIRED:
        if key not in draft.values and "vault.addr" not in draft.values:
            variable = "" if draft.is_production() else f", {BY_KEY[key].env}"
            file = BY_KEY[f"{key}_file"]
            draft.refuse(
                key, f"missing: set {file.key} or {file.env}{variable}, or store it in Vault"
            )


def _resolve(draft: Draft, setting: Setting) -> None:
    key, file = setting.key, BY_KEY[f"{setting.key}_file"]
    value, path = draft.values.get(key), draft.values.get(file.key)
    from_environment = isinstance(value, Secret)
    if value is None:
        draft.values.pop(key, None)
        if isinstance(path, Path):
            _from_file(draft, key, file.key, path)
    elif not from_environment:
        draft.refuse(key, f"secrets are not allowed in this file; set {file.key} or {file.env}")
    elif path is not None and draft.origins[file.key].startswith("environment"):
        draft.refuse(key, f"is set by both {setting.env} and {file.env}; remove one")
    elif draft.is_production():
        what = f"{setting.env} is refused in production; set {file.key} or {file.env}"
        draft.refuse(key, what)
    if not isinstance(draft.values.get(key), Secret):
        draft.values.pop(key, None)


def _from_file(draft: Draft, key: str, file_key: str, path: Path) -> None:
    values, wrong = read_secret(path)
    if wrong is None and len(values) > 1:
        wrong = f"{path} has more than one line; keep the secret only"
    if wrong is not None:
        draft.refuse(file_key, wrong)
        # Reported under the file's key. Mark the secret too, so that it is not reported as missing.
        draft.refuse(key, f"see {file_key}", draft.origins[file_key])
    else:
        draft.put(key, values[0], f"file {path}")
