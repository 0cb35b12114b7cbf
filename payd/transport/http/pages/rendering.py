"""The payment page's answers: pages from its templates, its assets, and the headers of all."""

from pathlib import Path

from quart import Response

from payd.transport.page_files import Assets, templates_of

_HERE = Path(__file__).parent
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


class Renderer:
    """Makes the pages for customers."""

    def __init__(self, shop_name: str, *, is_test: bool) -> None:
        self._assets = Assets.of(_HERE)
        self._templates = templates_of(_HERE, self._assets, shop_name=shop_name, is_test=is_test)

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
        asset = self._assets.files.get(name)
        if asset is None:
            return None
        response = with_headers(Response(asset.content))
        response.headers.update(asset.headers)
        return response


def with_headers(response: Response) -> Response:
    """Add the headers of every page."""
    response.headers.update(_HEADERS)
    return response
