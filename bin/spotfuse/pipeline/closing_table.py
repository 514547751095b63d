"""The run's last words."""

from typing import Any

import pandas as pd

from spotfuse.report import duration


def closing_table(metrics: pd.DataFrame, failures: pd.DataFrame) -> str:
    """Write the run's last words: a line a slice, then a line a failure.

    Parameters
    ----------
    metrics
        As `metrics` gives them.
    failures
        As `failures` gives them.

    Returns
    -------
    Text with aligned columns; what was not computed is ``-``.
    """
    lines = [("slice", "spots", "domains", "ARI", "RMSE", "time")]
    for _, row in metrics.iterrows():
        seconds = sum(row[name] for name in metrics if name.startswith("seconds.") and pd.notna(row[name]))
        lines.append(
            (
                row["sample"],
                _number(row.get("n_spots"), ".0f"),
                _number(row.get("n_domains"), ".0f"),
                _number(row.get("domains.ari"), ".3f"),
                _number(row.get("proportions.rmse"), ".3f"),
                duration(seconds),
            )
        )
    widths = [max(len(cell) for cell in column) for column in zip(*lines, strict=True)]
    text = [
        "  ".join([cells[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(cells[1:], widths[1:], strict=True))])
        for cells in lines
    ]
    if len(failures):
        n = failures.loc[failures["sample"] != "cohort", "sample"].nunique()
        text += ["", f"{n} slice{'s' * (n != 1)} failed in part or in whole:" if n else "The comparison failed:"]
        text += [f"{row.sample}: {row.step}: {row.reason}" for row in failures.itertuples()]
    return "\n".join(text)


def _number(value: Any, form: str) -> str:
    return "-" if value is None or pd.isna(value) else format(float(value), form)
