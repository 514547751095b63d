"""Step 2: which cells of the reference a spot's types are made of.

For one spot x and candidate cells z_c of the types it holds, all weighted per gene,

    minimise over h ≥ 0   ½‖x − Σ h_c z_c‖² + ½λ Σ_k (Σ_{c in k} h_c − v_k)² + ½λ Σ_c (h_c − v_k / n_k)²

by Gauss–Seidel over the cells, many spots at once; then each type's cells are scaled to its proportion. Proportions are
step 1's: where reference and spots share no cell, sums over cells know no better (they are at chance there), and where
they do, finding a cell again says nothing of a slice whose cells are not in the reference.
"""

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.sparse.linalg import svds

Array = npt.NDArray[np.float64]

_COMPONENTS = 50
_CANDIDATES = 64  # cells a spot
_PRESENT = 0.01  # least proportion of a type that gets cells
_SWEEPS = 30
_BATCH = 500


def cell_map(
    spots: sparse.csr_matrix,
    cells: sparse.csr_matrix,
    types: npt.NDArray[np.intp],
    proportions: Array,
    spot_weights: Array,
    cell_weights: Array,
    strength: float,
) -> sparse.csr_matrix:
    """Distribute each spot's proportions over cells.

    Parameters
    ----------
    spots, cells
        Shares of counts, of shapes (n_spots, n_genes) and (n_cells, n_genes).
    types
        Type of each cell.
    proportions
        Of shape (n_spots, n_types); rows sum to 1.
    spot_weights, cell_weights
        Weight of each gene, the cells' with the platform's factors, of shape (n_genes,).
    strength
        λ, relative to the mean squared length of a cell.

    Returns
    -------
    Sparse matrix of shape (n_spots, n_cells); a type's cells sum to its proportion, for types above 1 %.
    """
    weighted = sparse.csr_matrix(cells @ sparse.diags(cell_weights))
    n_components = min(_COMPONENTS, min(weighted.shape) - 1)
    if n_components >= 1:
        _, _, basis = svds(weighted, k=n_components, v0=np.ones(min(weighted.shape)))
        Z, X = np.asarray(weighted @ basis.T), np.asarray(spots @ (spot_weights[:, None] * basis.T))
    else:
        Z, X = weighted.toarray(), np.asarray((spots @ sparse.diags(spot_weights)).todense())
    scale = np.sqrt(np.mean(np.sum(Z**2, axis=1)))
    Z, X = Z / scale, X / scale
    unit = Z / np.maximum(np.linalg.norm(Z, axis=1, keepdims=True), 1e-12)
    n_cells = np.bincount(types, minlength=proportions.shape[1])
    rows, columns, values = [], [], []
    for first in range(0, len(X), _BATCH):
        x, v = X[first : first + _BATCH], proportions[first : first + _BATCH]
        every = np.arange(len(x))[:, None]
        # the most alike cells, of types that are there, as many of a type as its proportion asks for
        likeness = (x @ unit.T) / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
        wanted = np.ceil(v * _CANDIDATES) * (v > _PRESENT)
        rank = np.empty_like(likeness)
        for k in range(v.shape[1]):
            own = np.flatnonzero(types == k)
            order = np.argsort(-likeness[:, own], axis=1, kind="stable")
            rank[every, own[order]] = np.where(np.arange(len(own)) < wanted[:, [k]], np.arange(len(own)), np.inf)
        width = min(int(np.isfinite(rank).sum(axis=1).max(initial=1)), rank.shape[1])
        chosen = np.argsort(rank, axis=1, kind="stable")[:, :width]
        real = np.isfinite(rank[every, chosen])
        z, kind = Z[chosen], types[chosen]
        alike = (kind[:, :, None] == kind[:, None, :]) + np.eye(width)
        gram = np.einsum("bcr,bdr->bcd", z, z) + strength * alike + 1e-9 * np.eye(width)
        share = v[every, kind]
        even = share / n_cells[kind]
        target = np.einsum("bcr,br->bc", z, x) + strength * (share + even)
        H = np.where(real, even, 0)
        for _ in range(_SWEEPS):
            for c in range(width):
                slope = np.einsum("bd,bd->b", gram[:, c], H) - target[:, c]
                H[:, c] = np.where(real[:, c], np.maximum(0, H[:, c] - slope / gram[:, c, c]), 0)
        # a type whose candidates all went to nothing is spread over them evenly
        sums = np.zeros_like(v)
        np.add.at(sums, (np.broadcast_to(every, kind.shape), kind), H)
        lost = real & (sums[every, kind] <= 0)
        H = np.where(lost, 1.0, H)
        sums = np.zeros_like(v)
        np.add.at(sums, (np.broadcast_to(every, kind.shape), kind), H)
        H = np.where(real, H * share / np.where(sums[every, kind] > 0, sums[every, kind], 1), 0)
        kept = H > 0
        rows.append(np.broadcast_to(every + first, H.shape)[kept])
        columns.append(chosen[kept])
        values.append(H[kept])
    index = (np.concatenate(rows), np.concatenate(columns))
    return sparse.csr_matrix((np.concatenate(values), index), shape=(len(X), len(Z)))
