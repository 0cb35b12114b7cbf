"""Installation from an index: dependencies are locked by hash, our wheels are never fetched."""

import re
import shlex
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
LOCKS = sorted((ROOT / "requirements").glob("*.lock"))
PROJECTS = [
    ROOT / "pyproject.toml",
    ROOT / "client/pyproject.toml",
    *sorted(ROOT.glob("plugins/*/pyproject.toml")),
    *sorted(ROOT.glob("examples/providers/*/pyproject.toml")),
]
WHEELS = [file for file in PROJECTS[1:] if not file.is_relative_to(ROOT / "examples")]
#: Every extra of the projects that the locks are made for.
EXTRAS = {
    extra
    for file in (PROJECTS[0], *WHEELS)
    for extra in tomllib.loads(file.read_text())["project"].get("optional-dependencies", {})
}
SUPPORTED = ("3.11", "3.12", "3.13")


def project(file: Path) -> dict[str, object]:
    declared: dict[str, object] = tomllib.loads(file.read_text())["project"]
    return declared


def requirements(file: Path, *extras: str) -> list[Requirement]:
    """What a project asks for, with these extras; all of them without a name."""
    declared = tomllib.loads(file.read_text())["project"]
    optional = declared.get("optional-dependencies", {})
    chosen = [optional[extra] for extra in extras or optional if extra in optional]
    return [Requirement(one) for part in (declared["dependencies"], *chosen) for one in part]


def pins(lock: Path) -> dict[str, str]:
    """The version of each distribution in a lock file, by its normalized name."""
    found = re.findall(r"^([\w.\-]+)==([^\s;]+)", lock.read_text(), re.MULTILINE)
    return {canonicalize_name(name): version for name, version in found}


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_a_lock_has_one_version_and_a_hash_for_everything_and_names_no_index(lock: Path) -> None:
    text = lock.read_text()
    lines = re.findall(r"^\S.*", text, re.MULTILINE)
    blocks = re.findall(
        r"^[\w.\-]+==\S+(?: ; .*?)? \\\n(?: +--hash=sha256:[0-9a-f]{64}(?: \\)?\n)+",
        text,
        re.MULTILINE,
    )
    assert len(blocks) == len(lines) == len(pins(lock)) > 0
    assert "://" not in text


@pytest.mark.parametrize(
    ("name", "projects", "extras"),
    [
        ("run", [PROJECTS[0], *(f for f in WHEELS if "mock" not in str(f))], ("none",)),
        ("otel", [PROJECTS[0], *(f for f in WHEELS if "mock" not in str(f))], ("otel",)),
        ("dev", [PROJECTS[0], *WHEELS], ("dev", "kit")),
        ("test", [PROJECTS[0], *WHEELS], tuple(EXTRAS - {"docs"})),
        ("docs", [PROJECTS[0], *WHEELS], ("docs", "kit")),
    ],
)
def test_a_lock_holds_what_the_projects_ask_for(
    name: str, projects: list[Path], extras: tuple[str, ...]
) -> None:
    locked = pins(ROOT / f"requirements/{name}.lock")
    for wanted in (one for file in projects for one in requirements(file, *extras)):
        version = locked.get(canonicalize_name(wanted.name))
        assert version is not None, f"{wanted} is not in {name}.lock: run make lock"
        assert wanted.specifier.contains(version), f"{wanted}, locked {version}: run make lock"


def test_the_locks_agree_with_one_another() -> None:
    everything = pins(ROOT / "requirements/test.lock")
    for lock in LOCKS:
        for name, version in pins(lock).items():
            assert everything.get(name, version) == version, (lock.name, name)


@pytest.mark.parametrize("file", PROJECTS, ids=lambda file: str(file.relative_to(ROOT)))
def test_no_distribution_of_ours_is_asked_for_by_name(file: Path) -> None:
    """An index could answer `payd` or `payd-stripe-provider` with a stranger's code."""
    assert not [one for one in requirements(file) if is_ours(one.name)]


def test_no_lock_holds_a_distribution_of_ours() -> None:
    assert not [name for lock in LOCKS for name in pins(lock) if is_ours(name)]


def test_no_page_and_no_message_says_to_install_ours_by_name() -> None:
    said = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    by_name = [
        f"{path}: {asked}"
        for path in said.stdout.split()
        if (ROOT / path).is_file() and path != str(Path(__file__).relative_to(ROOT))
        for asked in asked_by_name((ROOT / path).read_text(errors="ignore"))
    ]
    assert not by_name


