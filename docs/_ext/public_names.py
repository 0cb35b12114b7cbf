"""Sphinx extension: the directive `public-names` documents everything in a module's `__all__`.

autodoc's own automodule sees only what `dir()` lists, which leaves out names that are loaded when
they are first used.
"""

import inspect
import sys
from importlib import import_module
from typing import ClassVar

from docutils import nodes
from docutils.parsers.rst import Directive
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.pycode import ModuleAnalyzer


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
        return [f".. autoclass:: {path}", ""]
    if inspect.isroutine(value):
        return [f".. autofunction:: {path}", ""]
    shown = [f"   :value: {value!r}"] if isinstance(value, int | float | str) else []
    comment = [f"   {line}" for line in _comment(module, name)]
    return [f".. py:data:: {path}", *shown, "", *comment, ""]


def _comment(module: str, name: str) -> list[str]:
    """The `#:` comment of a constant, from whichever module of the package defines it."""
    package = module.partition(".")[0]
    for source in sorted(one for one in sys.modules if one.partition(".")[0] == package):
        if hasattr(sys.modules[source], name):
            comments = ModuleAnalyzer.for_module(source).find_attr_docs()
            if ("", name) in comments:
                return comments["", name]
    return []


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("public-names", PublicNames)
    return {"parallel_read_safe": True}
