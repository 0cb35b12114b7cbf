"""Apply environment variables over the file, each parsed to the type of its setting."""

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path

from payd.config.draft import Draft, RawProvider, nearest, quoted, settings_by_env
from payd.config.settings import BY_KEY, Setting
from payd.telemetry import Secret

#: Variables of payd that are no settings.
_NOT_SETTINGS = ("PAYD_CONFIG",)
#: Switches of payd's own providers. Read even without their wheel, so that its absence is noticed.
_SHIPPED_SWITCHES = ("MOCK_ENABLED", "STRIPE_ENABLED", "TEMPO_ENABLED")
_SWITCH = {
    **dict.fromkeys(("true", "1", "yes", "on"), True),
    **dict.fromkeys(("false", "0", "no", "off"), False),
}
_INTEGER = re.compile(r"-?[0-9]{1,40}")
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")
_PROVIDER_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")


def apply_environment(draft: Draft, environ: Mapping[str, str], installed: Iterable[str]) -> None:
    """Override values of the file. An empty variable counts as not set."""
    given = {name: value for name, value in environ.items() if value}
    by_env = settings_by_env()
    for name, setting in by_env.items():
        if name in given:
            _put(draft, setting, given[name])
    for name in given:
        if name.startswith("PAYD_") and name not in by_env and name not in _NOT_SETTINGS:
            _refuse_unknown(draft, name, by_env)
    names = _provider_names(draft, installed)
    for name in sorted(set(given) - set(by_env)):
        _put_provider(draft, name, given[name], names)


def check_provider_name(name: str) -> str | None:
    """Return the problem with a provider's name, which is the prefix of its variables."""
    if not _PROVIDER_NAME.fullmatch(name):
        return "invalid provider name: use 1 to 32 of a-z 0-9 _, starting with a letter"
    prefixes = {setting.env.split("_")[0].lower() for setting in BY_KEY.values()}
    if name.split("_")[0] in prefixes:
        return f"invalid provider name: payd's own variables start with {name.upper()}_"
    return None


def parse_switch(text: str) -> bool:
    """Parse true, 1, yes, on, false, 0, no or off in any case. Raises ValueError."""
    if (known := _SWITCH.get(text.lower())) is None:
        raise ValueError(f"must be true or false{quoted(text, 40)}")
    return known


def _put(draft: Draft, setting: Setting, text: str) -> None:
    where = f"environment {setting.env}"
    try:
        value = _parse(setting, text)
    except ValueError as error:
        draft.put(setting.key, text, where)
        draft.refuse(setting.key, str(error))
    else:
        draft.put(setting.key, value, where)


def _parse(setting: Setting, text: str) -> object:
    match setting.kind:
        case "secret" | "secrets":
            return Secret(text)
        case "switch":
            return parse_switch(text)
        case "integer" if _INTEGER.fullmatch(text):
            return int(text)
        case "number" if _NUMBER.fullmatch(text):
            return float(text)
        case "integer" | "number":
            raise ValueError(f"must be {setting.type}{quoted(text, 40)}")
        case "list":
            return [part.strip() for part in text.split(",") if part.strip()]
        case "file":
            return Path(text).absolute()
        case _:
            return text


def _refuse_unknown(draft: Draft, name: str, known: Iterable[str]) -> None:
    """Refuse a mistyped PAYD_ variable, but not those of others: Kubernetes sets PAYD_PORT."""
    sections = {key.split(".")[0] for key in BY_KEY if "." in key}
    of_a_section = name.split("_")[1].lower() in sections
    if of_a_section or get_close_matches(name, known, n=1, cutoff=0.85):
        draft.refuse(name, f"unknown setting{nearest(name, known)}", f"environment {name}")


def _provider_names(draft: Draft, installed: Iterable[str]) -> dict[str, str]:
    """Map variable prefixes to providers, the longest first, so that `a_b` wins over `a`."""
    names = {*draft.providers, *(n for n in installed if check_provider_name(n) is None)}
    return {f"{name.upper()}_": name for name in sorted(names, key=len, reverse=True)}


def _put_provider(draft: Draft, env: str, text: str, prefixes: Mapping[str, str]) -> None:
    if env in _SHIPPED_SWITCHES:
        prefixes = {env.removesuffix("ENABLED"): env.removesuffix("_ENABLED").lower(), **prefixes}
    prefix = next((prefix for prefix in prefixes if env.startswith(prefix)), None)
    if prefix is None or env == prefix:
        return
    raw = draft.providers.setdefault(prefixes[prefix], RawProvider())
    name = env.removeprefix(prefix).lower()
    raw.values[name] = text
    raw.from_environment.add(name)
    raw.origins[name] = f"environment {env}"
