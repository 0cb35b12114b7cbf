"""`payd console-user` prints a line that the console accepts, and takes no weak password."""

from click.testing import CliRunner

from payd.cli.main import main
from payd.transport.console.passwords import parse_entry

PASSWORD = "correct horse battery"


def test_the_line_is_of_the_name_and_the_password() -> None:
    typed = CliRunner().invoke(main, ["console-user", "alice"], input=f"{PASSWORD}\n{PASSWORD}\n")
    piped = CliRunner().invoke(
        main, ["console-user", "alice", "--password-stdin"], input=f"{PASSWORD}\n"
    )
    for done in (typed, piped):
        assert done.exit_code == 0, done.output
        line = done.stdout.strip().splitlines()[-1]
        assert parse_entry(line).accepts(PASSWORD)
        assert PASSWORD not in done.stdout


def test_a_short_password_and_a_strange_name_are_refused() -> None:
    for name, password, said in (
        ("alice", "short", "at least 12 characters"),
        ("alice/x", PASSWORD, "is no name"),
    ):
        words = ["console-user", name, "--password-stdin"]
        done = CliRunner().invoke(main, words, input=f"{password}\n")
        assert done.exit_code == 2
        assert said in done.output
        assert "scrypt" not in done.output
