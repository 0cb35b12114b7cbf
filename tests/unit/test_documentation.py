"""Documentation: links lead somewhere, commands and targets exist, pages name what there is."""

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import click
import yaml

from payd.cli.main import main
from payd.config.settings import BY_KEY
from payd.plugins.testing.registry import CHECKS

ROOT = Path(__file__).parents[2]
LISTED = subprocess.run(
    ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
    cwd=ROOT,
    capture_output=True,
    text=True,
    check=True,
)
PAGES = [ROOT / name for name in LISTED.stdout.split() if (ROOT / name).is_file()]
ARCHITECTURE = ROOT / "docs" / "architecture.md"
#: Options that each command has.
EVERYWHERE = {"--help", "-h"}


def prose(page: Path) -> str:
    """The page without its code blocks."""
    return re.sub(r"^( *)```.*?^\1```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """What a link to a heading of this page may name."""
    headings = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {slug(heading) for heading in headings}


def slug(heading: str) -> str:
    """A heading's anchor, as repository browsers and MyST make it."""
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
    return re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")


def links(page: Path) -> Iterator[tuple[str, str]]:
    """Path and anchor of each relative link."""
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if "://" not in target and not target.startswith("mailto:"):
            path, _, anchor = target.partition("#")
            yield path, anchor


def commands(page: Path) -> Iterator[list[str]]:
    """The words of each line in a shell block that calls payd."""
    for block in re.findall(r"```sh\n(.*?)```", page.read_text(), re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            program, _, rest = line.strip().partition(" ")
            if program.rpartition("/")[2] == "payd":
                yield shlex.split(rest, comments=True)


def unknown_part(words: list[str]) -> str:
    """The first command or option in a command line that does not exist; else empty."""
    command: click.Command = main
    for word in words:
        context = click.Context(command, info_name="payd")
        if word.startswith("-"):
            known = {name for one in command.params for name in (*one.opts, *one.secondary_opts)}
            if word.partition("=")[0] not in known | EVERYWHERE:
                return word
        elif isinstance(command, click.Group):
            found = command.get_command(context, word)
            if found is None:
                return word
            command = found
    return ""


def test_each_relative_link_leads_to_a_file_and_a_heading() -> None:
    broken = []
    for page in PAGES:
        for path, anchor in links(page):
            target = (page.parent / path).resolve() if path else page
            if not target.exists() or (
                anchor and target.suffix == ".md" and anchor not in anchors(target)
            ):
                broken.append(f"{page.relative_to(ROOT)}: {path}#{anchor}")
    assert not broken


def test_the_list_of_decisions_is_complete() -> None:
    folder = ROOT / "docs/decisions"
    listed = [path for path, _ in links(folder / "index.md")]
    assert listed == sorted(path.name for path in folder.glob("0*.md"))


def test_a_broken_link_would_be_noticed(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# One `two`: three\n\n```sh\n# not a heading\n```\n[a](b.md#c) [d](#e)\n")
    assert [*links(page)] == [("b.md", "c"), ("", "e")]
    assert anchors(page) == {"one-two-three"}


def test_each_payd_command_in_a_shell_block_exists_with_its_options() -> None:
    wrong = [
        f"{page.relative_to(ROOT)}: payd {' '.join(words)}: {part}"
        for page in PAGES
        for words in commands(page)
        if (part := unknown_part(words))
    ]
    assert not wrong
    assert unknown_part(["pay", "--nothing"]) == "--nothing"
    assert unknown_part(["config", "nothing"]) == "nothing"


def test_each_make_target_that_a_page_names_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {
        (page.name, target)
        for page in PAGES
        if page.name != "CHANGELOG.md"
        for target in re.findall(r"(?:`|^)make ([a-z-]+)", page.read_text(), re.MULTILINE)
    }
    assert not {(page, target) for page, target in named if target not in targets}


def test_what_the_architecture_page_names_exists() -> None:
    page = prose(ARCHITECTURE)
    named = re.findall(
        r"`((?:payd|client|proto|plugins|tests|config|migrations|deploy)/[\w/.@-]+)`", page
    )
    assert len(named) > 50
    assert not [name for name in named if not (ROOT / name).exists()]
    in_files = re.findall(r"`(\w+)` in `([\w/.-]+/[\w.-]+\.\w+)`", page)
    assert len(in_files) > 5
    assert not [pair for pair in in_files if pair[0] not in (ROOT / pair[1]).read_text()]
    names = re.findall(r"`(_?[a-z]+_[a-z_]+|_?[A-Z]+_[A-Z_]+)`", page)
    code = "".join(
        path.read_text() for room in ("payd", "client") for path in (ROOT / room).rglob("*.py")
    )
    sql = (ROOT / "payd/adapters/postgres/queries.sql").read_text()
    assert len(names) > 5
    assert not [name for name in names if name not in code + sql]
    sections = "|".join({key.partition(".")[0] for key in BY_KEY})
    # `refunds` is a section of the settings and the name of files, too.
    settings = re.findall(rf"`((?:{sections})\.(?!py`)[a-z_]+)`", page)
    assert len(settings) > 20
    assert not [key for key in settings if key not in BY_KEY]


def test_each_file_in_the_architecture_pages_tree_exists() -> None:
    [tree] = re.findall(r"```text\n(.*?)```", ARCHITECTURE.read_text(), re.DOTALL)
    files = {path.name for room in ("payd", "tests") for path in (ROOT / room).rglob("*.py")}
    named = re.findall(r"\b(\w+\.py)\b", tree)
    assert len(named) > 20
    assert not [name for name in named if name not in files]


def test_the_architecture_page_names_each_room_use_case_and_loop() -> None:
    page = ARCHITECTURE.read_text()
    rooms = [path.parent.name for path in (ROOT / "payd").glob("*/__init__.py")]
    assert not [room for room in rooms if f"{room}/" not in page]
    use_cases = [path.name for path in (ROOT / "payd/service").glob("[a-z]*.py")]
    assert not [name for name in use_cases if name not in page and name != "operation.py"]
    loops = re.findall(r'worker\(\s*"([\w ]+)"', (ROOT / "payd/daemon/loops.py").read_text())
    assert len(loops) >= 6
    assert not [loop for loop in loops if loop.removeprefix("event ") not in page]


def test_the_sample_of_a_failed_check_quotes_the_kit() -> None:
    page = (ROOT / "docs/providers.md").read_text()
    [(name, why)] = re.findall(r"^FAILED  (.+)\n  .+\n  (.+)$", page, re.MULTILINE)
    assert (name, why) in {(check.name, check.why) for check in CHECKS}


def test_the_workflow_and_the_hooks_run_what_a_developer_runs() -> None:
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    [job] = workflow["jobs"].values()
    assert [step["run"] for step in job["steps"] if "run" in step] == [".ci/run"]
    [hooks] = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert hooks["repo"] == "local"
    for hook in hooks["hooks"]:
        words = hook["entry"].split()
        assert words[0] in ("make", ".venv/bin/python")
        assert not [
            path for path in words if path.startswith("tests/") and not (ROOT / path).is_file()
        ]
