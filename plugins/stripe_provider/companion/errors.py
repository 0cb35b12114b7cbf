"""Error responses in Stripe's format."""

from typing import Any

import attrs

INVALID_REQUEST = "invalid_request_error"


@attrs.define(kw_only=True, slots=False)
class ApiError(Exception):
    """An error response."""

    message: str
    status: int = 400
    type: str = INVALID_REQUEST
    code: str | None = None
    param: str | None = None
    #: Raised while the endpoint ran: saved under the idempotency key, unlike a validation error.
    saved: bool = False
    should_retry: bool | None = None
    #: Seconds of the header Retry-After; without them there is no such header.
    retry_after_s: int | None = None

    def body(self) -> dict[str, Any]:
        """Return the response's body."""
        error: dict[str, Any] = {"message": self.message, "type": self.type}
        if self.code is not None:
            error["code"] = self.code
            anchor = self.code.replace("_", "-")
            error["doc_url"] = f"https://stripe.com/docs/error-codes/{anchor}"
        if self.param is not None:
            error["param"] = self.param
        return {"error": error}


def missing(param: str) -> ApiError:
    """A required parameter is missing."""
    return ApiError(
        message=f"Missing required param: {param}.", code="parameter_missing", param=param
    )


def unknown(params: list[str]) -> ApiError:
    """The endpoint does not accept these parameters."""
    noun = "parameter" if len(params) == 1 else "parameters"
    return ApiError(
        message=f"Received unknown {noun}: {', '.join(params)}",
        code="parameter_unknown",
        param=params[0],
    )


def invalid(message: str, param: str, code: str | None = None) -> ApiError:
    """A parameter has an invalid value."""
    return ApiError(message=message, param=param, code=code)


def no_such(kind: str, object_id: str, param: str, status: int = 404) -> ApiError:
    """The object does not exist."""
    return ApiError(
        message=f"No such {kind}: '{object_id}'",
        status=status,
        code="resource_missing",
        param=param,
    )


def unrecognized_url(method: str, path: str) -> ApiError:
    """The stand-in does not serve this path."""
    message = (
        f"Unrecognized request URL ({method}: {path}). If you are trying to list objects, remove "
        "the trailing slash. If you are trying to retrieve an object, make sure you passed a "
        "valid (non-empty) identifier in your code."
    )
    return ApiError(message=message, status=404)


def unauthorized(given: str) -> ApiError:
    """The secret key is missing or wrong."""
    if given:
        message = f"Invalid API Key provided: {given[:8]}{'*' * 8}{given[-4:]}"
    else:
        message = (
            "You did not provide an API key. You need to provide your API key in the "
            "Authorization header, using Bearer auth (e.g. 'Authorization: Bearer "
            "YOUR_SECRET_KEY')."
        )
    return ApiError(message=message, status=401)


def forbidden() -> ApiError:
    """The key lacks a permission."""
    return ApiError(
        message="The provided key does not have the required permissions for this endpoint.",
        status=403,
    )


def rate_limited(retry_after_s: int | None = None) -> ApiError:
    """Too many requests."""
    message = "Request rate limit exceeded. Learn more about rate limits here."
    return ApiError(message=message, status=429, code="rate_limit", retry_after_s=retry_after_s)


def internal(*, saved: bool) -> ApiError:
    """Internal error."""
    return ApiError(
        message="An unknown error occurred",
        status=500,
        type="api_error",
        saved=saved,
        # A retry is useless for a saved error: it would be replayed.
        should_retry=False if saved else None,
    )


def key_in_use(key: str) -> ApiError:
    """Another request with the same idempotency key is in progress."""
    message = (
        "There is currently another in-progress request using this Idempotent Key (that probably "
        "means you submitted twice, and the other request is still going through): "
        f"{key}. Please try again later."
    )
    return ApiError(
        message=message,
        status=409,
        type="idempotency_error",
        code="idempotency_key_in_use",
        should_retry=True,
    )


def key_mismatch(key: str, *, path: tuple[str, str] | None = None) -> ApiError:
    """The idempotency key was used with other parameters."""
    message = (
        "Keys for idempotent requests can only be used with the same parameters they were first "
        f"used with. Try using a key other than '{key}' if you meant to execute a different "
        "request."
    )
    if path is not None:
        message = (
            "Keys for idempotent requests can only be used for the same endpoint they were first "
            f"used for ('{path[0]}' vs '{path[1]}'). Try using a key other than '{key}' if you "
            "meant to execute a different request."
        )
    return ApiError(message=message, type="idempotency_error")
