"""`payd audit` as it is typed: an export is verified with two files and nothing else."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import attrs
import pytest
from support.audit_exports import KEY, an_export, lines_of
from unit.cli.conftest import Alone

from payd.adapters.events import AuditRow
from payd.cli.audit import _cells

ROW = AuditRow(
    version=3,
    event_type="facts_changed",
    actor="provider:stripe",
    request_id="",
    ip="",
    certificate="",
    peer="",
    details={},
    create_time=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
)


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    """An export, and the public key."""
    export, key = tmp_path / "audit.jsonl", tmp_path / "audit.pem"
    export.write_bytes(an_export())
    key.write_text(KEY.public_pem())
    return str(export), str(key)


def test_an_intact_export_exits_with_0(alone: Alone, files: tuple[str, str]) -> None:
    export, key = files
    result = alone("audit", "verify", export, "--public-key", key)
    assert result.exit_code == 0, result.output
    assert f"{export} is intact" in result.output
    assert "payments" in result.output


def test_an_altered_export_exits_with_1_and_names_the_line(
    alone: Alone, files: tuple[str, str]
) -> None:
    export, key = files
    lines = lines_of(Path(export).read_bytes())
    lines[1] = lines[1].replace(b"2026", b"2025")
    Path(export).write_bytes(b"".join(lines))
    result = alone("audit", "verify", export, "--public-key", key)
    assert result.exit_code == 1
    assert f"{export}: line 2: version " in result.output
    assert "was altered" in result.output


@pytest.mark.parametrize("content", ["", "no key", "ab" * 32])
def test_a_file_that_is_no_public_key_is_refused(
    alone: Alone, files: tuple[str, str], content: str
) -> None:
    export, key = files
    Path(key).write_text(content)
    result = alone("audit", "verify", export, "--public-key", key)
    assert result.exit_code == 2
    assert "payd audit public-key" in result.output


CHANGED: list[tuple[dict[str, Any], str]] = [
    ({"row": {}, "items": []}, "created"),
    ({"changes": {"version": 3, "status": "PENDING", "next_action": None, "looks": 1}},
     "status PENDING, next_action"),
    ({"changes": {"version": 3}, "receipts": [{}], "refunds": [{}, {}]}, "1 receipt, 2 refunds"),
    ({"changes": {"version": 3}, "republished": [{"id": "0195", "subject": "payment.failed"}]},
     "published again: payment.failed 0195"),
    ({"changes": {"version": 3}, "reason": "asked by phone"}, "note: asked by phone"),
]  # fmt: skip


@pytest.mark.parametrize(("details", "said"), CHANGED)
def test_what_changed_is_said_in_a_line(details: dict[str, Any], said: str) -> None:
    *_, what = _cells(attrs.evolve(ROW, details=details))
    assert what == said


def test_a_row_has_its_time_and_its_actor() -> None:
    version, time, event, actor, *_ = _cells(ROW)
    assert (version, time) == ("3", "2026-01-02T03:04:05Z")
    assert (event, actor) == ("facts_changed", "provider:stripe")
