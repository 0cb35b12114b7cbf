"""Sphinx configuration of the documentation site: `make docs`."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_ext"))

project = "payd"
copyright = "the payd authors"
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "public_names",
    "proto_reference",
    "repository_links",
]
exclude_patterns = ["_ext"]
html_theme = "furo"
html_title = "payd"
html_show_sourcelink = False
html_show_sphinx = False

# Anchors as a repository browser makes them, so that a link works in both places.
myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence"]

autodoc_default_options = {"members": True, "undoc-members": False}
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
# The section `Attributes:` of a class is a list; autodoc lists the other members itself.
napoleon_use_ivar = True
# Docstrings use single backticks for code.
default_role = "code"
# A field that is named like a builtin, such as `type`, is no target of an annotation `type[...]`.
suppress_warnings = ["ref.python"]

# External links, checked by `make docs-links`, which needs the network.
linkcheck_ignore = [r"http://(127\.0\.0\.1|localhost)", r"https://(YOUR-HOST|shop\.example)"]
