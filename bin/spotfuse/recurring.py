"""What comes again in slice after slice: neighbourhoods, and the markers of domains."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from spotfuse import matching, tables
from spotfuse.cohort import Row, natural
from spotfuse.conditions import FEWEST, compared, donors, facts

NEIGHBOURHOODS = [
    *("kind", "name", "neighbour", "column", "level", "n", "n_slices"),
    *("log2_ratio", "low", "high", "p", "p_adjusted", "note"),
]
MARKERS = ["domain", "gene", "n_slices", "n_marker", "log_fold_change", "lowest", "highest"]
_ALPHA = 0.05  # adjusted p up to which a gene counts as a slice's marker
_PRIOR = 1.0  # counts added to both sides of a fold change


def neighbourhoods(slices: Mapping[str, Path], matched: pd.DataFrame) -> pd.DataFrame:
    """Put the slices' neighbourhoods together, in the cohort's names of domains.

    Parameters
    ----------
    slices
        Folder of each finished slice, by sample.
    matched
        From `spotfuse.matching`.

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


def mean_neighbourhoods(sheet: Sequence[Row], beside: pd.DataFrame) -> pd.DataFrame:
    """Average neighbourhoods over the donors of the cohort, and of each level of the sheet's columns.

    Parameters
    ----------
    sheet
        The sample sheet, a mapping a row.
    beside
        From `neighbourhoods`.

    Returns
    -------
    DataFrame: ``kind``, ``name``, ``neighbour``; ``column`` and ``level`` (empty and ``all`` for all slices); ``n``
    donors and ``n_slices``; ``log2_ratio``, the mean over donors, with ``low`` and ``high``, its 95 % interval; ``p``
    of a t-test over donors against 0; ``p_adjusted`` (Benjamini & Hochberg, within a kind and level); ``note``.
    """
    samples = sorted(set(beside["sample"]))
    of = facts(sheet, samples)
    donor = donors(of)
    wanted = [("", "all", samples)]
    for column in compared(of):
        levels = sorted(set(of[column].dropna()), key=natural)
        wanted += [(column, level, list(of.index[of[column] == level])) for level in levels]
    frames = []
    for kind, part in beside.groupby("kind", sort=False):
        table = part.pivot(index=["name", "neighbour"], columns="sample", values="log2_ratio")
        for column, level, names in wanted:
            found = _averaged(table.reindex(columns=names), donor)
            frames.append(found.assign(kind=kind, column=column, level=level))
    if not frames:
        return pd.DataFrame(columns=NEIGHBOURHOODS)
    return pd.concat(frames, ignore_index=True)[NEIGHBOURHOODS]


def markers(slices: Mapping[str, Path], counts: Mapping[str, pd.DataFrame], matched: pd.DataFrame) -> pd.DataFrame:
    """Give the genes that mark a domain in one slice after another.

    Parameters
    ----------
    slices
        Folder of each finished slice, by sample.
    counts
        Genes × domains of each slice, by sample, as `spotfuse.matching.read_counts` gives them.
    matched
        From `spotfuse.matching`: only domains that are the same in several slices have rows.

    Returns
    -------
    DataFrame, most reproducible first within a domain: ``domain`` (its matched number); ``gene``; ``n_slices`` that
    have both; ``n_marker``, in how many of them it is a marker: at least two, and at least half; ``log_fold_change``,
    base 2, of the domain's summed counts against the rest of its slice, the mean over the slices, with ``lowest`` and
    ``highest``.
    """
    called = {name: of for name, of in _named(slices, matched).items() if of}
    found = []
    for sample, of in called.items():
        if (path := slices[sample] / "markers.tsv").exists():
            table = tables.read_back(path)
            table = table[table["p_adjusted"] <= _ALPHA]
            named = [of.get(name) for name in table["domain"]]
            found.append(table[["gene"]].assign(sample=sample, domain=named).dropna(subset=["domain"]))
    if not found:
        return pd.DataFrame(columns=MARKERS)
    n_marker = pd.concat(found).groupby(["gene", "domain"])["sample"].nunique()
    n_marker = n_marker[n_marker > 1]
    changes = []
    for sample, of in called.items():
        if sample in counts:
            change = matching.fold_changes(counts[sample], _PRIOR)
            change = change.reindex(columns=list(of)).rename(columns=of).rename_axis(columns="domain")
            changes.append(change.stack().reindex(n_marker.index).rename(sample))
    every = pd.concat(changes, axis=1) if changes else pd.DataFrame(index=n_marker.index)
    table = pd.DataFrame(
        {
            "n_slices": every.notna().sum(axis=1),
            "n_marker": n_marker,
            "log_fold_change": every.mean(axis=1),
            "lowest": every.min(axis=1),
            "highest": every.max(axis=1),
        }
    ).reset_index()
    table = table[2 * table["n_marker"] >= table["n_slices"]]
    table["share"] = -table["n_marker"] / table["n_slices"]
    table["order"] = table["domain"].map({name: i for i, name in enumerate(sorted(set(table["domain"]), key=natural))})
    table["size"] = -table["log_fold_change"]
    return table.sort_values(["order", "share", "size", "gene"], kind="stable")[MARKERS].reset_index(drop=True)


def _named(slices: Mapping[str, Path], matched: pd.DataFrame) -> dict[str, dict[str, str]]:
    """Give the cohort's names of each slice's domains, without those that are like none of another slice."""
    called = matching.names(matched)
    return {
        sample: {own: name for own, name in called.get(sample, {}).items() if not name.startswith("own ")}
        for sample in sorted(slices)
    }


def _averaged(table: pd.DataFrame, donor: pd.Series) -> pd.DataFrame:
    """Average pairs × samples over samples of a donor and then over donors."""
    table = table.dropna(how="all")
    values = table.T.groupby(donor[table.columns]).mean().T
    n = values.notna().sum(axis=1)
    mean, error = values.mean(axis=1), values.std(axis=1) / np.sqrt(n)
    known = (n >= FEWEST) & (error > 1e-12)
    half = (error * stats.t.ppf(0.975, (n - 1).clip(lower=1))).where(known)
    tails = 2 * stats.t.sf((mean / error.where(known)).abs(), (n - 1).clip(lower=1))
    p = pd.Series(tails, index=table.index).where(known)
    adjusted = p.copy()
    if known.any():
        adjusted[known] = stats.false_discovery_control(p[known].to_numpy(float))
    figures = {"n": n, "n_slices": table.notna().sum(axis=1), "log2_ratio": mean}
    figures |= {"low": mean - half, "high": mean + half, "p": p, "p_adjusted": adjusted}
    notes = np.where(n < FEWEST, f"fewer than {FEWEST} donors: too few to tell from chance", "")
    found = pd.DataFrame({**figures, "note": notes}).reset_index()
    order = sorted(range(len(found)), key=lambda i: (natural(found["name"][i]), natural(found["neighbour"][i])))
    return found.iloc[order]
