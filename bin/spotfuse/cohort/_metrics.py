"""What the slices of one run look like side by side, and which of them are missing and why."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from spotfuse.cohort._sheet import Row, metadata

_SCORED = ("domains", "proportions")
_LAST = (*_SCORED, "seconds", "peak_rss_mb")
_FIRST = ("n_spots", "n_genes", "n_domains")


def metrics(sheet: Sequence[Row], slices: Mapping[str, Path], steps: Sequence[str] = ()) -> pd.DataFrame:
    """Gather the slices' metrics.

    Parameters
    ----------
    sheet
        The sample sheet, a mapping a row.
    slices
        Folder of each finished slice, by sample.
    steps
        The order in which columns of steps stand.

    Returns
    -------
    DataFrame with a row for each finished slice, in the sheet's order: ``sample``, the sheet's metadata (columns called
    as metrics are, ``n_spots``, ``domains.ari``, as ``sheet.n_spots``, ``sheet.domains.ari``), then metrics.json with
    nested keys joined by a dot (``domains.ari``, ``seconds.train``).
    """
    rows = []
    for row in sheet:
        if row["sample"] in slices:
            found = json.loads((slices[row["sample"]] / "metrics.json").read_text())
            scored = {key: value for key, value in found.items() if value is not None or key not in _SCORED}
            facts = {_beside_metrics(key): value for key, value in metadata(row).items()}
            rows.append({"sample": row["sample"]} | facts | flatten(scored))
    frame = pd.DataFrame(rows, columns=None if rows else ["sample"])
    # where scores stand must not hang on which slice is the first to have them
    return frame[sorted(frame, key=lambda column: _place(column, steps))]


def _beside_metrics(column: str) -> str:
    """Give a column of the sheet a name that no metric has, whether or not this run has that metric."""
    kind, dot, _ = column.partition(".")
    return f"sheet.{column}" if column in _FIRST or (dot and kind in (*_LAST, "sheet")) else column


def _place(column: str, steps: Sequence[str]) -> tuple[int, int]:
    kind, _, step = column.partition(".")
    if not step or kind not in _LAST:
        return -1, 0
    return _LAST.index(kind), steps.index(step) if step in steps else len(steps)


def flatten(nested: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Join the keys of nested mappings by a dot."""
    flat: dict[str, Any] = {}
    for key, value in nested.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
