"""Sphinx extension: the directive `public-names` documents everything in a module's `__all__`.

autodoc's own automodule sees only what `dir()` lists, which leaves out names that are loaded when
they are first used.
"""

import inspect
from importlib import import_module
from typing import ClassVar

from docutils import nodes
from docutils.parsers.rst import Directive
from docutils.statemachine import StringList
from sphinx.application import Sphinx


class PublicNames(Directive):
    """One autodoc directive for each public name, in the order of `__all__`."""

    required_arguments: ClassVar[int] = 1

    def run(self) -> list[nodes.Node]:
        """Parse the generated directives in place."""
        module = import_module(self.arguments[0])
        lines = [
            line
            for name in module.__all__
            for line in _directive(module.__name__, name, getattr(module, name))
        ]
        found = nodes.section()
        found.document = self.state.document
        self.state.nested_parse(StringList(lines, source=module.__name__), 0, found)
        return found.children


def _directive(module: str, name: str, value: object) -> list[str]:
    path = f"{module}.{name}"
    if inspect.isclass(value):
        # One place in the index for a value that two pages offer: the page of its own package.
        elsewhere = module != "payd.plugins" and value.__module__.startswith("payd.domain.")
        return [f".. autoclass:: {path}", *["   :no-index:"] * elsewhere, ""]
    if inspect.isroutine(value):
        return [f".. autofunction:: {path}", ""]
    return [f".. autodata:: {path}", "   :no-value:", ""]


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("public-names", PublicNames)
    return {"parallel_read_safe": True}
