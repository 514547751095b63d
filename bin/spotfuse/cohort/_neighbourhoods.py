"""What lies beside what in several slices."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import stdtr, stdtrit

from spotfuse._core import tables
from spotfuse._core.order import natural
from spotfuse._core.probability import adjusted_p
from spotfuse.cohort._design import compared_columns, donors, sheet_metadata
from spotfuse.cohort._markers import _named
from spotfuse.cohort._settings import SETTINGS, Settings
from spotfuse.cohort._sheet import Row

NEIGHBOURHOODS = [
    *("kind", "name", "neighbour", "column", "level", "n", "n_slices"),
    *("log2_ratio", "low", "high", "p", "p_adjusted", "note"),
]


def neighbourhoods(slices: Mapping[str, Path], matched: pd.DataFrame) -> pd.DataFrame:
    """Put the slices' neighbourhoods together, in the cohort's names of domains.

    Parameters
    ----------
    slices
        Folder of each finished slice, by sample.
    matched
        From `spotfuse.cohort`.

    Returns
    -------
    DataFrame: ``sample``, ``kind``, ``name``, ``neighbour``, ``log2_ratio``. Domains that are like none of another
    slice are left out.
    """
    rows = []
    for sample, called in _named(slices, matched).items():
        if not (path := slices[sample] / "neighbourhoods.tsv").exists():
            continue
        for row in tables.read_back(path).itertuples():
            name, neighbour = row.name, row.neighbour
            if row.kind == "domain_contact":
                name, neighbour = sorted((called.get(name, ""), called.get(neighbour, "")), key=natural)
            elif row.kind == "cell_type_in_domain":
                neighbour = called.get(neighbour, "")
            if name and neighbour:
                rows.append((sample, row.kind, name, neighbour, float(row.log2_ratio)))
    return pd.DataFrame(rows, columns=["sample", "kind", "name", "neighbour", "log2_ratio"])


def mean_neighbourhoods(sheet: Sequence[Row], beside: pd.DataFrame, settings: Settings = SETTINGS) -> pd.DataFrame:
    """Average neighbourhoods over the donors of the cohort, and of each level of the sheet's columns.

    Parameters
    ----------
    sheet
        The sample sheet, a mapping a row.
    beside
        From `neighbourhoods`.
    settings
        How many donors tell a mean from chance.

    Returns
    -------
    DataFrame: ``kind``, ``name``, ``neighbour``; ``column`` and ``level`` (empty and ``all`` for all slices); ``n``
    donors and ``n_slices``; ``log2_ratio``, the mean over donors, with ``low`` and ``high``, its 95 % interval; ``p``
    of a t-test over donors against 0; ``p_adjusted`` (Benjamini & Hochberg, within a kind and level); ``note``.
    """
    samples = sorted(set(beside["sample"]))
    of = sheet_metadata(sheet, samples)
    donor = donors(of)
    wanted = [("", "all", samples)]
    for column in compared_columns(of):
        levels = sorted(set(of[column].dropna()), key=natural)
        wanted += [(column, level, list(of.index[of[column] == level])) for level in levels]
    frames = []
    for kind, part in beside.groupby("kind", sort=False):
        table = part.pivot(index=["name", "neighbour"], columns="sample", values="log2_ratio")
        for column, level, names in wanted:
            found = _averaged(table.reindex(columns=names), donor, settings.fewest)
            frames.append(found.assign(kind=kind, column=column, level=level))
    if not frames:
        return pd.DataFrame(columns=NEIGHBOURHOODS)
    return pd.concat(frames, ignore_index=True)[NEIGHBOURHOODS]


def _averaged(table: pd.DataFrame, donor: pd.Series, least: int) -> pd.DataFrame:
    """Average pairs × samples over samples of a donor and then over donors."""
    table = table.dropna(how="all")
    values = table.T.groupby(donor[table.columns]).mean().T
    n = values.notna().sum(axis=1)
    mean, error = values.mean(axis=1), values.std(axis=1) / np.sqrt(n)
    known = (n >= least) & (error > 1e-12)
    half = (error * stdtrit((n - 1).clip(lower=1), 0.975)).where(known)
    tails = 2 * stdtr((n - 1).clip(lower=1), -(mean / error.where(known)).abs())
    p = pd.Series(tails, index=table.index).where(known)
    adjusted = p.copy()
    if known.any():
        adjusted[known] = adjusted_p(p[known].to_numpy(float))
    figures = {"n": n, "n_slices": table.notna().sum(axis=1), "log2_ratio": mean}
    figures |= {"low": mean - half, "high": mean + half, "p": p, "p_adjusted": adjusted}
    notes = np.where(n < least, f"fewer than {least} donors: too few to tell from chance", "")
    found = pd.DataFrame({**figures, "note": notes}).reset_index()
    order = sorted(range(len(found)), key=lambda i: (natural(found["name"][i]), natural(found["neighbour"][i])))
    return found.iloc[order]
