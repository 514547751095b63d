"""Which domains of slices are the same tissue: as they were learned together, or judged by what they express."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd

from spotfuse import patterns
from spotfuse._core import tables
from spotfuse._core.tables import read_back
from spotfuse._core.types import Floats
from spotfuse.cohort._settings import SETTINGS, Settings
from spotfuse.cohort._sheet import Row

_COLUMNS = ["sample", "domain", "matched", "score"]


def read_counts(slices: Mapping[str, Path]) -> dict[str, pd.DataFrame]:
    """Read the summed counts of finished slices.

    Parameters
    ----------
    slices
        Folder of each slice, by sample; those without ``domain_counts.tsv`` are left out.

    Returns
    -------
    Genes × domains by sample, the first row of a gene that has several.
    """
    files = {name: folder / "domain_counts.tsv" for name, folder in sorted(slices.items())}
    return {
        name: tables.read_back(path).drop_duplicates("gene").set_index("gene").astype(np.int32)
        for name, path in files.items()
        if path.exists()
    }


def match_domains(
    counts: Mapping[str, pd.DataFrame], together: Mapping[str, str] | None = None, settings: Settings = SETTINGS
) -> pd.DataFrame:
    """Match the domains of slices one to one.

    Domains of slices that were learned together match by their numbers. Else, two are as alike as their fold changes
    correlate over the genes that differ between domains in both slices: the `n_genes` whose lower rank of the two by
    variance over domains is highest. Sets of domains, of each slice one at most, grow from the most alike (average
    linkage) as long as the mean correlation between two of them is `least_score` or more.

    Parameters
    ----------
    counts
        Genes × domains of each slice, as `read_counts` gives them; the order of slices changes nothing.
    together
        Group of each slice that was learned together with others.
    settings
        How alike domains must be, and by which genes.

    Returns
    -------
    DataFrame with a row for each domain of each slice, sorted: ``sample``, ``domain``, ``matched`` (1…M, the set with
    domains of most slices first, of equals the one of larger domains; the number in the group, where all slices are of
    one; nothing for a domain that is like no other) and
    ``score`` (mean correlation with the set's other domains; of a domain that stays alone the highest with any, if it
    could be compared with any).
    """
    samples = sorted(counts)
    labels = [(name, int(domain)) for name in samples for domain in sorted(counts[name], key=int)]
    if not labels:
        return pd.DataFrame(columns=_COLUMNS)
    alike = np.zeros((len(labels), len(labels)))
    sample = np.array([name for name, _ in labels])
    at = {name: np.flatnonzero(sample == name) for name in samples}
    genes = pd.Index(sorted(set().union(*(counts[name].index for name in samples))))
    laid = {
        name: _laid_out(counts[name][[str(labels[i][1]) for i in at[name]]], genes, settings.matching_prior)
        for name in samples
    }
    for one, other in combinations(samples, 2):
        scores = _correlations(laid[one], laid[other], settings)
        alike[np.ix_(at[one], at[other])] = scores
        alike[np.ix_(at[other], at[one])] = scores.T
    alone = sample[:, None] == sample
    learned = {
        name: ("group", together[name]) if together and name in together else ("slice", name) for name in samples
    }
    start: dict[tuple[tuple[str, str], int], list[int]] = {}
    for i, (name, domain) in enumerate(labels):
        start.setdefault((learned[name], domain), []).append(i)
    if len(set(learned.values())) == 1 < len(samples):
        sets = [start.get((learned[samples[0]], k), []) for k in range(1, max(domain for _, domain in labels) + 1)]
    else:
        grown = _grown(_between(alike, start), list(start.values()), settings.least_score)
        sets = [group for group in grown if len(group) > 1]
        # a slice's domains are numbered by size
        sets.sort(key=lambda group: (-len(group), sum(labels[i][1] for i in group) / len(group), labels[group[0]]))
    number = {i: k for k, group in enumerate(sets, 1) for i in group}
    rows = []
    for i, (name, domain) in enumerate(labels):
        others = [j for j in sets[number[i] - 1] if j != i] if i in number else np.flatnonzero(~alone[i])
        values = alike[i, others]
        values = values if i in number else values[values != 0]  # which were not compared
        score = (values.mean() if i in number else values.max()) if len(values) else np.nan
        rows.append((name, domain, number.get(i), score))
    return pd.DataFrame(rows, columns=_COLUMNS).astype({"matched": "Int64"})


def cohort_names(matched: pd.DataFrame) -> dict[str, dict[str, str]]:
    """Give what the cohort calls the domains of each slice.

    Parameters
    ----------
    matched
        From `match_domains`.

    Returns
    -------
    Name by sample and by the domain's number in its slice: the matched number, or ``own 3`` for a domain 3 that is like
    none of another slice. Empty when no domain is matched: each slice then keeps its own numbers.
    """
    if not matched["matched"].notna().any():
        return {}
    called: dict[str, dict[str, str]] = {}
    for row in matched.itertuples():
        name = f"own {row.domain}" if pd.isna(row.matched) else str(row.matched)
        called.setdefault(str(row.sample), {})[str(row.domain)] = name
    return called


def _laid_out(counts: pd.DataFrame, genes: pd.Index, prior: float) -> tuple[Floats, Floats]:
    """Give fold changes as domains × genes, and each gene's rank by how they vary, 0 to 1; 0 where it is not known."""
    changes = patterns.fold_changes(counts, prior)
    rank = changes.var(axis=1, ddof=0).round(9).rank(pct=True)
    return changes.reindex(genes).fillna(0).to_numpy().T, rank.reindex(genes).fillna(0).to_numpy()


