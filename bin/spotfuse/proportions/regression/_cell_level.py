"""Step 2: which cells of the reference a spot's types are made of.

For one spot x and candidate cells z_c of the types it holds, all weighted per gene,

    minimise over h ≥ 0   ½‖x − Σ h_c z_c‖² + ½λ Σ_k (Σ_{c in k} h_c − v_k)² + ½λ Σ_c (h_c − v_k / n_k)²

by Gauss–Seidel over the cells, many spots at once; then each type's cells are scaled to its proportion. Proportions are
step 1's: where reference and spots share no cell, sums over cells know no better (they are at chance there), and where
they do, finding a cell again says nothing of a slice whose cells are not in the reference.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.sparse.linalg import svds

from spotfuse._core.backend import Array
from spotfuse.proportions._profiles import scaled, shares
from spotfuse.proportions._settings import SETTINGS, RegressionSettings

_BATCH = 500


def cell_map(
    spots: sparse.csr_matrix,
    cells: sparse.csr_matrix,
    types: npt.NDArray[np.intp],
    proportions: Array,
    spot_weights: Array,
    cell_weights: Array,
    strength: float,
    threads: int = 1,
    settings: RegressionSettings = SETTINGS.regression,
) -> sparse.csr_matrix:
    """Distribute each spot's proportions over cells.

    Parameters
    ----------
    spots, cells
        Counts, of shapes (n_spots, n_genes) and (n_cells, n_genes).
    types
        Type of each cell.
    proportions
        Of shape (n_spots, n_types); rows sum to 1.
    spot_weights, cell_weights
        Weight of each gene, the cells' with the platform's factors, of shape (n_genes,).
    strength
        λ, relative to the mean squared length of a cell.
    threads
        Batches of spots that are worked on at a time.
    settings
        What else decides it.

    Returns
    -------
    Sparse matrix of shape (n_spots, n_cells); a type's cells sum to its proportion.
    """
    weighted = scaled(shares(cells), columns=cell_weights)
    of_type = [np.flatnonzero(types == k) for k in range(proportions.shape[1])]
    basis = directions(weighted, of_type, settings)
    Z = np.asarray(weighted @ basis.T)
    scale = np.sqrt(np.mean(np.sum(Z**2, axis=1)))
    Z, to_spots = Z / scale, spot_weights[:, None] * basis.T / scale
    unit = Z / np.maximum(np.linalg.norm(Z, axis=1, keepdims=True), 1e-12)
    n_cells = np.array([len(own) for own in of_type])

    def part(first: int) -> sparse.csr_matrix:
        v = proportions[first : first + _BATCH]
        x = np.asarray(shares(spots[first : first + _BATCH]) @ to_spots)
        # as many of a type's cells as its proportion asks for; the smallest of types stay whole
        wanted = np.minimum(np.ceil(v * settings.candidates), n_cells).astype(np.intp)
        cell, real = _side_by_side(_most_alike(x, unit, of_type, wanted), wanted.sum(axis=1))
        kind = types[cell]
        share = np.where(real, np.take_along_axis(v, kind, axis=1), 0)
        H = np.where(real, _weights(x, Z[cell], kind, share, share / n_cells[kind], strength, settings.map_sweeps), 0)
        rows = np.broadcast_to(np.arange(len(x))[:, None], H.shape)

        def of_its_type(values: Array) -> Array:
            place = rows * len(n_cells) + kind
            return np.asarray(np.bincount(place.ravel(), values.ravel(), minlength=v.size)[place])

        # a type whose candidates all went to nothing is spread over them evenly
        H = np.where(real & (of_its_type(H) <= 0), 1.0, H)
        H *= share / np.where(real, of_its_type(H), 1)
        kept = H > 0
        return sparse.csr_matrix((H[kept], (rows[kept], cell[kept])), shape=(len(x), len(Z)))

    with ThreadPoolExecutor(threads) as pool:
        return sparse.csr_matrix(sparse.vstack(list(pool.map(part, range(0, len(proportions), _BATCH))), format="csr"))


def directions(
    weighted: sparse.csr_matrix,
    of_type: list[npt.NDArray[np.intp]],
    settings: RegressionSettings = SETTINGS.regression,
) -> Array:
    """Find the directions along which cells lie, as many cells of each type asked, of shape (n_components, n_genes)."""
    some = np.sort(np.concatenate([own[: settings.basis_cells // len(of_type) + 1] for own in of_type]))
    n_components = min(settings.components, len(some) - 1, weighted.shape[1] - 1)
    if n_components < 1:
        return np.eye(weighted.shape[1])
    return np.asarray(svds(weighted[some], k=n_components, v0=np.ones(min(len(some), weighted.shape[1])))[2])


def _most_alike(
    x: Array, unit: Array, of_type: list[npt.NDArray[np.intp]], wanted: npt.NDArray[np.intp]
) -> Iterator[tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]]:
    """For each type give spots and, one by one, those of its cells that are most alike, as many as wanted."""
    for k, own in enumerate(of_type):
        rows = np.flatnonzero(wanted[:, k])
        if not len(rows):
            continue
        likeness = x[rows] @ unit[own].T
        most = int(wanted[rows, k].max())
        first = np.argpartition(-likeness, most - 1, axis=1)[:, :most]
        order = np.argsort(-np.take_along_axis(likeness, first, axis=1), axis=1, kind="stable")
        chosen = np.arange(most) < wanted[rows, k][:, None]
        yield (
            np.broadcast_to(rows[:, None], chosen.shape)[chosen],
            own[np.take_along_axis(first, order, axis=1)][chosen],
        )


def _side_by_side(
    pairs: Iterator[tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]], numbers: npt.NDArray[np.intp]
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.bool_]]:
    """Lay each spot's cells into a row, and tell which places of the rows are taken."""
    found = [np.concatenate(values) for values in zip(*pairs, strict=True)]
    real = np.arange(max(int(numbers.max(initial=0)), 1)) < numbers[:, None]
    cell = np.zeros(real.shape, np.intp)
    if found:
        cell[real] = found[1][np.argsort(found[0], kind="stable")]
    return cell, real


def _weights(
    x: Array, z: Array, kind: npt.NDArray[np.intp], share: Array, even: Array, strength: float, sweeps: int
) -> Array:
    """Solve for the weights of each spot's cells z, of shape (n_spots, n_cells, n_components), of types `kind`."""
    width = z.shape[1]
    alike = (kind[:, :, None] == kind[:, None, :]) + np.eye(width)
    gram = z @ z.transpose(0, 2, 1) + strength * alike + 1e-9 * np.eye(width)
    gram = gram.transpose(1, 0, 2).copy()  # cells first: a step reads a plane and a row
    target = ((z @ x[:, :, None])[:, :, 0] + strength * (share + even)).T.copy()
    diagonal = np.einsum("cbc->cb", gram)
    H = even.copy()
    for _ in range(sweeps):
        for c in range(width):
            slope = np.einsum("bd,bd->b", gram[c], H) - target[c]
            H[:, c] = np.where(share[:, c] > 0, np.maximum(0, H[:, c] - slope / diagonal[c]), 0)
    return H
