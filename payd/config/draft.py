"""The configuration under construction: flat keys, the source of each value, problems so far."""

from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path

import attrs

from payd.config.problems import Problem
from payd.config.settings import BY_KEY, Setting
from payd.config.yaml_lines import BYTES_MAX
from payd.telemetry import Secret


@attrs.define(kw_only=True)
class RawProvider:
    """Unchecked settings of one provider."""

    values: dict[str, object] = attrs.field(factory=dict, repr=False)
    from_environment: set[str] = attrs.field(factory=set)
    origins: dict[str, str] = attrs.field(factory=dict)


@attrs.define(kw_only=True)
class Draft:
    """Collects values and problems. Values are checked when the tree is built."""

    #: Base of relative paths in the file.
    folder: Path
    values: dict[str, object] = attrs.field(factory=dict, repr=False)
    origins: dict[str, str] = attrs.field(factory=dict)
    providers: dict[str, RawProvider] = attrs.field(factory=dict)
    problems: list[Problem] = attrs.field(factory=list)

    def put(self, key: str, value: object, where: str) -> None:
        """Set a value and its source, replacing an earlier one."""
        self.values[key] = value
        self.origins[key] = where

    def refuse(self, key: str, what: str, where: str | None = None) -> None:
        """Record a problem; only the first one of each key is kept."""
        if all(problem.key != key for problem in self.problems):
            setting = BY_KEY.get(key)
            unset = "not set" if setting is None or setting.default is None else "default"
            place = where or self.origins.get(key, unset)
            self.problems.append(Problem(key=key, where=place, what=what))

    def is_production(self) -> bool:
        """Whether the rules of production apply. Callable before the values are checked."""
        return self.values.get("environment") == "production"

    def settings_present(self) -> Iterator[tuple[Setting, object]]:
        """Every fixed setting that has a value."""
        for key, value in tuple(self.values.items()):
            yield BY_KEY[key], value


def nearest(word: str, known: Iterable[str]) -> str:
    """Suggest the closest known word, or list all of them; the text continues a message."""
    names = list(known)
    close = get_close_matches(word, names, n=1, cutoff=0.6)
    if close:
        return f"; did you mean {close[0]}?"
    return f"; valid: {', '.join(names)}" if names else ""


def quoted(value: object, length: int = 60) -> str:
    """Return `; is VALUE` to end a message, or nothing if VALUE may contain a password.

    A URL may contain one before its @, whichever setting it was written for.
    """
    if isinstance(value, Secret) or "@" in str(value):
        return ""
    return f"; is {repr(value)[:length]}"


def read_secret(file: Path) -> tuple[list[Secret], str | None]:
    """Return the lines of a secret file, and the problem with it. Never quotes its content."""
    try:
        with file.open("rb") as stream:
            content = stream.read(BYTES_MAX + 1)
        lines = [line for line in content.decode().splitlines() if line.strip()]
    except OSError as error:
        return [], f"cannot read {file}: {error.strerror}"
    except UnicodeDecodeError:
        return [], f"{file} is not UTF-8 text"
    if len(content) > BYTES_MAX:
        return [], f"{file} is larger than {BYTES_MAX} bytes"
    if not lines:
        return [], f"{file} is empty"
    return [Secret(line) for line in lines], None


def settings_by_env() -> Mapping[str, Setting]:
    """Map each variable to its setting, except those of providers."""
    return {setting.env: setting for setting in BY_KEY.values()}
