"""What no operator's browser sends is refused: other hosts, other origins, forms without a token.

A page of another site can make a browser send requests here, and a name of that site can be made
to lead to this address (DNS rebinding). The Host header tells the second, Origin and
Sec-Fetch-Site tell the first.
"""

from collections.abc import Mapping
from urllib.parse import urlsplit

from quart import Response

#: Nothing from elsewhere, nothing inline, in no frame, kept by no cache. Same-origin: with
#: no-referrer, browsers would send `Origin: null` with our own forms.
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';"
        " img-src data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=()",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "X-Robots-Tag": "noindex, nofollow",
}
#: This machine, as a browser on it names it.
LOCAL_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})


def with_headers(response: Response) -> Response:
    """Add the headers that every answer has; an asset keeps its own rule for caches."""
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    return response


def is_own_host(host: str, hosts: frozenset[str]) -> bool:
    """Whether a Host header names one of our hosts; its port does not matter."""
    return _name_of(f"//{host}") in hosts


def is_own_origin(method: str, host: str, headers: Mapping[str, str]) -> bool:
    """Whether a request comes from one of our own pages, or from a person's address bar."""
    site = headers.get("sec-fetch-site", "none")
    if method in ("GET", "HEAD"):
        # A link from elsewhere may lead here: without the cookie, it leads to the login.
        return site in ("none", "same-origin") or headers.get("sec-fetch-mode") == "navigate"
    origin = headers.get("origin", "")
    if origin:
        return urlsplit(origin).netloc.lower() == host.lower()
    return site in ("none", "same-origin")


def own_path(path: str) -> str:
    """Return where to go after a login: a path of ours, else the first page."""
    is_ours = path.startswith("/") and not path.startswith("//") and path.isprintable()
    return path if is_ours and "\\" not in path else "/"


def _name_of(url: str) -> str:
    try:
        return (urlsplit(url).hostname or "").lower()
    except ValueError:
        return ""
