"""Templates and assets of the console, read once."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import attrs
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from quart import Response

from payd.transport.console import written
from payd.transport.console.texts import texts

_HERE = Path(__file__).parent
_TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8"}
_ASSET_AGE_S = 31_536_000


@attrs.frozen
class Asset:
    """A style sheet or a script."""

    content: bytes
    content_type: str


class Renderer:
    """Makes pages. Reading the templates again would need a new process."""

    def __init__(self, environment: str) -> None:
        """`environment` stands on every page, so that nobody takes a test for production."""
        self._assets: Mapping[str, Asset] = {
            file.name: Asset(file.read_bytes(), _TYPES[file.suffix])
            for file in sorted((_HERE / "assets").iterdir())
        }
        everything = b"".join(asset.content for asset in self._assets.values())
        self._templates = Environment(
            loader=FileSystemLoader(_HERE / "templates"),
            autoescape=True,
            auto_reload=False,
            trim_blocks=True,
            lstrip_blocks=True,
            undefined=StrictUndefined,
        )
        self._templates.globals.update(
            t=texts(),
            environment=environment,
            assets_version=hashlib.sha256(everything).hexdigest()[:12],
        )
        self._templates.filters.update(
            money=written.money,
            due=written.due,
            received=written.received,
            refund_amount=written.refund_amount,
            receipt_amount=written.receipt_amount,
            when=written.when,
            chart_kind=lambda kind: texts()[f"kind.{kind}"],
        )

    def page(self, template: str, status: int = 200, **values: object) -> Response:
        """Return the page of a template."""
        body = self._templates.get_template(template).render(**values)
        return Response(body, status, content_type="text/html; charset=utf-8")

    def asset(self, name: str) -> Response | None:
        """Return an asset, which a browser may keep; None if there is none of this name."""
        asset = self._assets.get(name)
        if asset is None:
            return None
        response = Response(asset.content, content_type=asset.content_type)
        response.headers["Cache-Control"] = f"public, max-age={_ASSET_AGE_S}, immutable"
        return response
