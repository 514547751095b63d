"""Sphinx extension: a script in percent format is a page; its cells run, and what they show stands below them."""

import ast
import base64
import contextlib
import html
import io
import re
import sys
from pathlib import Path
from typing import Any

from docutils import nodes
from myst_parser.parsers.sphinx_ import MystParser
from sphinx.application import Sphinx


class PercentParser(MystParser):
    """Turns a script into MyST Markdown, and that into a page."""

    supported = ("percent",)

    def parse(self, inputstring: str, document: nodes.document) -> None:
        """Run the script, unless ``percent_scripts_run`` is off, and parse what came of it."""
        path = Path(document["source"])
        run = document.settings.env.config.percent_scripts_run
        with contextlib.chdir(path.parents[2]):  # paths are those of a reader in the repository
            super().parse(to_markdown(inputstring, str(path), run=run), document)


def to_markdown(script: str, path: str, *, run: bool = True) -> str:
    """Turn a script in percent format into Markdown.

    Parameters
    ----------
    script
        Cells that begin with ``# %%``, or with ``# %% [markdown]`` and have Markdown in comments.
    path
        Where it is from, for tracebacks.
    run
        Whether to run the cells and show what they print, their last value and their figures.

    Returns
    -------
    The Markdown.
    """
    scope: dict[str, Any] = {"__name__": "__main__"}
    parts = []
    line = 0
    for head, cell in re.findall(r"^# %%(.*)\n((?:(?!# %%).*(?:\n|\Z))*)", script, re.M):
        line = script.index(cell, line)
        if "[markdown]" in head:
            parts.append(re.sub(r"^# ?", "", cell, flags=re.M))
            continue
        parts.append(f"```python\n{cell.strip()}\n```\n")
        if run:
            parts += _outputs("\n" * script[:line].count("\n") + cell, path, scope)
    return "\n".join(parts)


def _outputs(code: str, path: str, scope: dict[str, Any]) -> list[str]:
    import matplotlib
    from matplotlib import pyplot

    matplotlib.use("agg")
    shown: list[Any] = []
    printed = io.StringIO()
    body = ast.parse(code, path).body
    before = sys.displayhook
    sys.displayhook = shown.append
    try:
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(io.StringIO()):
            for statement in body[:-1]:
                exec(compile(ast.Module([statement], []), path, "exec"), scope)
            for statement in body[-1:]:
                exec(compile(ast.Interactive([statement]), path, "single"), scope)
    finally:
        sys.displayhook = before
    parts = [f"```text\n{printed.getvalue().rstrip()}\n```\n"] if printed.getvalue().strip() else []
    figures = pyplot.get_fignums()
    for value in shown if not figures else []:  # the value of a cell that draws are its axes
        if hasattr(value, "_repr_html_"):
            parts.append(f'<div class="output">\n{_one_block(value._repr_html_())}\n</div>\n')
        elif value is not None:
            parts.append(f"```text\n{value}\n```\n")
    for number in figures:
        picture = io.BytesIO()
        pyplot.figure(number).savefig(picture, format="png", dpi=100, bbox_inches="tight")
        data = base64.b64encode(picture.getvalue()).decode()
        label = html.escape(code.strip().splitlines()[-1], quote=True)
        parts.append(f'<img src="data:image/png;base64,{data}" alt="{label}">\n')
        pyplot.close(number)
    return parts


def _one_block(text: str) -> str:
    """Give HTML without the empty lines that would end it in Markdown, and without a style of its own."""
    return re.sub(r"<style.*?</style>|^\s*\n", "", text, flags=re.S | re.M)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the parser."""
    app.add_config_value("percent_scripts_run", True, "env", bool)
    app.add_source_suffix(".py", "percent")
    app.add_source_parser(PercentParser)
    return {"parallel_read_safe": False}
