"""Load the configuration: YAML and environment → one immutable tree, or every problem at once."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from pydantic import ValidationError

from payd.config.draft import Draft, nearest, quoted
from payd.config.environment import apply_environment
from payd.config.passwords import forget_passwords, resolve_passwords
from payd.config.problems import ConfigError, Problem
from payd.config.providers import installed_providers, provider_sections, read_providers
from payd.config.rules import broken_rules
from payd.config.settings import BY_KEY, Setting
from payd.config.tree import Config
from payd.config.yaml_lines import Document, parse_yaml, read_bytes

DEFAULT_FILE = Path("config/payd.yaml")

_SECTIONS = tuple(dict.fromkeys(key.split(".")[0] for key in BY_KEY if "." in key))
_TOP_LEVEL = tuple(key for key in BY_KEY if "." not in key) + _SECTIONS


def load_config(
    environ: Mapping[str, str],
    path: Path | None = None,
    *,
    installed: Collection[str] | None = None,
) -> Config:
    """Load and check the configuration. Raises ConfigError with all problems.

    The file is `path`, else PAYD_CONFIG, else config/payd.yaml if that exists. Variables are read
    for the providers in the file and for those in `installed`, by default the installed plugins.
    """
    config, problems = read_config(environ, path, installed=installed)
    if problems:
        raise ConfigError(problems)
    return config


def read_config(
    environ: Mapping[str, str],
    path: Path | None = None,
    *,
    installed: Collection[str] | None = None,
    with_passwords: bool = True,
) -> tuple[Config, Sequence[Problem]]:
    """As `load_config`, but return what is valid with every problem.

    Without `with_passwords` payd's own secrets are not read, and not missed. Raises ConfigError
    only for a file that cannot be read or is not YAML.
    """
    draft = _read_file(environ, path)
    names = installed_providers() if installed is None else installed
    apply_environment(draft, environ, names)
    _apply_defaults(draft)
    _convert(draft)
    if with_passwords:
        resolve_passwords(draft)
    else:
        forget_passwords(draft)
    sections = provider_sections(draft)
    config = _build(draft, sections)
    for key, what in broken_rules(config):
        draft.refuse(key, what)
    config._origins = dict(draft.origins)
    return config, draft.problems


def _read_file(environ: Mapping[str, str], path: Path | None) -> Draft:
    named = environ.get("PAYD_CONFIG")
    file = path or (Path(named) if named else DEFAULT_FILE)
    draft = Draft(folder=file.absolute().parent)
    if path is None and not named and not file.exists():
        return draft
    where = "environment PAYD_CONFIG" if named and path is None else str(file)
    document = parse_yaml(read_bytes(file, "PAYD_CONFIG", where), str(file))
    draft.problems += document.problems
    _take_over(draft, document)
    return draft


def _take_over(draft: Draft, document: Document) -> None:
    for name, value in _mapping(draft, document, (), document.data):
        if name == "providers":
            read_providers(draft, document, dict(_mapping(draft, document, (name,), value)))
        elif name in _SECTIONS:
            for inner, inner_value in _mapping(draft, document, (name,), value):
                _take(draft, document, (name, inner), inner_value)
        else:
            _take(draft, document, (name,), value)


def _take(draft: Draft, document: Document, path: tuple[str, ...], value: object) -> None:
    key, where = ".".join(path), document.where(path)
    if key in BY_KEY:
        draft.put(key, value, where)
    elif len(path) == 1:
        draft.refuse(key, f"unknown key{nearest(key, _TOP_LEVEL)}", where)
    else:
        inside = [k.split(".")[1] for k in BY_KEY if k.startswith(f"{path[0]}.")]
        draft.refuse(key, f"unknown key{nearest(path[1], inside)}", where)


def _mapping(
    draft: Draft, document: Document, path: tuple[str, ...], value: object
) -> Iterator[tuple[str, object]]:
    """Entries of a section. A section without values (all lines commented out) counts as absent."""
    if isinstance(value, dict):
        yield from value.items()
    elif value is not None:
        key = ".".join(path) or "(top level)"
        draft.refuse(key, "must be a mapping", document.where(path))


def _apply_defaults(draft: Draft) -> None:
    environment = draft.values.get("environment")
    if isinstance(environment, str):
        draft.values["environment"] = environment.lower()
    if draft.is_production():
        for key, setting in BY_KEY.items():
            if setting.production_default is not None and key not in draft.values:
                draft.put(key, setting.production_default, "default in production")


def _convert(draft: Draft) -> None:
    """Convert YAML types to those of the strict tree, which refuses what remains wrong."""
    for setting, value in draft.settings_present():
        match setting.kind, value:
            case "file", str():
                draft.values[setting.key] = draft.folder / value
            case "list", list():
                draft.values[setting.key] = tuple(value)
            case "choice", str():
                draft.values[setting.key] = value.lower()
    if "pricing.file" not in draft.values:
        draft.values["pricing.file"] = draft.folder / "pricing.yaml"


def _build(draft: Draft, providers: dict[str, object]) -> Config:
    """Build the tree. Record and drop invalid values, so that the rules can check the others."""
    try:
        return Config.model_validate(_nested(draft, providers))
    except ValidationError as error:
        for entry in error.errors(include_url=False, include_input=False):
            key = ".".join(str(part) for part in entry["loc"][:2])
            setting = BY_KEY.get(key) or BY_KEY[str(entry["loc"][0])]
            draft.refuse(setting.key, _explain(setting, entry["msg"], draft))
            draft.values.pop(setting.key, None)
    return Config.model_validate(_nested(draft, providers))


def _nested(draft: Draft, providers: dict[str, object]) -> dict[str, object]:
    tree: dict[str, dict[str, object]] = {section: {} for section in _SECTIONS}
    top: dict[str, object] = {}
    for key, value in draft.values.items():
        section, _, name = key.partition(".")
        if name:
            tree[section][name] = value
        else:
            top[key] = value
    tree["providers"]["named"] = providers
    return {**top, **tree}


def _explain(setting: Setting, message: str, draft: Draft) -> str:
    value = draft.values.get(setting.key)
    shown = "" if setting.kind == "secrets" else quoted(value)
    if setting.form:
        return f"must be {setting.form}{shown}"
    if setting.kind == "file":
        return f"must be the path of a file{shown}"
    if setting.kind == "choice":
        return f"must be one of {setting.type}{shown}"
    subject, _, rest = message.removeprefix("Value error, ").partition(" should ")
    return (f"must {rest}" if rest else subject) + shown
