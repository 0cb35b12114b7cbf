"""Whatever is sent to the routes of the example's OpenAPI document, none answers 5xx."""

import subprocess
import sysconfig
from pathlib import Path

import pytest
from support import plain_http
from support.example_app import ExampleApp

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
)


def schemathesis(app: ExampleApp, folder: Path, examples: int, seed: int) -> None:
    """Values from the document and beside it, one call and chains of them."""
    done = subprocess.run(
        [
            str(Path(sysconfig.get_path("scripts")) / "schemathesis"),
            *("run", f"{app.url}/openapi.json", "--checks", ",".join(CHECKS)),
            *("--header", "Authorization: Bearer alice-token", "--no-color"),
            *("--max-examples", str(examples), "--seed", str(seed)),
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "test cases" in done.stdout.lower(), done.stdout


def test_no_request_ends_in_a_server_error(app: ExampleApp, tmp_path: Path) -> None:
    schemathesis(app, tmp_path, 30, seed=1)


@pytest.mark.campaign
@pytest.mark.parametrize("seed", range(2))
def test_no_request_of_many_ends_in_a_server_error(
    app: ExampleApp, tmp_path: Path, seed: int
) -> None:
    schemathesis(app, tmp_path, 500, seed)


def test_every_route_of_the_api_is_in_the_document(app: ExampleApp) -> None:
    paths = plain_http.get(f"{app.url}/openapi.json").json()["paths"]
    assert paths.keys() >= {
        "/api/v1/payments",
        "/api/v1/payments/{payment_id}",
        "/api/v1/payments/{payment_id}/cancel",
        "/api/v1/payment-methods",
    }
    body = paths["/api/v1/payments"]["post"]["requestBody"]["content"]["application/json"]
    assert body["schema"]["properties"].keys() == {
        "items",
        "subscription_ids",
        "method",
        "crypto_currency",
        "idempotency_key",
        "return_url",
        "cancel_url",
        "quote_token",
    }


@pytest.mark.parametrize(
    ("method", "path", "content", "kind", "status"),
    [
        ("POST", "/api/v1/payments", b"", "application/json", 400),
        ("POST", "/api/v1/payments", b"{", "application/json", 400),
        ("POST", "/api/v1/payments", b"[]", "application/json", 400),
        ("POST", "/api/v1/payments", b"null", "application/json", 400),
        ("POST", "/api/v1/payments", b"{}", "text/plain", 400),
        ("POST", "/api/v1/payments", b"\xff\xfe", "application/json", 400),
        ("POST", "/api/v1/payments", b"[" * 50_000, "application/json", 400),
        ("POST", "/api/v1/payments", b'"' + b"x" * 200_000 + b'"', "application/json", 413),
        ("PUT", "/api/v1/payments", b"{}", "application/json", 405),
        ("GET", "/api/v1/payments/not-a-uuid", b"", "application/json", 404),
        ("GET", "/shop/../main_app/settings.py", b"", "application/json", 404),
        ("GET", "/shop/%2e%2e/settings.py", b"", "application/json", 404),
    ],
)
def test_rubbish_is_refused_as_a_problem(
    app: ExampleApp, method: str, path: str, content: bytes, kind: str, status: int
) -> None:
    with app.client() as client:
        answer = client.request(method, path, content=content, headers={"Content-Type": kind})
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
