"""The share of each domain and cell type in each slice."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from spotfuse._core.order import natural
from spotfuse._core.tables import read_back
from spotfuse.cohort._sheet import Row


def composition(
    sheet: Sequence[Row], slices: Mapping[str, Path], names: Mapping[str, Mapping[str, str]] | None = None
) -> pd.DataFrame:
    """Give the share of each domain and the mean proportion of each cell type in each slice.

    Parameters
    ----------
    sheet
        The sample sheet, a mapping a row.
    slices
        Folder of each finished slice, by sample.
    names
        What the cohort calls a slice's domains, as `spotfuse.cohort.cohort_names` gives it; without it, their numbers.

    Returns
    -------
    DataFrame with columns ``sample``, ``group``, ``kind`` (domain or cell_type), ``name``, ``share`` (0 to 1; sums to
    1 within a slice and kind).
    """
    rows = []
    for row in sheet:
        sample = row["sample"]
        if sample not in slices:
            continue
        shares = []
        if (table := slices[sample] / "domains.tsv").exists():
            called = (names or {}).get(sample, {})
            domains = read_back(table)["domain"].astype(str).map(lambda name, called=called: called.get(name, name))
            counts = domains.value_counts(normalize=True)
            shares += [("domain", name, counts[name]) for name in sorted(counts.index, key=natural)]
        if (table := slices[sample] / "proportions.tsv").exists():
            means = read_back(table).iloc[:, 1:].mean()
            shares += [("cell_type", name, mean) for name, mean in means.items()]
        rows += [(sample, row.get("group") or "", *share) for share in shares]
    return pd.DataFrame(rows, columns=["sample", "group", "kind", "name", "share"])
