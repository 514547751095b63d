"""Which spots and genes are kept, why the others are not, and in which order they go on."""

from collections.abc import Iterable
from hashlib import blake2b

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from spotfuse import io
from spotfuse._core import tables
from spotfuse._core.errors import InputError
from spotfuse._core.types import Floats, Ints

QC_COLUMNS = ("n_counts", "n_genes", "mt_share")  # of obs
_BLOCK = 50_000  # spots copied at a time


def judge(adata: AnnData, *, min_counts: int = 1, min_genes: int = 1, max_mt_share: float = 1.0) -> pd.DataFrame:
    """Tell which spots are empty, off the tissue or poor, without a copy of the counts.

    Parameters
    ----------
    adata, min_counts, min_genes, max_mt_share
        As for `quality_control`.

    Returns
    -------
    DataFrame with a row for every spot, in their order: spot, n_counts, n_genes, mt_share, kept, reason, x, y.

    Raises
    ------
    InputError
        When none is kept.
    """
    X = adata.X
    n_counts = np.asarray(X.sum(axis=1, dtype=np.float64)).ravel()
    n_genes = np.diff(X.indptr)
    mitochondrial = adata.var_names.str.match(r"(?i)mt[-.]")  # R writes MT.CO1
    mt_counts = np.asarray(X[:, np.flatnonzero(mitochondrial)].sum(axis=1, dtype=np.float64)).ravel()
    mt_share = np.divide(mt_counts, n_counts, out=np.zeros_like(n_counts), where=n_counts > 0)

    failed = {}
    unplaced = ~np.isfinite(adata.obsm["spatial"]).all(axis=1)
    if "in_tissue" in adata.obs:
        in_tissue = io.yes_or_no("obs", adata.obs["in_tissue"]).to_numpy()
        # where all that is said is yes, no is meant elsewhere
        yes_alone = (in_tissue == 1).any() and not (in_tissue == 0).any()
        failed["off tissue"] = (np.isnan(in_tissue) & ~unplaced) if yes_alone else in_tissue == 0
    failed["no coordinates"] = unplaced
    failed["no counts"] = n_counts == 0
    failed[f"fewer than {min_counts} counts"] = (n_counts > 0) & (n_counts < min_counts)
    failed[f"fewer than {min_genes} genes"] = (n_counts > 0) & (n_genes < min_genes)
    failed[f"mitochondrial share above {max_mt_share:g}"] = mt_share > max_mt_share
    reason = np.full(adata.n_obs, "", dtype=object)
    for why, spots in failed.items():
        reason[spots] = [f"{before}; {why}" if before else why for before in reason[spots]]
    kept = reason == ""
    if not kept.any():
        counted = ", ".join(f"{spots.sum()} {why}" for why, spots in failed.items() if spots.any())
        raise InputError(f"quality control leaves no spot of {adata.n_obs} ({counted}); lower its thresholds")

    return pd.DataFrame(
        {
            "spot": adata.obs_names.to_numpy(),
            "n_counts": n_counts,
            "n_genes": n_genes,
            "mt_share": mt_share,
            "kept": kept,
            "reason": reason,
            **dict(zip("xy", adata.obsm["spatial"][:, :2].T, strict=True)),
        }
    )


def quality_control(
    adata: AnnData,
    *,
    min_counts: int = 1,
    min_genes: int = 1,
    max_mt_share: float = 1.0,
    min_spots: int = 3,
) -> tuple[AnnData, pd.DataFrame]:
    """Drop spots that are empty, off the tissue or poor, then genes that next to no spot has.

    Parameters
    ----------
    adata
        Raw counts of shape (n_spots, n_genes), CSR. ``obs['in_tissue']``, when it is there, is 0 off the tissue.
    min_counts, min_genes
        Least counts, and genes with counts, of a spot that is kept; a spot without counts never is.
    max_mt_share
        Largest share of a spot's counts in mitochondrial genes (symbols such as MT-CO1 or MT.CO1, in any case).
    min_spots
        A gene is kept when at least so many of the kept spots have counts of it.

    Returns
    -------
    kept
        The slice without them; `obs` has ``n_counts``, ``n_genes`` and ``mt_share`` of all genes of the input
        (columns that the input has of these names become ``input_…``).
    table
        As `judge` gives it.

    Raises
    ------
    InputError
        When nothing is left.
    """
    X = adata.X
    table = judge(adata, min_counts=min_counts, min_genes=min_genes, max_mt_share=max_mt_share)
    kept = table["kept"].to_numpy()
    present = sparse.csr_matrix((np.ones(X.nnz, np.int8), X.indices, X.indptr), shape=X.shape)
    common = present.T @ kept.astype(np.int32) >= max(min_spots, 1)
    if not common.any():
        raise InputError(f"no gene has counts in {min_spots} spots or more; lower min_spots")
    adata = take(adata, np.flatnonzero(kept), np.flatnonzero(common))
    adata.obs = tables.make_room(adata.obs, QC_COLUMNS)
    for column in QC_COLUMNS:
        adata.obs[column] = table.loc[kept, column].to_numpy()
    return adata, table


