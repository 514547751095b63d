"""Genes whose expression is not the same everywhere in the tissue."""

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from spotfuse._core import keys
from spotfuse._core.probability import adjusted_p, skewed_tail
from spotfuse._core.types import Floats
from spotfuse.patterns._permutation_moments import Sums, moments, skewness
from spotfuse.preparation import log_normalised

SPATIAL_GENES = ["gene", "morans_i", "z", "p_adjusted", "share"]
_BLOCK = 2_000  # spots whose neighbours' sums are in memory at a time


def spatial_genes(adata: AnnData) -> pd.DataFrame:
    """Rank genes by how alike neighbours are in them: Moran's I (Moran 1950, Biometrika 37:17).

    Its mean and variance over all permutations of the spots are exact (Cliff & Ord 1981, Spatial processes), so that
    nothing is drawn and time grows as spots do. For a gene in few spots the distribution is skewed: p is that of a type
    III of Pearson's (Mielke & Berry 2007, Permutation methods); a normal one finds many genes in a shuffled slice.

    Parameters
    ----------
    adata
        A prepared slice, of shape (n_spots, n_genes).

    Returns
    -------
    DataFrame, highest I first: ``gene``; ``morans_i`` of log-normalised counts on the spatial graph, 0 without a
    pattern and 1 where neighbours are equal; ``z``; ``p_adjusted``, one-sided for likeness, by
    Benjamini & Hochberg (1995, J R Stat Soc B 57:289); ``share`` of the spots that have the gene. Genes
    that are the same everywhere have no row, and none has where fewer than four spots or no two neighbours are.
    """
    graph = sparse.csr_matrix(adata.obsp[keys.SPATIAL_GRAPH], dtype=np.float32)
    n_spots = adata.n_obs
    if n_spots < 4 or not graph.nnz:
        return pd.DataFrame(columns=SPATIAL_GENES)
    values = log_normalised(adata)
    degrees = np.asarray(graph.sum(axis=1), dtype=float).ravel()
    powers, seen, weighted, products = _sums(values, graph, degrees)
    mean, squares, cubes, fourths = powers[1:] / n_spots
    variance = squares - mean**2
    third = cubes - 3 * mean * squares + 2 * mean**3
    fourth = fourths - 4 * mean * cubes + 6 * mean**2 * squares - 3 * mean**4
    varies = variance > 1e-9 * np.maximum(squares, 1e-30)
    of_graph = Sums.of_graph(graph)
    found = (products - 2 * mean * weighted + mean**2 * of_graph.total)[varies]
    spread = n_spots * variance[varies]
    of_pairs = Sums(-spread, spread**2 - n_spots * fourth[varies], n_spots * fourth[varies])
    expected, deviation = moments(of_graph, of_pairs, n_spots)
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.where(deviation > 0, (found - expected) / deviation, 0)
    p = skewed_tail(z, skewness(graph, third[varies] / variance[varies] ** 1.5))
    table = pd.DataFrame(
        {
            "gene": adata.var_names[varies].astype(str),
            "morans_i": n_spots / of_graph.total * found / spread,
            "z": z,
            "p_adjusted": adjusted_p(p) if varies.any() else [],
            "share": seen[varies] / n_spots,
        }
    )
    order = table.assign(morans_i=-table["morans_i"].round(9)).sort_values(["morans_i", "gene"]).index
    return table.loc[order].reset_index(drop=True)


def _sums(values: sparse.csr_matrix, graph: sparse.csr_matrix, degrees: Floats) -> tuple[Floats, ...]:
    """Sum over spots, of each gene: powers, presence, and products with the degree and with the neighbours."""
    n_spots, n_genes = values.shape
    seen, weighted, products = np.zeros((3, n_genes))
    powers = np.zeros((5, n_genes))
    for start in range(0, n_spots, _BLOCK):
        rows = slice(start, start + _BLOCK)
        own = values[rows]
        both = sparse.csr_matrix((graph[rows] @ values).multiply(own))
        products += np.bincount(both.indices, both.data, n_genes)
        seen += np.bincount(own.indices, minlength=n_genes)
        weighted += np.bincount(own.indices, own.data * np.repeat(degrees[rows], np.diff(own.indptr)), n_genes)
        for power in range(1, 5):
            powers[power] += np.bincount(own.indices, own.data.astype(float) ** power, n_genes)
    return powers, seen, weighted, products