@pytest.mark.parametrize(
    "text",
    [
        "    pip install payd-x-provider",
        "run `uv pip install payd`",
        "pip install 'payd-client[redis]'",
        "needs redis: install the wheel with its extra, payd-client[redis]",
        'f"needs redis: install"\n        f" payd_client[{extra}] first"',
        "Install `payd-acme-provider` to take cards.",
        "dependencies = ['payd[kit]>=0.1']",
    ],
)
def test_a_text_that_asks_for_ours_by_name_would_be_noticed(text: str) -> None:
    assert len(asked_by_name(text)) == 1


@pytest.mark.parametrize(
    "text",
    [
        "pip install dist/payd_client-0.1.0-py3-none-any.whl",
        "pip install 'dist/payd_client-0.1.0-py3-none-any.whl[trio,redis]'",
        "pip install 'payd_client-….whl[redis]'",
        "pip install -e './payd_x[test]'",
        "install.py run ./client",
        "Install payd first, from a checkout.",
        "expr: rate(payd_requests_total[5m])",
        "payd[method](request, answer);",
    ],
)
def test_a_text_that_names_a_file_or_a_folder_is_left_alone(text: str) -> None:
    assert asked_by_name(text) == []


def test_a_name_is_distinguished_from_a_file() -> None:
    ours = ["payd", "payd[kit]", "payd-x-provider", "'payd[dev,kit]'", "payd_service==0.1"]
    assert all(is_name_of_ours(word) for each in ours for word in words(each))
    not_by_name = ["./payd", "dist/payd_service-*.whl", '"payd-service[kit] @ https://host/a.whl"']
    assert not any(is_name_of_ours(word) for each in not_by_name for word in words(each))


def test_the_page_of_another_project_is_linked_nowhere() -> None:
    said = subprocess.run(
        ["git", "grep", "-lE", r"pypi\.org/project/payd"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert set(said.stdout.split()) <= {str(Path(__file__).relative_to(ROOT))}


@pytest.mark.parametrize("file", [PROJECTS[0], *WHEELS], ids=lambda file: file.parent.name)
def test_the_supported_pythons_are_the_ones_that_are_tested(file: Path) -> None:
    range_ = SpecifierSet(str(project(file)["requires-python"]))
    assert [f"3.{minor}" for minor in range(9, 20) if f"3.{minor}.5" in range_] == list(SUPPORTED)
    assert f"for minor in {' '.join(SUPPORTED)}; do" in (ROOT / ".ci/pythons").read_text()


@pytest.mark.parametrize("file", PROJECTS[:2], ids=["payd", "client"])
def test_protobuf_is_never_older_than_the_generated_code(file: Path) -> None:
    """The code checks the version when it is loaded, and refuses an older protobuf."""
    code = (ROOT / "client/payd_client/proto/payment_pb2.py").read_text()
    made_with = re.search(r"^# Protobuf Python Version: (\S+)$", code, re.MULTILINE)
    assert made_with
    [wanted] = [one for one in requirements(file, "none") if one.name == "protobuf"]
    [least] = [part.version for part in wanted.specifier if part.operator == ">="]
    assert Version(least) >= Version(made_with[1])


def asked_by_name(text: str) -> list[str]:
    """The parts of a text that ask for a distribution of ours in words that an index answers."""
    # A message in code may go on in a second literal.
    joined = re.sub(r'"\n\s*f?"', "", text)
    found = []
    for line in joined.splitlines():
        if "payd" not in line:
            continue
        by_pip = re.findall(r"(?:pip3?|uv pip|pipx) install(.*)", line)
        in_words = re.findall(r"\b[Ii]nstall(?:s|ed|ing)?\b(.*)", line)
        if (
            any(is_name_of_ours(word) for part in by_pip for word in words(part))
            or any(is_distribution(word) for part in in_words for word in words(part))
            # With an extra nothing but a distribution can be meant.
            or re.search(r"(?<![\w.\-/])payd(?:[-_][\w\-]+)?\[[a-z{][\w,{}]*\](?! @ |\()", line)
        ):
            found.append(line.strip())
    return found


def is_distribution(word: str) -> bool:
    """Whether a word in a sentence is a distribution's name; `payd` alone is the program."""
    return is_name_of_ours(word) and re.match(r"payd[-\[]", word.strip("`")) is not None


def is_ours(name: str) -> bool:
    return canonicalize_name(name).partition("-")[0] == "payd"


def is_name_of_ours(word: str) -> bool:
    """Whether pip would look this argument up at an index, and whether the name is ours."""
    found = re.fullmatch(r"([A-Za-z0-9][\w.\-]*)(\[[^]]*\])?([<>=!~].*)?", word.strip("`.,:;)"))
    return found is not None and not word.endswith(".whl") and is_ours(found[1])


def words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:
        return text.replace("'", " ").replace('"', " ").split()
