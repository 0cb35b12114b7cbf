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
    "quote_key": "payments.quote_key",
    "audit_signing_key": "audit.signing_key",
    "page_key": "http.page_key",
    "console_users": "console.users",
    "console_proxy_secret": "console.proxy_secret",
}
#: Secrets that the daemon cannot start without.
_REQUIRED = ("database.password",)


def resolve_passwords(draft: Draft) -> None:
    """Read every secret into its setting, or record the problem."""
    for setting in BY_KEY.values():
        if setting.kind in ("secret", "secrets"):
            _resolve(draft, setting)
    for key in _REQUIRED:
        if key not in draft.values and "vault.addr" not in draft.values:
            variable = "" if draft.is_production() else f", {BY_KEY[key].env}"
            file = BY_KEY[f"{key}_file"]
            draft.refuse(
                key, f"missing: set {file.key} or {file.env}{variable}, or store it in Vault"
            )
    if "http.public_url" in draft.values and not {"http.page_key", "vault.addr"} & set(
        draft.values
    ):
        what = "missing: payment pages need it; set PAYD_HTTP_PAGE_KEY_FILE: `openssl rand -hex 32`"
        draft.refuse("http.page_key", what)
    _require_operators(draft)


def _require_operators(draft: Draft) -> None:
    """A console that nobody can enter is a mistake; the header of a proxy needs its secret."""
    if "vault.addr" in draft.values or draft.values.get("console.enabled") is not True:
        return
    by_proxy = "console.proxy_user_header" in draft.values
    if by_proxy and "console.proxy_secret" not in draft.values:
        what = "missing: set PAYD_CONSOLE_PROXY_SECRET_FILE: `openssl rand -hex 32`"
        draft.refuse("console.proxy_secret", what)
    if not by_proxy and "console.users" not in draft.values:
        what = "missing: set PAYD_CONSOLE_USERS_FILE to a file of `payd console-user NAME` lines"
        draft.refuse("console.users", what)


def forget_passwords(draft: Draft) -> None:
    """Remove every secret, for a command that needs none."""
    for setting in BY_KEY.values():
        if setting.kind in ("secret", "secrets"):
            draft.values.pop(setting.key, None)


def _resolve(draft: Draft, setting: Setting) -> None:
    key, file = setting.key, BY_KEY[f"{setting.key}_file"]
    value, path = draft.values.get(key), draft.values.get(file.key)
    from_environment = isinstance(value, Secret)
    if value is None:
        draft.values.pop(key, None)
        if isinstance(path, Path):
            _from_file(draft, setting, file.key, path)
    elif not from_environment:
        draft.refuse(key, f"secrets are not allowed in this file; set {file.key} or {file.env}")
    elif path is not None and draft.origins[file.key].startswith("environment"):
        draft.refuse(key, f"is set by both {setting.env} and {file.env}; remove one")
    elif draft.is_production():
        what = f"{setting.env} is refused in production; set {file.key} or {file.env}"
        draft.refuse(key, what)
    match draft.values.get(key):
        case Secret() as several if setting.kind == "secrets":
            # As in a file: one value per line, newest first.
            lines = several.reveal().splitlines()
            draft.values[key] = tuple(Secret(line) for line in lines if line.strip())
        case Secret() | (Secret(), *_):
            pass
        case _:
            draft.values.pop(key, None)


def _from_file(draft: Draft, setting: Setting, file_key: str, path: Path) -> None:
    key = setting.key
    values, wrong = read_secret(path)
    if wrong is None and len(values) > 1 and setting.kind == "secret":
        wrong = f"{path} has more than one line; keep the secret only"
    if wrong is not None:
        draft.refuse(file_key, wrong)
        # Reported under the file's key. Mark the secret too, so that it is not reported as missing.
        draft.refuse(key, f"see {file_key}", draft.origins[file_key])
    else:
        held = values[0] if setting.kind == "secret" else tuple(values)
        draft.put(key, held, f"file {path}")
