"""The actor in the audit trail for commands that write without the daemon."""

import os
import pwd

import pytest

from payd.cli import receipts


def test_the_operator_is_the_processs_user_whatever_the_environment_claims(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for variable in ("LOGNAME", "USER", "LNAME", "USERNAME", "SUDO_USER"):
        monkeypatch.setenv(variable, "ada")
    assert receipts.operator().actor == f"operator:{pwd.getpwuid(os.getuid()).pw_name}"


def test_a_user_without_an_entry_is_named_by_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 2_000_000_011)
    assert receipts.operator().actor == "operator:2000000011"


def test_a_command_without_a_connection_has_no_certificate() -> None:
    origin = receipts.operator()
    assert (origin.certificate, origin.peer, origin.ip) == ("", "", "")
