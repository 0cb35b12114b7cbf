"""What is wrong with a configuration: every problem at once, each with its key and its place."""

from collections.abc import Iterable

import attrs

#: sysexits.h EX_CONFIG: what the process exits with, so that a supervisor does not retry.
EXIT_BAD_CONFIGURATION = 78


@attrs.frozen(kw_only=True)
class Problem:
    """One thing to mend. Never holds the value of a secret."""

    #: The setting's dotted key, such as `database.port`.
    key: str
    #: `FILE:LINE`, `environment NAME`, `default` or `not set`.
    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.key}: {self.what}"


class ConfigError(Exception):
    """The configuration cannot be used. Mend what `problems` lists, then start again."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))
