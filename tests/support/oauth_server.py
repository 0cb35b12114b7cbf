"""An OAuth 2 server and an API behind it: authlib's, on Flask, with faults on demand."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from authlib.integrations.flask_oauth2 import AuthorizationServer, ResourceProtector
from authlib.oauth2.rfc6749.grants import ClientCredentialsGrant
from authlib.oauth2.rfc6750 import BearerTokenValidator
from flask import Flask, jsonify, request
from werkzeug.serving import make_server

CLIENT_ID = "payd / shop"


class OAuthApi:
    """The state of server and API."""

    def __init__(self, secret: str) -> None:
        self.url = ""
        self.secret = secret
        #: How long a new token lives, in seconds.
        self.lifetime_s = 3600
        #: What the token endpoint answers instead of a token: status, headers, body.
        self.token_answer: tuple[int, dict[str, str], str] | None = None
        #: Every token request and every request of the API, by kind.
        self.token_requests: list[dict[str, str]] = []
        self.api_requests: list[str] = []
        #: Seconds that a token request takes.
        self.slow_s = 0.0
        self.tokens: dict[str, Token] = {}

    def revoke(self) -> None:
        """End every token, which its holder does not notice."""
        self.tokens.clear()


class Client:
    """The registered client, as authlib asks for it."""

    client_id = CLIENT_ID

    def __init__(self, api: OAuthApi) -> None:
        self._api = api

    def check_client_secret(self, secret: str) -> bool:
        return secret == self._api.secret

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return method in ("client_secret_basic", "client_secret_post")

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type == "client_credentials"

    def get_allowed_scope(self, scope: str | None) -> str:
        return scope or ""


class Token:
    """An issued token, as authlib asks for it."""

    def __init__(self, scope: str, lifetime_s: int) -> None:
        self._scope = scope
        self._ends = time.monotonic() + lifetime_s

    def is_expired(self) -> bool:
        return time.monotonic() >= self._ends

    def is_revoked(self) -> bool:
        return False

    def get_scope(self) -> str:
        return self._scope


class Grant(ClientCredentialsGrant):  # type: ignore[misc]  # authlib has no types
    TOKEN_ENDPOINT_AUTH_METHODS = ("client_secret_basic", "client_secret_post")


@contextmanager
def serving(api: OAuthApi) -> Iterator[OAuthApi]:
    """Serve on a free port of the loopback address until the end of the block."""
    server = make_server("127.0.0.1", 0, _app(api), threaded=True)
    api.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield api
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _app(api: OAuthApi) -> Flask:
    app = Flask("oauth")

    def save(token: dict[str, Any], _request: Any) -> None:
        api.tokens[token["access_token"]] = Token(token.get("scope", ""), token["expires_in"])

    server = AuthorizationServer(
        app, query_client=lambda key: Client(api) if key == CLIENT_ID else None, save_token=save
    )
    server.register_grant(Grant)
    server.register_token_generator(
        "default",
        lambda **asked: {
            "access_token": f"token-{len(api.token_requests)}",
            "token_type": "Bearer",
            "expires_in": api.lifetime_s,
            "scope": asked["scope"] or "",
        },
    )
    protected = ResourceProtector()

    class Validator(BearerTokenValidator):  # type: ignore[misc]  # as above
        def authenticate_token(self, token_string: str) -> Token | None:
            return api.tokens.get(token_string)

    protected.register_token_validator(Validator())

    @app.post("/token")
    def token() -> Any:
        api.token_requests.append(request.form.to_dict())
        time.sleep(api.slow_s)
        if api.token_answer is not None:
            status, headers, body = api.token_answer
            return body, status, headers
        return server.create_token_response()

    @app.before_request
    def count() -> None:
        if request.path != "/token":
            api.api_requests.append(request.headers.get("Authorization", ""))

    @app.post("/charges")
    @protected()
    def charge() -> Any:
        return jsonify(request.get_json())

    return app
