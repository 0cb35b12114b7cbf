"""Answers of the HTTP server: JSON documents; for an error a problem document (RFC 9457)."""

from collections.abc import Mapping
from typing import Any

import attrs
from werkzeug.exceptions import HTTPException

from payd.transport.problems import problem

#: Headers of a refusal that its reader needs beside the document.
_KEPT_HEADERS = ("allow", "retry-after")


@attrs.frozen(kw_only=True)
class Answer:
    """What is sent back, without the headers that every answer has."""

    status: int = 200
    document: Mapping[str, Any]
    headers: Mapping[str, str] = attrs.field(factory=dict)


def problem_answer(error: BaseException) -> Answer:
    """Return the answer to an error of the contract or of HTTP; of any other nothing leaks."""
    match error:
        case HTTPException():
            status, document = _http_problem(error)
            kept = [
                (name, value)
                for name, value in error.get_headers()
                if name.lower() in _KEPT_HEADERS
            ]
        case _:
            status, document = problem(error)
            kept = []
    headers = {"content-type": "application/problem+json", **dict(kept)}
    if status in (408, 413):
        # The rest of the body would be read as the next request.
        headers["connection"] = "close"
    return Answer(status=status, document=document, headers=headers)


def _http_problem(error: HTTPException) -> tuple[int, Mapping[str, Any]]:
    status = error.code or 500
    document = {"type": "about:blank", "title": error.name, "status": status}
    if status < 500 and error.description:
        document["detail"] = error.description
    return status, document