def neutral_order(
    values: sparse.csr_matrix,
    columns: Iterable[str],
    names: pd.Index,
    place: Floats | None = None,
) -> Ints:
    """Give the order of rows that what they hold decides, so that nothing else changes what is computed of them.

    Rows go by a hash of their values and the columns' names. Those that hold the same go by their distance from a point
    beside the middle, where the hashes draw it: turning, mirroring, moving and scaling change nothing. Only what lies
    in one place too goes by name.

    Parameters
    ----------
    values
        Of shape (n_rows, n_columns); columns of zeros change nothing, nor does the order of columns.
    columns
        Their names.
    names
        Of the rows.
    place
        Coordinates, of shape (n_rows, 2), where rows are spots.

    Returns
    -------
    Numbers of the rows, of shape (n_rows,).
    """
    hashes = [blake2b(str(name).encode(), digest_size=8).digest() for name in columns]
    of_column = np.frombuffer(b"".join(hashes), dtype="<u8").astype(np.uint64)
    keys = np.empty(values.shape[0], np.uint64)
    for start in range(0, len(keys), _BLOCK):
        block = values[start : start + _BLOCK]
        bits = block.data.astype(np.float32).view(np.uint32).astype(np.uint64)
        bits ^= bits >> 16  # those of small whole numbers end in zeros
        # sums of whole numbers, modulo 2^64, are the same in any order
        keys[start : start + _BLOCK] = sparse.csr_matrix((bits, block.indices, block.indptr), block.shape) @ of_column
    distance = np.zeros(len(keys))
    if place is not None:
        weights = 1 + keys / 2**64
        distance = np.hypot(*(place - weights @ place / weights.sum()).T)
    rows = np.lexsort((distance, keys))
    if ((np.diff(keys[rows]) == 0) & (np.diff(distance[rows]) == 0)).any():
        rows = np.argsort(names.to_numpy(), kind="stable")
        rows = rows[np.lexsort((distance[rows], keys[rows]))]
    return rows


def take(adata: AnnData, spots: Ints, genes: Ints) -> AnnData:
    """Give spots and genes in an order, as a copy, with hardly more memory than the copy itself.

    Parameters
    ----------
    adata
        Counts as CSR of shape (n_spots, n_genes), with ``obs``, ``var``, ``obsm`` and ``uns`` and nothing else.
    spots, genes
        Their numbers, each at most once.

    Returns
    -------
    AnnData of shape (len(spots), len(genes)).
    """
    X = adata.X
    column = np.full(X.shape[1], -1, dtype=X.indices.dtype)
    column[genes] = np.arange(len(genes))
    data, indices = np.empty_like(X.data), np.empty_like(X.indices)
    indptr = np.zeros(len(spots) + 1, dtype=X.indptr.dtype)
    end = 0
    for start in range(0, len(spots), _BLOCK):
        block = X[spots[start : start + _BLOCK]]
        moved = column[block.indices]
        there = moved >= 0
        ends = np.concatenate([[0], np.cumsum(there)])[block.indptr]
        block = sparse.csr_matrix((block.data[there], moved[there], ends), shape=(block.shape[0], len(genes)))
        block.sort_indices()
        data[end : end + block.nnz], indices[end : end + block.nnz] = block.data, block.indices
        indptr[start + 1 : start + 1 + block.shape[0]] = end + ends[1:]
        end += block.nnz
    bare = AnnData(obs=adata.obs, var=adata.var, obsm=dict(adata.obsm), uns=adata.uns)
    taken = bare[spots, genes].copy()
    taken.X = sparse.csr_matrix((data[:end], indices[:end], indptr), shape=taken.shape)
    return taken
