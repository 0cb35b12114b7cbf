"""Spans that nothing can export stop the start, with the reason."""

from pathlib import Path
from typing import Any

import pytest
from unit.test_config.builders import load

from payd.config import ConfigError
from payd.daemon import preflight

ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "https://collector.example:4318/otlp"}


def absent(_name: str) -> Any:
    raise ModuleNotFoundError("No module named 'opentelemetry'")


@pytest.mark.parametrize("found", [absent, lambda _name: None])
def test_an_endpoint_without_the_sdk_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, found: Any
) -> None:
    monkeypatch.setattr(preflight, "find_spec", found)
    with pytest.raises(ConfigError) as refused:
        preflight.check_tracing(load(tmp_path, "", **ENDPOINT))
    [problem] = refused.value.problems
    assert problem.key == "tracing.endpoint"
    assert "requirements/otel.lock" in problem.what


def test_without_an_endpoint_the_sdk_is_not_looked_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(preflight, "find_spec", absent)
    preflight.check_tracing(load(tmp_path))


def test_with_the_sdk_an_endpoint_is_taken(tmp_path: Path) -> None:
    config = load(tmp_path, "", **ENDPOINT)
    preflight.check_tracing(config)
    assert config.tracing.endpoint == ENDPOINT["OTEL_EXPORTER_OTLP_ENDPOINT"]
    assert config.tracing.service_name == "payd"
