"""Cell mapping: which cells of a reference each spot is a mixture of, in the manner of SpatialFusion and GraphST.

An autoencoder learns to reconstruct the reference's cells; each spot then learns weights over candidate cells, a
softmax, so that the mixture of their reconstructions is like the spot (squared error) and more like the spot and its
neighbours in the tissue than like other spots (contrast). Other than as published:

- a spot has weights for its candidates alone, so that nothing has a size of spots × cells;
- a cell's reconstruction is drawn to the mean of its type, since where spot and reference share no cell the labels say
  more of what a cell is than its own few counts;
- weights sum to 1 over a spot's cells, where published ones sum to 1 over a cell's spots, of which there may be few;
- each type's cells start with the same weight together, so that the composition of the reference does not count.

Long et al. 2023, Nature Communications 14:1155 (GraphST), for the mapping by reconstruction and contrast.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from anndata import AnnData
from scipy import sparse
from scipy.sparse.csgraph import reverse_cuthill_mckee
from scipy.sparse.linalg import svds
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]
from torch import Tensor, nn

from spotfuse import io
from spotfuse._core.adam import Adam
from spotfuse._core.errors import InputError
from spotfuse._core.notes import Notes
from spotfuse._core.types import Floats
from spotfuse.proportions import _input, _profiles, _reference
from spotfuse.proportions._settings import SETTINGS, CellMappingSettings, Settings


@dataclass(frozen=True)
class CellMap:
    """What was learned.

    Attributes
    ----------
    weights
        Share of each cell in each spot, sparse, of shape (n_spots, n_cells); rows sum to 1.
    spots, cells, types
        Names of spots and cells, and the cells' types.
    spot_features, cell_features
        Spots, and cells as they are mixed, in one space, of shapes (n_spots, d) and (n_cells, d), float32.
    sizes
        What a cell of each type counts for; 1 where a share of molecules is a share of cells.
    losses
        Mean over spots of ``reconstruction`` and ``contrast`` after each step.
    notes
        What was put right in the input, and what it lacked.
    summary
        What a report needs to know, as plain numbers and text.
    """

    weights: sparse.csr_matrix
    spots: pd.Index
    cells: pd.Index
    types: pd.Categorical
    spot_features: npt.NDArray[np.float32]
    cell_features: npt.NDArray[np.float32]
    sizes: pd.Series
    losses: pd.DataFrame
    notes: list[str]
    summary: dict[str, object]

    def proportions(self, retain: float = 1.0) -> pd.DataFrame:
        """Sum weights by type.

        Parameters
        ----------
        retain
            Share of a spot's candidates, those of the largest weights, that count.

        Returns
        -------
        DataFrame of shape (n_spots, n_types); rows sum to 1
        """
        shares = project(self.weights, self.types, retain) / self.sizes.to_numpy()
        return pd.DataFrame(shares / shares.sum(axis=1, keepdims=True), self.spots, self.types.categories)

    def fit(self) -> pd.DataFrame:
        """Say how well each spot's mixture of cells fits it, whatever its scale.

        Returns
        -------
        DataFrame of n_spots rows: ``residual`` (root mean square) and ``explained`` (share of the sum of squares)
        """
        mixture, spots = self.weights @ self.cell_features.astype(np.float64), self.spot_features.astype(np.float64)
        length = np.sum(mixture**2, axis=1)
        scale = np.sum(mixture * spots, axis=1) / np.where(length > 0, length, 1)
        left, whole = np.sum((spots - scale[:, None] * mixture) ** 2, axis=1), np.sum(spots**2, axis=1)
        explained = 1 - np.divide(left, whole, out=np.ones_like(left), where=whole > 0)
        return pd.DataFrame({"residual": np.sqrt(left / spots.shape[1]), "explained": explained}, self.spots)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Make sums the same on every machine; several threads add in another order, and gain small products no time."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(before)


@_one_thread()
def map_cells(
    st: AnnData,
    sc: AnnData,
    cell_type_key: str = "cell_type",
    *,
    temperature: float = 1.0,
    reconstruction: float = 10.0,
    contrast: float = 1.0,
    n_candidates: int = 256,
    k_neighbors: int = 6,
    epochs: int = 300,
    learning_rate: float = 0.01,
    output: str = "cells",
    max_cells_per_type: int = 1000,
    seed: int = 1,
    device: str | torch.device = "cpu",
    settings: Settings = SETTINGS,
) -> CellMap:
    """Learn which cells a spot is a mixture of.

    Parameters
    ----------
    st, sc
        Slice with raw counts and ``obsm['spatial']``, and reference with labels in ``obs``.
    cell_type_key
        Column of the reference's ``obs``.
    temperature
        Above 0; at which weights come to rest: above 1 they spread over more cells, below 1 over fewer.
    reconstruction, contrast
        Weights of the two losses.
    n_candidates
        Cells that a spot may be made of, at least one of each type.
    k_neighbors
        Spatial neighbours of a spot.
    epochs, learning_rate
        Of the autoencoder.
    output
        ``"cells"``: shares of cells; ``"molecules"``: shares of counts.
    max_cells_per_type
        Of a type with more cells, so many are drawn.
    seed
        Of the autoencoder's weights and of which cells are drawn.
    device
        Where to.
    settings
        What else decides it.

    Returns
    -------
    CellMap
        Weights of shape (n_spots, n_cells), sparse, whose rows sum to 1, and what they were learned from.

    Raises
    ------
    InputError
        For what is not counts, too few shared genes, a missing column, or numbers out of range.
    """
    if not temperature > 0:
        raise InputError(f"temperature is {temperature}; it must be above 0")
    if min(n_candidates, k_neighbors, epochs) < 1:
        raise InputError("n_candidates, k_neighbors and epochs must be at least 1")
    own, notes = settings.cell_mapping, Notes()
    st = io.counts_of(st, "st", notes)
    data = _input.match(
        st,
        _reference.as_reference(sc, cell_type_key, max_cells_per_type=max_cells_per_type, seed=seed),
        settings.reference.least_genes,
    )
    notes += data.notes
    profiles = _profiles.type_profiles(data.cells, data.codes, len(data.types), settings.profiles)
    spots, cells = _profiles.shares(data.counts), _profiles.shares(data.cells)
    weights = _profiles.gene_weights(np.asarray(spots.mean(axis=0)).ravel(), profiles, settings=settings.profiles)
    means = profiles.mean * weights
    basis = _basis(sparse.csr_matrix(cells @ sparse.diags(weights)), means, own.components)
    means = means @ basis.T
    Z, S = (np.asarray(shares @ (weights[:, None] * basis.T)) for shares in (cells, spots))
    rebuilt = _reconstruct(Z - means.mean(axis=0), epochs, learning_rate, seed, device) + means.mean(axis=0)
    Z = (1 - own.to_type) * rebuilt + own.to_type * means[data.codes]
    scale = np.sqrt(np.mean(np.sum(Z**2, axis=1)))
    Z, S = Z / scale, S / scale
    graph = data.neighbours(k_neighbors)
    matrix, losses = _mix(
        S, Z, data.codes, graph, temperature, reconstruction, contrast, n_candidates, torch.device(device), own
    )
    scaled = _profiles.totals_are_even(data.counts, settings.profiles)
    sizes = np.ones(len(data.types)) if scaled or output == "molecules" else profiles.size**settings.profiles.size_share
    return CellMap(
        matrix,
        st.obs_names,
        data.cell_names,
        pd.Categorical.from_codes(data.codes, categories=data.types),
        S.astype(np.float32),
        Z.astype(np.float32),
        pd.Series(sizes, index=data.types),
        losses,
        notes,
        {
            "method": "cell_mapping",
            "output": output,
            "spots_scaled_to_one_depth": scaled,
            **data.summary(),
            "n_candidates": int(np.diff(matrix.indptr).max()),
            "temperature": temperature,
            "loss": {name: float(value) for name, value in losses.iloc[-1].items()},
            "notes": notes,
        },
    )


def project(weights: sparse.spmatrix, types: pd.Categorical, retain: float = 1.0) -> Floats:
    """Sum a map's largest weights by type.

    Parameters
    ----------
    weights
        Of shape (n_spots, n_cells), not negative.
    types
        Type of each cell; cells without one count for nothing.
    retain
        Share of a spot's cells that have a weight, those of the largest, that count.

    Returns
    -------
    Array of shape (n_spots, n_types); rows sum to 1

    Raises
    ------
    InputError
        When `retain` is not above 0 and at most 1.
    """
    if not 0 < retain <= 1:
        raise InputError(f"retain_percent is {retain}; it must be above 0 and at most 1")
    weights = sparse.csr_matrix(weights, dtype=np.float64)
    rows = np.repeat(np.arange(weights.shape[0]), np.diff(weights.indptr))
    order = np.lexsort((weights.indices, -weights.data, rows))
    rank = np.empty(len(rows), np.intp)
    rank[order] = np.arange(len(rows)) - weights.indptr[rows]
    kept = rank < np.ceil(retain * np.diff(weights.indptr))[rows]
    codes = types.codes[weights.indices]
    kept &= codes >= 0
    sums = np.zeros((weights.shape[0], len(types.categories)))
    np.add.at(sums, (rows[kept], codes[kept]), weights.data[kept])
    total = sums.sum(axis=1, keepdims=True)
    return np.where(total > 0, sums / np.where(total > 0, total, 1), 1 / max(sums.shape[1], 1))


def _basis(cells: sparse.csr_matrix, means: Floats, most: int) -> Floats:
    """Directions along which types' means and cells lie, uncentred, of shape (n_directions, n_genes)."""
    n_components = min(most, min(cells.shape) - 1)
    if n_components < 1:
        return np.eye(cells.shape[1])
    _, _, basis = svds(cells, k=n_components, v0=np.ones(min(cells.shape)))
    # spots lie along means of types, which the noise of cells hides where genes are many
    return np.linalg.qr(np.vstack([means, basis]).T)[0].T


