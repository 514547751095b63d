"""How Sphinx builds the documentation: `make docs`, or offline, with what `make setup` installs."""

import os
import re
import sys
import tomllib
from pathlib import Path

from pygments.lexers.special import TextLexer
from sphinx.application import Sphinx

_ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(_ROOT / "bin"), str(_ROOT / "docs")]

from spotfuse import __version__  # noqa: E402 - found by the path above

_PROJECT = tomllib.loads((_ROOT / "pyproject.toml").read_text())["project"]
_SOURCE = _PROJECT["urls"]["Source"]

project = "Spotfuse"
author = _PROJECT["authors"][0]["name"]
copyright = author
version = release = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "percent_scripts",
]
source_suffix = {".md": "markdown"}  # and what percent_scripts adds
exclude_patterns = ["_build", "conf.py", "percent_scripts.py"]

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 4
autodoc_typehints = "none"  # the docstrings say it in words
napoleon_google_docstring = False
napoleon_use_ivar = True
default_role = "py:obj"

html_theme = "sphinx_book_theme"
html_title = f"Spotfuse {release}"
html_theme_options = {"repository_url": _SOURCE, "use_repository_button": True, "show_navbar_depth": 1}
html_copy_source = False


def setup(app: Sphinx) -> None:
    """Let pages include files of the repository and link to them."""
    app.add_lexer("csv", TextLexer)
    app.connect("source-read", _in_the_repository)
    app.connect("autodoc-process-docstring", _without_overview)


def _in_the_repository(app: Sphinx, docname: str, content: list[str]) -> None:
    docs = Path(app.srcdir)
    path = docs / docname
    if include := re.fullmatch(r"```{include} (\S+)\n```\n", content[0]):
        path = (docs / include[1]).resolve()
        content[0] = path.read_text()

    def link(match: re.Match[str]) -> str:
        target = (path.parent / match[1]).resolve()
        if target.is_relative_to(docs):
            return f"]({os.path.relpath(target, (docs / docname).parent)}{match[2]})"
        if target.is_relative_to(_ROOT) and target.exists():
            return f"]({_SOURCE}/blob/main/{target.relative_to(_ROOT)}{match[2]})"
        return match[0]

    content[0] = re.sub(r"\]\(([\w./-]+)(#[\w-]*|)\)", link, content[0])


def _without_overview(_app: Sphinx, what: str, name: str, _obj: object, _options: object, lines: list[str]) -> None:
    """Leave out what ``help(spotfuse)`` says of the package as a whole: these pages say it."""
    if (what, name) == ("module", "spotfuse"):
        lines.clear()
