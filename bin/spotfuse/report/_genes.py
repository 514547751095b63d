"""Every gene of a slice in its page: counts where there are any, packed so that the page opens one when it is asked."""

import base64
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from scipy import sparse

from spotfuse._core.types import Array
from spotfuse.report._page import Pack

MOST_ENTRIES = 20_000_000  # counts that a page holds, some 20 MB
TOGETHER = 64  # genes that are packed, and opened, together
_ROWS = 50_000
# what the 256 codes mean: counts up to 128 as they are, larger ones to 2 %
LEVELS = np.concatenate([np.arange(129), 128 * 2 ** (np.arange(1, 128) / 16)])


def pack_genes(
    adata: Any, bins: Array | None, n_points: int, first: Sequence[str], pack: Pack
) -> tuple[dict[str, Any], str]:
    """Pack the counts of all genes, or where they are too many of those that vary the most.

    A gene is the gaps between the points that have it, then their counts. Huffman's code, which is all of gzip that is
    used here, brings both close to their entropy.

    Parameters
    ----------
    adata
        The slice, of shape (n_spots, n_genes); its counts may be on disk.
    bins
        From `bins_of`: counts are summed over the spots of a bin.
    n_points
        Points that the page shows.
    first
        Genes that must be there.
    pack
        Takes what the page reads at once.

    Returns
    -------
    header
        ``names``, and what the page needs to read them.
    text
        A line of base64 for each `TOGETHER` genes.
    """
    held, sums, squares = np.zeros((3, adata.n_vars))
    totals = np.zeros(n_points)
    places = np.arange(adata.n_obs) if bins is None else bins
    for rows, counts in _blocks(adata):
        held += counts.getnnz(axis=0)
        sums += np.asarray(counts.sum(axis=0), float).ravel()
        squares += np.asarray(counts.multiply(counts).sum(axis=0), float).ravel()
        np.add.at(totals, places[rows], np.asarray(counts.sum(axis=1), float).ravel())
    columns = _chosen(adata, held, sums, squares, n_points, first)
    parts: list[sparse.csr_matrix] = []
    for rows, counts in _blocks(adata):
        part = counts[:, columns]
        if bins is not None:
            to_bin = (np.ones(part.shape[0], np.float32), (bins[rows], np.arange(part.shape[0])))
            part = sparse.csr_matrix(to_bin, (n_points, part.shape[0])) @ part
            parts = [parts[0] + part] if parts else [part]
        else:
            parts.append(part)
    values = sparse.csc_matrix(sparse.vstack(parts))
    values.sort_indices()
    lines, splits, units = [], [], np.ones(len(columns))
    for start in range(0, len(columns), TOGETHER):
        gaps, codes = [], []
        for j in range(start, min(start + TOGETHER, len(columns))):
            of_gene = slice(values.indptr[j], values.indptr[j + 1])
            gaps.append(_gaps(values.indices[of_gene]))
            code, units[j] = _codes(values.data[of_gene])
            codes.append(code)
        splits.append(sum(map(len, gaps)))
        huffman = zlib.compressobj(9, zlib.DEFLATED, 31, 9, zlib.Z_HUFFMAN_ONLY)
        raw = huffman.compress(np.concatenate(gaps + codes).tobytes()) + huffman.flush()
        lines.append(base64.b64encode(raw).decode())
    header = {
        "names": list(map(str, adata.var_names[columns])),
        "of": adata.n_vars,
        "held": pack.codes(np.diff(values.indptr)),
        "units": pack.floats(units),
        "totals": pack.floats(totals),
        "splits": splits,
        "together": TOGETHER,
        "levels": LEVELS.round(3).tolist(),
    }
    return header, "\n".join(lines)


def _blocks(adata: Any) -> Iterator[tuple[slice, sparse.csr_matrix]]:
    for start in range(0, adata.n_obs, _ROWS):
        counts = sparse.csr_matrix(adata.X[start : start + _ROWS], dtype=np.float32)
        counts.eliminate_zeros()
        yield slice(start, start + _ROWS), counts


def _chosen(adata: Any, held: Array, sums: Array, squares: Array, n_points: int, first: Sequence[str]) -> Array:
    """Take the genes that must be there, then those with the largest variance to their mean, while there is room."""
    n = adata.n_obs
    variance = squares / n - (sums / n) ** 2
    vary = np.divide(variance, sums / n, out=np.zeros_like(sums), where=sums > 0)
    vary[adata.var_names.isin(first)] = np.inf
    order = np.argsort(-vary, kind="stable")
    fits = np.cumsum(np.minimum(held, n_points)[order]) <= MOST_ENTRIES
    return np.sort(order[fits])


def _gaps(places: Array) -> Array:
    """Give the points between one that has the gene and the next, a byte each; 255 goes on in the next byte."""
    gaps = np.diff(places, prepend=-1) - 1
    longer = gaps // 255
    found = np.full(len(gaps) + int(longer.sum()), 255, np.uint8)
    found[np.cumsum(longer + 1) - 1] = gaps % 255
    return found


def _codes(counts: Array) -> tuple[Array, float]:
    """Give the code of each count, and what 1 is: a count, or where they are no whole numbers a part of the largest."""
    largest = float(counts.max(initial=0))
    whole = largest <= LEVELS[-1] and bool((counts == np.round(counts)).all())
    unit = 1.0 if whole else largest / float(LEVELS[-1])
    between = (LEVELS[1:] + LEVELS[:-1]) / 2
    return np.maximum(np.searchsorted(between, counts / unit), 1).astype(np.uint8), unit