def _reconstruct(Z: Floats, epochs: int, learning_rate: float, seed: int, device: str | torch.device) -> Floats:
    """Train an autoencoder on the cells and give their reconstructions."""
    scale = max(float(np.sqrt(np.mean(np.sum(Z**2, axis=1)))), 1e-12)
    width = Z.shape[1]
    random = torch.Generator().manual_seed(seed)
    layers: list[nn.Module] = []
    for before, after in ((width, 64), (64, 32), (32, 64), (64, width)):
        linear = nn.Linear(before, after)
        with torch.no_grad():
            linear.weight.copy_(torch.empty(after, before).uniform_(-1, 1, generator=random) / np.sqrt(before))
            linear.bias.zero_()
        layers += [linear, nn.ReLU()]
    model = nn.Sequential(*layers[:-1]).to(device)
    values = torch.tensor(Z / scale, dtype=torch.float32, device=device)
    optimiser = Adam(model.parameters(), learning_rate)
    for _ in range(epochs):
        ((model(values) - values) ** 2).sum(dim=1).mean().backward()
        optimiser.step()
    with torch.no_grad():
        return np.asarray(model(values).cpu().numpy(), dtype=np.float64) * scale


def _mix(
    S: Floats,
    Z: Floats,
    codes: npt.NDArray[np.intp],
    graph: sparse.csr_matrix,
    temperature: float,
    reconstruction: float,
    contrast: float,
    n_candidates: int,
    device: torch.device,
    settings: CellMappingSettings,
) -> tuple[sparse.csr_matrix, pd.DataFrame]:
    """Learn each spot's weights over its candidates, batches of near spots at a time."""
    n_types = int(codes.max()) + 1
    counts = np.bincount(codes, minlength=n_types)
    unit = Z / np.maximum(np.linalg.norm(Z, axis=1, keepdims=True), 1e-12)
    of_type = [np.flatnonzero(codes == k) for k in range(n_types)]
    a_type = max(n_candidates // n_types, 1)
    # neighbours stand together in this order
    order = np.asarray(reverse_cuthill_mckee(sparse.csr_matrix(graph), symmetric_mode=True))
    place = np.argsort(order)
    cells = torch.tensor(Z, dtype=torch.float32, device=device)
    parts: list[sparse.csr_matrix] = []
    history = np.zeros((settings.steps, 2))
    for first in range(0, len(S), settings.together):
        chosen = order[first : first + settings.together]
        x = S[chosen]
        likeness = x @ unit.T
        # from the most to the least alike, so that candidates are like their type: the most alike alone would make
        # frequent types fit any spot
        candidates = np.hstack(
            [own[np.argsort(-likeness[:, own], axis=1, kind="stable")[:, _evenly(len(own), a_type)]] for own in of_type]
        )
        start = -np.log(np.minimum(counts, a_type) * n_types)[codes[candidates]]
        near = sparse.csr_matrix(graph[chosen][:, chosen] + sparse.eye(len(chosen))).tocoo()
        weights, losses = _learn(
            torch.tensor(x, dtype=torch.float32, device=device),
            cells[torch.as_tensor(candidates, device=device)],
            torch.tensor(start, dtype=torch.float32, device=device),
            torch.as_tensor(np.c_[near.row, near.col].T, device=device, dtype=torch.long),
            temperature,
            reconstruction,
            contrast,
            settings,
        )
        history += losses * len(chosen) / len(S)
        kept = weights >= settings.least
        weights = np.where(kept, weights, 0)
        weights /= weights.sum(axis=1, keepdims=True)
        rows = np.broadcast_to(np.arange(len(chosen))[:, None], kept.shape)[kept]
        parts.append(sparse.csr_matrix((weights[kept], (rows, candidates[kept])), shape=(len(chosen), len(Z))))
    matrix = sparse.csr_matrix(sparse.vstack(parts, format="csr")[place])
    matrix.sort_indices()
    return matrix, pd.DataFrame(history, columns=["reconstruction", "contrast"])


def _evenly(n: int, wanted: int) -> npt.NDArray[np.intp]:
    return np.unique(np.linspace(0, n - 1, min(n, wanted)).round().astype(np.intp))


def _learn(
    x: Tensor,
    z: Tensor,
    start: Tensor,
    near: Tensor,
    temperature: float,
    reconstruction: float,
    contrast: float,
    settings: CellMappingSettings,
) -> tuple[Floats, Floats]:
    """Learn one batch's weights, of shape (n_spots, n_candidates); near has pairs of neighbours, (2, n_pairs)."""
    logits = torch.zeros_like(start, requires_grad=True)
    optimiser = Adam([logits], settings.step)
    unit = nn.functional.normalize(x - x.mean(dim=0), dim=1)
    history = np.zeros((settings.steps, 2))
    for step in range(settings.steps):
        log_weights = torch.log_softmax(logits + start, dim=1)
        weights = log_weights.exp()
        mixture = torch.einsum("nc,ncd->nd", weights, z)
        # whatever the spot's scale, for platforms differ
        scale = (mixture * x).sum(dim=1, keepdim=True) / (mixture**2).sum(dim=1, keepdim=True).clamp_min(1e-12)
        error = ((scale * mixture - x) ** 2).sum(dim=1).mean() + 1e-12
        alike = nn.functional.normalize(mixture - x.mean(dim=0), dim=1) @ unit.T
        positive = torch.zeros(len(x), device=x.device).index_add(0, near[0], alike[near[0], near[1]].exp())
        nce = (torch.logsumexp(alike, dim=1) - positive.log()).mean()
        uneven = (weights * (log_weights - start)).sum(dim=1).mean()
        history[step] = error.item(), nce.item()
        # evenness weighs the same however noisy spots are
        even = temperature * settings.evenness * error.detach() * uneven
        loss = reconstruction * (error + even) + contrast * settings.contrast * nce
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    weights = torch.softmax((logits.detach() / temperature) + start, dim=1)
    return weights.cpu().numpy().astype(np.float64), history
