"""Files of the pages for people: texts, templates, style sheets and scripts, read once.

A package with pages has `en.json`, `templates` and `assets` in its folder. The headers of an answer
are the package's own: the payment page and the console differ in what a browser may do with them.
"""

import hashlib
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType

import attrs
from jinja2 import Environment, FileSystemLoader, StrictUndefined

_TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8"}
_ASSET_AGE_S = 31_536_000


@cache
def texts_of(folder: Path) -> Mapping[str, str]:
    """All texts of a package, name → text. `{name}` in a text stands for a value.

    A translation is another file with the same names.
    """
    read: dict[str, str] = json.loads((folder / "en.json").read_text(encoding="utf-8"))
    return MappingProxyType(read)


@attrs.frozen(kw_only=True)
class Asset:
    """A style sheet or a script."""

    content: bytes
    content_type: str

    @property
    def headers(self) -> Mapping[str, str]:
        """Its address names its version, so that a browser may keep it."""
        age = f"public, max-age={_ASSET_AGE_S}, immutable"
        return {"Content-Type": self.content_type, "Cache-Control": age}


@attrs.frozen(kw_only=True)
class Assets:
    """All assets of a package."""

    files: Mapping[str, Asset]
    #: Changes with any of them.
    version: str

    @classmethod
    def of(cls, folder: Path) -> "Assets":
        """Read the assets of a package's folder."""
        files = {
            file.name: Asset(content=file.read_bytes(), content_type=_TYPES[file.suffix])
            for file in sorted((folder / "assets").iterdir())
        }
        everything = b"".join(asset.content for asset in files.values())
        return cls(files=files, version=hashlib.sha256(everything).hexdigest()[:12])


def templates_of(folder: Path, assets: Assets, **names: object) -> Environment:
    """The templates of a package. Each sees the texts as `t`, `assets_version`, and `names`.

    Reading them again would need a new process.
    """
    templates = Environment(
        loader=FileSystemLoader(folder / "templates"),
        autoescape=True,
        auto_reload=False,
        trim_blocks=True,
        lstrip_blocks=True,
        # A wrong name is a fault, not an empty place on a page.
        undefined=StrictUndefined,
    )
    templates.globals.update(t=texts_of(folder), assets_version=assets.version, **names)
    return templates
