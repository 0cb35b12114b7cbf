"""Plain English, as far as a machine can see it: docstrings, comments, prose and help texts."""

import ast
import io
import re
import subprocess
import tokenize
from collections.abc import Iterator
from pathlib import Path

import click

from payd.cli.main import main as command_line

ROOT = Path(__file__).parent.parent
COLUMNS_MAX = 100

#: Written by a program, or kept as it was written (released notes, applied migrations).
NOT_OURS = re.compile(
    r"(^|/)(CHANGELOG\.md|LICENSE|docs/configuration\.md|migrations/\d{4}_.*|.*_pb2\.pyi?"
    r"|.*_grpc\.py|tests/fixtures/stripe/.*|.*\.lock)$"
)

#: Wording that a reader has to decode, with what to write instead.
DECODED = {
    r"\b(?:he|him|his|himself)\b": "it, they, or the thing's name",
    r"\b(?:for|to|of|by|with|from|at|on) who\b": "the noun: for a client that …",
    r"\bwhoever\b": "the noun: the caller that …, any daemon that …",
    r"\b(?-i:is none)\b(?! of)": "is invalid",
    r"\bas (?:asked|told|said)\b(?= (?:for )?\.)": "as requested",
    r"\b(?:somebody|nobody else)\b": "the noun: another caller, no other daemon, an operator",
    r"\b(?:is|are|was|were|be|been|being) told\b": "is notified, is passed, is reported",
    r"\bheard\b": "received",
    r"\bdoors?\b": "server, listener",
}
#: The same in names.
DECODED_NAME = re.compile(r"(?:^|_)(?:told|hears?|heard|whoever|somebody)(?:_|$)|^test_who_")
#: Comments are about the code as it stands; git knows the rest.
HISTORY = re.compile(r"\b(?:TODO|FIXME|XXX|formerly|previously)\b|\bissue #?\d", re.IGNORECASE)
ONLY_A_POINTER = re.compile(r"(?:See|As) (?:the )?[`\w./-]+\.")
UNITS = re.compile(
    r"\b(?:seconds?|minutes?|hours?|days?|bytes?|ports?|events?|payments?|receipts?|lines?|rows?"
    r"|calls?|percent|base units|minor units|messages?|results?|findings?|refunds?|entries|index)\b",
    re.IGNORECASE,
)


def files(*suffixes: str) -> Iterator[Path]:
    """Every file that git knows or would take, with one of the suffixes, in a room that counts."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    for name in sorted(set(listed.stdout.split("\0")) - {""}):
        path = ROOT / name
        is_ours = not NOT_OURS.search(name)
        if is_ours and path.suffix in suffixes and path.is_file() and not path.is_symlink():
            yield path


def place(path: Path, line: int) -> str:
    """`path:line`, as a terminal opens it."""
    return f"{path.relative_to(ROOT)}:{line}"


def docstrings(path: Path) -> Iterator[tuple[int, str]]:
    """Every docstring with its first line's number."""
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, kinds) and (text := ast.get_docstring(node)):
            yield node.body[0].lineno, text


def comments(path: Path) -> Iterator[tuple[int, str]]:
    """Every comment of a Python or SQL file with its line's number."""
    text = path.read_text()
    if path.suffix == ".py":
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type == tokenize.COMMENT:
                yield token.start[0], token.string
        return
    marker = "//" if path.suffix == ".proto" else "--"
    for number, line in enumerate(text.splitlines(), start=1):
        if line.lstrip().startswith(marker):
            yield number, line


def names(path: Path) -> Iterator[tuple[int, str]]:
    """Every name in a Python file with its line's number."""
    for token in tokenize.generate_tokens(io.StringIO(path.read_text()).readline):
        if token.type == tokenize.NAME:
            yield token.start[0], token.string


