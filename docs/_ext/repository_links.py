"""Sphinx extension: links from a page to a file of the repository that is outside the site.

In the repository such a link opens the file. The site has no copy of it, so there the path is
shown. A path that does not exist is a warning, which fails the build.
"""

import re
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.util import logging

_log = logging.getLogger(__name__)
_LINK = re.compile(r"\[([^\]]+)\]\(((?:\.\./)+[^)#\s]*)(#[^)\s]*)?\)")


def _show_paths(app: Sphinx, page: str, source: list[str]) -> None:
    file = Path(app.env.doc2path(page))
    root = app.srcdir.parent

    def shown(link: re.Match[str]) -> str:
        text, path = link[1], (file.parent / link[2]).resolve()
        if path.is_relative_to(app.srcdir):
            return link[0]
        if not path.exists() or not path.is_relative_to(root):
            _log.warning("no such file in the repository: %s", link[2], location=page)
            return text
        name = str(path.relative_to(root))
        return f"`{name}`" if text.strip("`") in (name, path.name) else f"{text} (`{name}`)"

    source[0] = _LINK.sub(shown, source[0])


def setup(app: Sphinx) -> dict[str, bool]:
    """Rewrite each page when it is read."""
    app.connect("source-read", _show_paths)
    return {"parallel_read_safe": True}
