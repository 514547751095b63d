"""What lies beside what: which domains touch, and which cell types lie together, more often than chance has it."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from spotfuse._core import keys
from spotfuse._core.types import Floats
from spotfuse.patterns._permutation_moments import Sums, moments
from spotfuse.patterns._settings import SETTINGS, Settings

NEIGHBOURHOODS = ["kind", "name", "neighbour", "observed", "expected", "log2_ratio", "z"]


def neighbourhoods(adata: AnnData, settings: Settings = SETTINGS) -> pd.DataFrame:
    """Compare what lies beside what in a slice with what chance would put there.

    Parameters
    ----------
    adata
        A slice with its spatial graph and, if known, ``obs['domain']`` and ``obsm['proportions']``, a DataFrame or an
        array whose columns ``uns['spotfuse']['cell_types']`` names.
    settings
        What is added so that no ratio is to 0.

    Returns
    -------
    DataFrame with a row for each pair: ``kind``, ``name``, ``neighbour``, ``observed``, ``expected``, ``log2_ratio`` of
    the two, and ``z``.

    domain_contact
        Edges of the spatial graph between two domains; expected is their share of all edges between domains if these
        fell on pairs of domains by their sizes. No z: spots of a domain lie together, and no spot stands for another.
    cell_type_contact
        Chance that cells drawn from two neighbouring spots are of the two types; expected and z over all permutations
        of the spots, whose mixtures stay as they are. Both moments are exact, none is drawn (`spotfuse.patterns`).
    cell_type_in_domain
        Mean proportion of a type in a domain (``neighbour``); expected in the slice; z over all permutations.
    """
    graph = sparse.csr_matrix(adata.obsp[keys.SPATIAL_GRAPH])
    domains = adata.obs[keys.DOMAIN].astype(int).to_numpy() if keys.DOMAIN in adata.obs else None
    frames = [] if domains is None else [_domain_contacts(graph, domains, settings.pseudo_edges)]
    if keys.PROPORTIONS in adata.obsm:
        table = keys.proportions_of(adata)
        types, proportions = list(table), table.to_numpy()
        known = ~np.isnan(proportions).any(axis=1)
        proportions = proportions[known]
        if known.sum() > 3:
            frames.append(_type_contacts(graph[known][:, known], proportions, types, settings.pseudo_share))
            if domains is not None:
                frames.append(_types_in_domains(domains[known], proportions, types, settings.pseudo_share))
    frames = [frame for frame in frames if len(frame)]
    if not frames:
        return pd.DataFrame(columns=NEIGHBOURHOODS)
    return pd.concat(frames, ignore_index=True)[NEIGHBOURHOODS]


def _domain_contacts(graph: sparse.csr_matrix, domains: np.ndarray, pseudo: float) -> pd.DataFrame:
    names, codes = np.unique(domains, return_inverse=True)
    member = sparse.csr_matrix((np.ones(len(codes)), (codes, np.arange(len(codes)))))
    edges = (member @ (graph != 0).astype(float) @ member.T).toarray()
    sizes = np.bincount(codes).astype(float)
    pairs = list(combinations(range(len(names)), 2))
    chances = np.array([sizes[i] * sizes[j] for i, j in pairs])
    observed = np.array([edges[i, j] for i, j in pairs])
    if not observed.sum():
        return pd.DataFrame(columns=NEIGHBOURHOODS)
    expected = observed.sum() * chances / chances.sum()
    return pd.DataFrame(
        {
            "kind": "domain_contact",
            "name": [str(names[i]) for i, _ in pairs],
            "neighbour": [str(names[j]) for _, j in pairs],
            "observed": observed,
            "expected": expected,
            "log2_ratio": np.log2((observed + pseudo) / (expected + pseudo)),
            "z": np.nan,
        }
    )


def _type_contacts(graph: sparse.csr_matrix, shares: Floats, types: Sequence[str], pseudo: float) -> pd.DataFrame:
    if not graph.nnz:
        return pd.DataFrame(columns=NEIGHBOURHOODS)
    i, j = np.triu_indices(len(types))
    found = (shares.T @ (graph @ shares))[i, j]
    inner, total = shares.T @ shares, shares.sum(axis=0)
    squares, rows = np.empty(len(i)), np.empty(len(i))
    for pair, (a, b) in enumerate(zip(i, j, strict=True)):
        own = shares[:, a] * shares[:, b]
        squares[pair] = (inner[a, a] * inner[b, b] + inner[a, b] ** 2) / 2 - (own**2).sum()
        rows[pair] = np.square((shares[:, a] * total[b] + shares[:, b] * total[a]) / 2 - own).sum()
    of_graph = Sums.of_graph(graph)
    of_pairs = Sums(total[i] * total[j] - inner[i, j], squares, rows)
    expected, deviation = moments(of_graph, of_pairs, len(shares))
    z = np.divide(found - expected, deviation, out=np.full(len(i), np.nan), where=deviation > 0)
    # one of each type from either end of an edge, in either order
    weight = np.where(i == j, 1, 2) / of_graph.total
    return _ratios(
        "cell_type_contact",
        [types[a] for a in i.tolist()],
        [types[b] for b in j.tolist()],
        weight * found,
        weight * expected,
        z,
        pseudo,
    )


def _types_in_domains(domains: np.ndarray, shares: Floats, types: Sequence[str], pseudo: float) -> pd.DataFrame:
    n, mean, variance = len(shares), shares.mean(axis=0), shares.var(axis=0, ddof=1)
    frames = []
    for domain in np.unique(domains):
        inside = shares[domains == domain]
        deviation = np.sqrt(variance * (1 / len(inside) - 1 / n))
        observed = inside.mean(axis=0)
        z = np.divide(observed - mean, deviation, out=np.full(len(mean), np.nan), where=deviation > 1e-12)
        frames.append(_ratios("cell_type_in_domain", types, [str(domain)] * len(types), observed, mean, z, pseudo))
    return pd.concat(frames, ignore_index=True)


def _ratios(
    kind: str,
    names: Sequence[str],
    neighbours: Sequence[str],
    observed: Floats,
    expected: Floats,
    z: Floats,
    pseudo: float,
) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "kind": kind,
            "name": names,
            "neighbour": neighbours,
            "observed": observed,
            "expected": expected,
            "log2_ratio": np.log2((observed + pseudo) / (expected + pseudo)),
            "z": z,
        }
    )