def markdown_prose(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a Markdown file outside code blocks and tables."""
    in_code = False
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        if line.lstrip().startswith("```"):
            in_code = not in_code
        elif not in_code and not line.lstrip().startswith(("|", "<", "[![", "![")):
            yield number, line


def prose() -> Iterator[tuple[str, str]]:
    """Every sentence that people read beside the code, with its place."""
    for path in files(".py"):
        if path != Path(__file__):
            for line, text in (*docstrings(path), *comments(path)):
                yield place(path, line), text
    for path in files(".sql", ".proto"):
        for line, text in comments(path):
            yield place(path, line), text
    for path in files(".md"):
        for line, text in markdown_prose(path):
            yield place(path, line), text


def commands(
    command: click.Command, words: tuple[str, ...] = ("payd",)
) -> Iterator[tuple[str, click.Command]]:
    """A command and all its subcommands, each with the words that call it."""
    yield " ".join(words), command
    if isinstance(command, click.Group):
        with click.Context(command) as context:
            for name in command.list_commands(context):
                if (child := command.get_command(context, name)) is not None:
                    yield from commands(child, (*words, name))


def options() -> Iterator[tuple[str, click.Option]]:
    """Every option of the command line with the command that takes it."""
    for words, command in commands(command_line):
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                yield f"{words} {parameter.opts[0]}", parameter


def test_a_docstring_begins_with_a_verb_or_a_noun_and_is_more_than_a_pointer() -> None:
    wrong = [
        f"{place(path, line)}: {text.splitlines()[0]}"
        for path in files(".py")
        for line, text in docstrings(path)
        if re.match(r"Who(?:se|ever)?\b", text) or ONLY_A_POINTER.fullmatch(text)
    ]
    assert not wrong, "\n".join(wrong)


def test_no_sentence_has_to_be_decoded() -> None:
    wrong = [
        f"{where}: {found[0]!r}: write {better}"
        for where, text in prose()
        for pattern, better in DECODED.items()
        if (found := re.search(pattern, text, re.IGNORECASE))
    ]
    assert not wrong, "\n".join(wrong)


def test_no_name_has_to_be_decoded() -> None:
    wrong = [
        f"{place(path, line)}: {name}: write report, result, received, client, …"
        for path in files(".py")
        for line, name in names(path)
        if DECODED_NAME.search(name.lower())
    ]
    assert not wrong, "\n".join(wrong)


def test_comments_contain_no_history() -> None:
    wrong = [
        f"{place(path, line)}: {text.strip()}"
        for path in files(".py", ".sql", ".proto")
        if path != Path(__file__)
        for line, text in comments(path)
        if HISTORY.search(text)
    ]
    assert not wrong, "\n".join(wrong)


def test_no_line_is_longer_than_the_house_allows() -> None:
    code = (
        (place(path, number), line)
        for path in files(".py", ".sql", ".proto", ".sh")
        for number, line in enumerate(path.read_text().splitlines(), start=1)
    )
    text = (
        (place(path, number), line)
        for path in files(".md")
        for number, line in markdown_prose(path)
    )
    # A URL or a path cannot be broken.
    wrong = [
        f"{where}: {len(line)} columns"
        for where, line in (*code, *text)
        if len(line) > COLUMNS_MAX and not re.search(r"\S{60,}", line)
    ]
    assert not wrong, "\n".join(wrong)


def test_an_option_names_its_unit_and_its_environment_variable() -> None:
    wrong = []
    for where, option in options():
        text = f"{option.help or ''} {option.metavar or ''}"
        names = [option.envvar] if isinstance(option.envvar, str) else option.envvar or ()
        missing = [name for name in names if name not in text and not option.show_envvar]
        wrong += [f"{where}: name {name} in its help" for name in missing]
        is_number = isinstance(option.type, click.types.IntParamType | click.types.FloatParamType)
        if is_number and not option.count and not UNITS.search(text):
            wrong.append(f"{where}: name the unit in its help: {option.help}")
        if not (option.help or option.hidden):
            wrong.append(f"{where}: has no help")
    assert not wrong, "\n".join(wrong)
