"""The markers of domains that come again in slice after slice."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from spotfuse import patterns
from spotfuse._core import tables
from spotfuse._core.order import natural
from spotfuse.cohort import _matched_domains
from spotfuse.cohort._settings import SETTINGS, Settings

RECURRING_MARKERS = ["domain", "gene", "n_slices", "n_marker", "log_fold_change", "lowest", "highest"]


def recurring_markers(
    slices: Mapping[str, Path],
    counts: Mapping[str, pd.DataFrame],
    matched: pd.DataFrame,
    settings: Settings = SETTINGS,
) -> pd.DataFrame:
    """Give the genes that mark a domain in one slice after another.

    Parameters
    ----------
    slices
        Folder of each finished slice, by sample.
    counts
        Genes × domains of each slice, by sample, as `spotfuse.cohort.read_counts` gives them.
    matched
        From `spotfuse.cohort`: only domains that are the same in several slices have rows.
    settings
        What makes a gene a marker.

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
            table = table[table["p_adjusted"] <= settings.alpha]
            named = [of.get(name) for name in table["domain"]]
            found.append(table[["gene"]].assign(sample=sample, domain=named).dropna(subset=["domain"]))
    if not found:
        return pd.DataFrame(columns=RECURRING_MARKERS)
    n_marker = pd.concat(found).groupby(["gene", "domain"])["sample"].nunique()
    n_marker = n_marker[n_marker > 1]
    changes = []
    for sample, of in called.items():
        if sample in counts:
            change = patterns.fold_changes(counts[sample], settings.marker_prior)
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
    return table.sort_values(["order", "share", "size", "gene"], kind="stable")[RECURRING_MARKERS].reset_index(
        drop=True
    )


def _named(slices: Mapping[str, Path], matched: pd.DataFrame) -> dict[str, dict[str, str]]:
    """Give the cohort's names of each slice's domains, without those that are like none of another slice."""
    called = _matched_domains.cohort_names(matched)
    return {
        sample: {own: name for own, name in called.get(sample, {}).items() if not name.startswith("own ")}
        for sample in sorted(slices)
    }
