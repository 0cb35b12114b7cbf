"""Load the named statements of queries.sql, with `:name` parameters as PostgreSQL's $n.

Statements share what they have in common: `-- here: NAME --` stands for the text after
`-- part NAME --`.
"""

import re
from collections.abc import Mapping
from importlib import resources

import attrs

#: The heading of a statement, or of a part.
_HEADING = re.compile(r"^-- ((?:part )?\w+) --$", re.MULTILINE)
_HERE = re.compile(r"^-- here: (\w+) --$", re.MULTILINE)
#: `:name`, but not the second half of a `::type` cast.
_PARAMETER = re.compile(r"(?<![:\w]):([a-z_]+)")


@attrs.frozen
class Statement:
    """One statement: its SQL, and the names of its parameters in order."""

    name: str
    sql: str
    parameters: tuple[str, ...]

    def arguments(self, values: Mapping[str, object]) -> list[object]:
        """The values in order of the parameters. Raises KeyError for missing or unknown names."""
        if values.keys() != set(self.parameters):
            raise KeyError(f"{self.name} takes {self.parameters}, not {tuple(values)}")
        return [values[name] for name in self.parameters]


def parse(text: str) -> dict[str, Statement]:
    """Parse a file in the format of queries.sql. Raises KeyError for an unknown part."""
    texts = _HEADING.split(text)[1:]
    by_heading = dict(zip(texts[::2], texts[1::2], strict=True))
    return {
        name: _statement(name, _HERE.sub(lambda here: _bare(by_heading[f"part {here[1]}"]), sql))
        for name, sql in by_heading.items()
        if not name.startswith("part ")
    }


def _statement(name: str, sql: str) -> Statement:
    parameters = tuple(dict.fromkeys(_PARAMETER.findall(sql)))
    numbered = _PARAMETER.sub(lambda match: f"${parameters.index(match[1]) + 1}", sql)
    return Statement(name, _bare(numbered), parameters)


def _bare(sql: str) -> str:
    return sql.strip().rstrip(";")


STATEMENTS = parse(resources.files(__package__).joinpath("queries.sql").read_text())
