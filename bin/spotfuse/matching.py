"""Which domains of slices are the same tissue: as they were learned together, or judged by what they express."""

from collections.abc import Mapping
from itertools import combinations
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from anndata import AnnData
from scipy import sparse

from spotfuse.preparation import log_normalised

LEAST_SCORE = 0.6  # mean correlation below which domains stay apart
N_GENES = 500  # of a slice's profiles, at most
# profiles that share fewer genes than these are not compared: slices of one tissue share most of them
_LEAST_GENES, _LEAST_SHARED = 20, 0.25
_BLOCK = 50_000  # spots in memory at a time
_COLUMNS = ["sample", "domain", "matched", "score"]

Floats = npt.NDArray[np.float64]


def counts(adata: AnnData, domains: pd.Series) -> pd.DataFrame:
    """Sum the counts of each domain of a slice: what expression is compared by between donors.

    Parameters
    ----------
    adata
        A prepared slice, of shape (n_spots, n_genes).
    domains
        The domain of each spot, indexed by spot.

    Returns
    -------
    DataFrame with a row a gene: ``gene``, then a column a domain.
    """
    member, names = _members(adata, domains)
    sums = (member @ sparse.csr_matrix(adata.X)).toarray().round().astype(np.int64)
    columns = {name: sums[i] for i, name in enumerate(names)}
    return pd.DataFrame({"gene": adata.var_names.astype(str), **columns})


def read_counts(path: Path) -> pd.DataFrame:
    """Read the table of `counts`: genes × domains, the first row of a gene that has several."""
    table = pd.read_csv(path, sep="\t", dtype={"gene": str}, keep_default_na=False)
    return table.drop_duplicates("gene").set_index("gene").astype(np.int32)


def profiles(adata: AnnData, domains: pd.Series, n_genes: int = N_GENES) -> pd.DataFrame:
    """Give what each domain of a slice expresses, in the genes that tell its domains apart most.

    Parameters
    ----------
    adata
        A prepared slice, of shape (n_spots, n_genes).
    domains
        The domain of each spot, indexed by spot.
    n_genes
        Genes that are given, at most.

    Returns
    -------
    DataFrame with a row a gene: ``gene``, then a column a domain with the mean of its log-normalised counts. Genes are
    those variable ones whose means differ most between domains, sorted by name.
    """
    variable = adata.var["highly_variable"].to_numpy(bool)
    member, names = _members(adata, domains)
    sums = np.zeros((len(names), int(variable.sum())))
    for start in range(0, adata.n_obs, _BLOCK):
        rows = slice(start, start + _BLOCK)
        sums += (member[:, rows] @ log_normalised(adata[rows])[:, variable]).toarray()
    means = sums / np.asarray(member.sum(axis=1)).reshape(-1, 1)
    genes = adata.var_names[variable].astype(str)
    best = np.argsort(-means.var(axis=0).round(9), kind="stable")[:n_genes]
    best = best[np.argsort(genes[best], kind="stable")]
    columns = {name: means[i, best] for i, name in enumerate(names)}
    return pd.DataFrame({"gene": genes[best], **columns})