def _correlations(one: tuple[Floats, Floats], other: tuple[Floats, Floats], settings: Settings) -> Floats:
    """Correlate the domains of two slices; 0 where that says nothing."""
    rank = np.minimum(one[1], other[1])
    genes = np.argsort(-rank, kind="stable")[: settings.n_genes]
    genes = genes[rank[genes] > 0]
    if len(genes) < settings.least_genes:
        return np.zeros((len(one[0]), len(other[0])))
    units = []
    for values in (one[0][:, genes], other[0][:, genes]):
        values = values - values.mean(axis=1, keepdims=True)
        length = np.linalg.norm(values, axis=1, keepdims=True)
        units.append(np.divide(values, length, out=np.zeros_like(values), where=length > 1e-9))
    return np.asarray(units[0] @ units[1].T)


def _between(alike: Floats, sets: Mapping[tuple[tuple[str, str], int], list[int]]) -> Floats:
    """Give the mean likeness of sets of domains; minus infinity between those that were learned together."""
    member = np.zeros((len(sets), len(alike)))
    for k, group in enumerate(sets.values()):
        member[k, group] = 1 / len(group)
    learned = [key[0] for key in sets]
    same = np.array([[one == other for other in learned] for one in learned])
    return np.where(same, -np.inf, member @ alike @ member.T)


def _grown(alike: Floats, sets: list[list[int]], least: float) -> list[list[int]]:
    """Merge the most alike sets until none are alike enough; minus infinity: never together."""
    alike = alike.copy()
    sets = [list(group) for group in sets]
    while True:
        i, j = sorted(divmod(int(alike.argmax()), len(alike)))
        if alike[i, j] < least:
            return [sorted(group) for group in sets if group]
        weights = len(sets[i]), len(sets[j])
        alike[i] = alike[:, i] = (weights[0] * alike[i] + weights[1] * alike[j]) / sum(weights)
        alike[j] = alike[:, j] = -np.inf
        alike[i, i] = -np.inf
        sets[i] += sets[j]
        sets[j] = []


def learned_together(sheet: Sequence[Row], slices: Mapping[str, Path]) -> dict[str, str]:
    """Give the group of each finished slice that was learned together with others."""
    steps = {name: read_back(path) for name, folder in slices.items() if (path := folder / "status.tsv").exists()}
    well = {name for name, table in steps.items() if (table["failure"].isna() & (table["step"] == "split_group")).any()}
    return {row["sample"]: row["group"] for row in sheet if row["sample"] in well}
