"""The console's answers: pages from its templates, and its assets."""

from pathlib import Path

from quart import Response

from payd.transport.console import written
from payd.transport.console.texts import texts
from payd.transport.page_files import Assets, templates_of

_HERE = Path(__file__).parent


class Renderer:
    """Makes the console's pages."""

    def __init__(self, environment: str) -> None:
        """`environment` stands on every page, so that nobody takes a test for production."""
        self._assets = Assets.of(_HERE)
        self._templates = templates_of(_HERE, self._assets, environment=environment)
        self._templates.filters.update(
            money=written.money,
            due=written.due,
            received=written.received,
            refund_amount=written.refund_amount,
            receipt_amount=written.receipt_amount,
            when=written.when,
            actor=written.actor,
            field=written.field,
            chart_kind=lambda kind: texts()[f"kind.{kind}"],
        )

    def page(self, template: str, status: int = 200, **values: object) -> Response:
        """Return the page of a template."""
        body = self._templates.get_template(template).render(**values)
        return Response(body, status, content_type="text/html; charset=utf-8")

    def asset(self, name: str) -> Response | None:
        """Return an asset, which a browser may keep; None if there is none of this name."""
        asset = self._assets.files.get(name)
        return Response(asset.content, headers=dict(asset.headers)) if asset else None
