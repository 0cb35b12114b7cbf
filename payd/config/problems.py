"""Configuration errors: a list of problems, each with its key and its location."""

from collections.abc import Iterable

import attrs

#: Exit code of a process with an invalid configuration (sysexits.h EX_CONFIG). systemd is
#: configured not to restart on it.
EXIT_BAD_CONFIGURATION = 78


@attrs.frozen(kw_only=True)
class Problem:
    """One problem to fix. Never contains the value of a secret."""

    #: The setting's dotted key, such as `database.port`.
    key: str
    #: `FILE:LINE`, `environment NAME`, `default` or `not set`.
    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.key}: {self.what}"


class ConfigError(Exception):
    """The configuration is invalid. Fix everything in `problems`, then start again."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))
