"""Templates and assets of the pages, read once, and the headers that every page has."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import attrs
from jinja2 import Environment, FileSystemLoader
from quart import Response

from payd.transport.http.pages.texts import texts

_HERE = Path(__file__).parent
_TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8"}
#: Nothing from elsewhere, nothing inline, in no frame; the page tells nobody where it was opened.
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';"
        " img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "X-Robots-Tag": "noindex, nofollow",
}
_ASSET_AGE_S = 31_536_000


@attrs.frozen
class Asset:
    """A style sheet or a script."""

    content: bytes
    content_type: str


class Renderer:
    """Makes pages. Reading the templates again would need a new process."""

    def __init__(self, shop_name: str, *, is_test: bool) -> None:
        self.assets: Mapping[str, Asset] = {
            file.name: Asset(file.read_bytes(), _TYPES[file.suffix])
            for file in sorted((_HERE / "assets").iterdir())
        }
        everything = b"".join(asset.content for asset in self.assets.values())
        self._templates = Environment(
            loader=FileSystemLoader(_HERE / "templates"),
            autoescape=True,
            auto_reload=False,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.globals.update(
            t=texts(),
            shop_name=shop_name,
            is_test=is_test,
            # In the address of an asset, so that browsers keep it until it changes.
            assets_version=hashlib.sha256(everything).hexdigest()[:12],
        )

    def page(self, template: str, status: int = 200, **values: object) -> Response:
        """Return the page of a template."""
        body = self._templates.get_template(template).render(**values)
        return with_headers(Response(body, status, content_type="text/html; charset=utf-8"))

    def notice(self, name: str, status: int, retry_after_s: float | None = None) -> Response:
        """Return a page that says one thing: the texts `NAME.title` and `NAME.body`."""
        may_retry = retry_after_s is not None
        response = self.page("notice.html", status, name=name, may_retry=may_retry)
        if retry_after_s is not None:
            response.headers["Retry-After"] = str(max(1, round(retry_after_s)))
        return response

    def asset(self, name: str) -> Response | None:
        """Return an asset, which a browser may keep; None if there is none of this name."""
        asset = self.assets.get(name)
        if asset is None:
            return None
        response = with_headers(Response(asset.content, content_type=asset.content_type))
        response.headers["Cache-Control"] = f"public, max-age={_ASSET_AGE_S}, immutable"
        return response


def with_headers(response: Response) -> Response:
    """Add the headers of every page."""
    response.headers.update(_HEADERS)
    return response
