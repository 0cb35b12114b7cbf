"""A test that fails shows the logs of what runs beside it, and no others."""

from support.kept_logs import kept_log, running_logs


def test_only_what_runs_is_shown_with_its_end() -> None:
    lines = ["started"]
    before = running_logs()
    with kept_log("a daemon", lambda: "\n".join(lines)):
        lines.append("x" * 50_000 + " failed")
        *others, (title, text) = running_logs()
    assert title == "log of a daemon"
    assert text.endswith(" failed")
    assert len(text) < 50_000
    assert others == running_logs() == before


def test_a_log_that_is_gone_hides_no_failure() -> None:
    def gone() -> str:
        raise FileNotFoundError("out")

    before = running_logs()
    with kept_log("payd dev", gone):
        assert running_logs() == before