def match(found: Mapping[str, pd.DataFrame], together: Mapping[str, str] | None = None) -> pd.DataFrame:
    """Match the domains of slices one to one.

    Domains of slices that were learned together match by their numbers. Else, two are as alike as their mean profiles
    correlate, each less the mean over its slice's domains, over the genes that both slices' profiles hold. Sets of
    domains, of each slice one at most, grow from the most alike (average linkage) as long as the mean correlation
    between two of them is `LEAST_SCORE` or more.

    Parameters
    ----------
    found
        The `profiles` of each slice, by sample; their order changes nothing.
    together
        Group of each slice that was learned together with others.

    Returns
    -------
    DataFrame with a row for each domain of each slice, sorted: ``sample``, ``domain``, ``matched`` (1…M, the set with
    domains of most slices first, of equals the one of larger domains; the number in the group, where all slices are of
    one; nothing for a domain that is like no other) and
    ``score`` (mean correlation with the set's other domains; of a domain that stays alone the highest with any, if it
    could be compared with any).
    """
    samples = sorted(found)
    tables = {name: found[name].drop_duplicates("gene").set_index("gene") for name in samples}
    labels = [(name, int(domain)) for name in samples for domain in sorted(tables[name], key=int)]
    if not labels:
        return pd.DataFrame(columns=_COLUMNS)
    alike = np.zeros((len(labels), len(labels)))
    sample = np.array([name for name, _ in labels])
    at = {name: np.flatnonzero(sample == name) for name in samples}
    genes = pd.Index(sorted(set().union(*(tables[name].index for name in samples))))
    laid = {name: _laid_out(tables[name][[str(labels[i][1]) for i in at[name]]], genes) for name in samples}
    for one, other in combinations(samples, 2):
        scores = _correlations(laid[one], laid[other])
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
        sets = [group for group in _grown(_between(alike, start), list(start.values())) if len(group) > 1]
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


def of_slices(slices: Mapping[str, Path], together: Mapping[str, str] | None = None) -> pd.DataFrame:
    """Match the domains of finished slices, as `match`.

    Parameters
    ----------
    slices
        Folder of each slice, by sample; those without profiles have no rows.
    together
        As for `match`.

    Returns
    -------
    DataFrame as `match` gives it.
    """
    files = {name: folder / "domain_profiles.tsv" for name, folder in slices.items()}
    return match(
        {
            name: pd.read_csv(path, sep="\t", dtype={"gene": str}, keep_default_na=False)
            for name, path in files.items()
            if path.exists()
        },
        together,
    )


def names(matched: pd.DataFrame) -> dict[str, dict[str, str]]:
    """Give what the cohort calls the domains of each slice.

    Parameters
    ----------
    matched
        From `match`.

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


def _members(adata: AnnData, domains: pd.Series) -> tuple[sparse.csr_matrix, list[str]]:
    """Give which spot is of which domain, as domains × spots, and the domains' names."""
    labels = pd.Categorical(domains.loc[adata.obs_names].astype(int))
    member = sparse.csr_matrix((np.ones(adata.n_obs), (labels.codes, np.arange(adata.n_obs))))
    return member, [str(name) for name in labels.categories]


def _laid_out(table: pd.DataFrame, genes: pd.Index) -> Floats:
    """Give profiles, less their mean, as domains × genes; nan where a gene is not known."""
    values = np.full((table.shape[1], len(genes)), np.nan)
    values[:, genes.get_indexer(table.index)] = table.to_numpy(float).T
    return np.asarray(values - values.mean(axis=0))


def _correlations(one: Floats, other: Floats) -> Floats:
    """Correlate profiles of two slices; 0 where that says nothing."""
    known = np.isfinite(one[0]), np.isfinite(other[0])
    shared = np.flatnonzero(known[0] & known[1])
    if len(shared) < max(_LEAST_GENES, _LEAST_SHARED * min(known[0].sum(), known[1].sum())):
        return np.zeros((len(one), len(other)))
    units = []
    for values in (one[:, shared], other[:, shared]):
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


def _grown(alike: Floats, sets: list[list[int]]) -> list[list[int]]:
    """Merge the most alike sets until none are alike enough; minus infinity: never together."""
    alike = alike.copy()
    sets = [list(group) for group in sets]
    while True:
        i, j = sorted(divmod(int(alike.argmax()), len(alike)))
        if alike[i, j] < LEAST_SCORE:
            return [sorted(group) for group in sets if group]
        weights = len(sets[i]), len(sets[j])
        alike[i] = alike[:, i] = (weights[0] * alike[i] + weights[1] * alike[j]) / sum(weights)
        alike[j] = alike[:, j] = -np.inf
        alike[i, i] = -np.inf
        sets[i] += sets[j]
        sets[j] = []
