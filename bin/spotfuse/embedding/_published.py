"""SpatialFusion's encoder with its published equations, on sparse matrices.

Two linear graph convolutions, over spatial neighbours and over spots with correlated expression, are mixed for each
spot by four attention heads; a linear decoder and a contrast with shuffled spots train them. The contrast is GraphST's
(Long et al. 2023, Nat Commun 14:1155), the model's second graph and its attention are SpatialFusion's.

Two things differ from the program that was published with it. A spot averages the 20 spots that it chose as most
similar, not those that chose it (there, spots that nobody chose averaged nothing). And slices of Stereo-seq and
Slide-seq, which end in an error there, get what was meant: rows of the reconstruction scaled to length 1.
"""

import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from anndata import AnnData
from scipy import sparse
from sklearn.neighbors import NearestNeighbors
from torch import Tensor, nn
from torch.nn import functional

from spotfuse.embedding._base import Encoder
from spotfuse.preparation import log_normalised, most_similar

with warnings.catch_warnings():
    # torch says once that its jit, which torch-geometric uses, ages, and twice that its CSR tensors are new
    warnings.simplefilter("ignore")
    from torch_geometric import EdgeIndex

    EdgeIndex([[0], [0]], sparse_size=(1, 1), sort_order="row").matmul(torch.ones(1, 1))

_SPATIAL_NEIGHBORS = 3
_FEATURE_NEIGHBORS = 20
_HEADS = 4
_DROPOUT = 0.1
_CLIP = 10.0  # standard deviations
_BEADS = ("stereo_seq", "slide_seq")  # the published program's "Stereo" and "Slide"


class Published(Encoder):
    """The published dual encoder on one slice.

    Parameters
    ----------
    features
        Scaled expression F, CSR of shape (n_spots, n_genes).
    spatial
        0/1 CSR of shape (n_spots, n_spots): row i has the spots that spot i chose as nearest in the tissue.
    feature
        The same for expression.
    seed
        Of weights, dropout and corruption.
    beads
        Normalise the graphs with self-loops in them and scale the reconstruction's rows to length 1 (published for
        Stereo-seq and Slide-seq), instead of adding the self-loops to the normalised graphs (published for all else).
    n_latent
        Width of the latent embedding, a multiple of 4.
    reconstruction, contrast
        Weights of the two terms of the loss.
    """

    epochs = 600
    learning_rate = 1e-3

    def __init__(
        self,
        features: sparse.csr_matrix,
        spatial: sparse.csr_matrix,
        feature: sparse.csr_matrix,
        seed: int,
        *,
        beads: bool = False,
        n_latent: int = 64,
        reconstruction: float = 10.0,
        contrast: float = 1.0,
    ) -> None:
        super().__init__()
        n_genes, head = features.shape[1], n_latent // _HEADS
        self.random = torch.Generator().manual_seed(seed)  # on the CPU, so that every device sees the same numbers
        self.beads, self.reconstruction, self.contrast = beads, reconstruction, contrast
        self.features = _Sparse(features)
        self.total = float(np.square(features.data, dtype=np.float64).sum())
        own = sparse.identity(features.shape[0], format="csr")
        touching = spatial.maximum(spatial.T)
        if beads:
            self.spatial, self.feature = _Sparse(_normalised(touching + own)), _Sparse(_normalised(feature + own))
        else:
            self.spatial, self.feature = _Sparse(_normalised(touching) + own), _Sparse(_normalised(feature) + own)
        around = spatial + own
        self.readout = _Sparse(sparse.diags(1 / np.asarray(around.sum(axis=1)).ravel()) @ around)

        self.spatial_weights = nn.Parameter(torch.empty(n_genes, n_latent))
        self.feature_weights = nn.Parameter(torch.empty(n_genes, n_latent))
        self.spatial_scale = nn.Parameter(torch.ones(()))
        self.feature_scale = nn.Parameter(torch.ones(()))
        self.attention_hidden = nn.Parameter(torch.empty(_HEADS, n_latent, head))
        self.attention_score = nn.Parameter(torch.empty(_HEADS, head, 1))
        self.output = nn.Parameter(torch.empty(_HEADS * n_latent, n_latent))
        self.output_bias = nn.Parameter(torch.empty(n_latent))
        self.decoder = nn.Parameter(torch.empty(n_latent, n_genes))
        self.agreement = nn.Parameter(torch.empty(n_latent, n_latent))
        self.agreement_bias = nn.Parameter(torch.zeros(()))
        for weights in (
            self.spatial_weights,
            self.feature_weights,
            *self.attention_hidden,
            *self.attention_score,
            self.decoder,
            self.agreement,
        ):
            nn.init.xavier_uniform_(weights, generator=self.random)
        for weights in (self.output, self.output_bias):  # torch's own start of a linear layer
            nn.init.uniform_(weights, -(len(self.output) ** -0.5), len(self.output) ** -0.5, generator=self.random)

    @classmethod
    def from_slice(cls, adata: AnnData, seed: int, *, beads: bool | None = None, **options: Any) -> "Published":
        """Build the encoder on a slice as `spotfuse.preparation.prepare` leaves it.

        Parameters
        ----------
        adata
            Prepared slice: the variable genes of its counts and its coordinates are read, its graphs are not.
        seed
            Of weights, dropout and corruption.
        beads
            By default as ``uns['spotfuse']['platform']`` says.
        options
            Further options of the class.
        """
        if beads is None:
            beads = adata.uns.get("spotfuse", {}).get("platform") in _BEADS
        features = _scaled(log_normalised(adata)[:, adata.var["highly_variable"].to_numpy()])
        place = np.asarray(adata.obsm["spatial"], dtype=np.float64)[:, :2]
        return cls(features, _nearest(place, _SPATIAL_NEIGHBORS), _correlated(features), seed, beads=beads, **options)

    def losses(self) -> dict[str, Tensor]:
        """Reconstruction of the expression, and contrast of each spot's neighbourhood with shuffled spots."""
        latent, _ = self._encode()
        order = torch.randperm(len(latent), generator=self.random).to(latent.device)
        corrupted, _ = self._encode(order)
        # |F - E W|² without the dense n_spots × n_genes matrix
        fitted = (self.features(self.decoder.T) * latent).sum()
        size = ((latent.T @ latent) * self._gram()).sum()
        error = (self.total - 2 * fitted + size) / (len(latent) * self.decoder.shape[1])
        return {
            "reconstruction": self.reconstruction * error,
            "contrast": self.contrast * (self._contrast(latent, corrupted) + self._contrast(corrupted, latent)),
        }

    def embed(self) -> tuple[Tensor, Tensor]:
        """Coordinates of the reconstructed expression, and the weights of the two branches (mean of the heads).

        The published embedding is the reconstruction, n_spots × n_genes and of rank n_latent. The one returned,
        n_spots × n_latent, has the same distances and inner products between spots, hence the same principal
        component scores but for signs.
        """
        latent, attention = self._encode()
        values, vectors = torch.linalg.eigh(self._gram().double())
        root = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
        embedding = latent @ root.to(latent.dtype)
        return functional.normalize(embedding) if self.beads else embedding, attention

    def _encode(self, order: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Latent embedding and attention; with `order`, of the slice whose spots swapped their expression."""
        views = []
        for weights, scale, graph in (
            (self.spatial_weights, self.spatial_scale, self.spatial),
            (self.feature_weights, self.feature_scale, self.feature),
        ):
            projected = self.features(weights, self._drop(self.features.values))
            views.append(scale * graph(projected if order is None else projected[order]))
        both = torch.stack(views, dim=1)
        hidden = torch.tanh(torch.einsum("nvd,hdk->nvhk", both, self.attention_hidden))
        attention = torch.softmax(torch.einsum("nvhk,hk->nvh", hidden, self.attention_score[:, :, 0]), dim=1)
        fused = torch.einsum("nvh,nvd->nhd", attention, both).flatten(1)
        return self._drop(fused) @ self.output + self.output_bias, attention.mean(dim=2)

    def _contrast(self, latent: Tensor, other: Tensor) -> Tensor:
        """Cross-entropy of telling a neighbourhood's own spot from the same place of the other slice."""
        summary = torch.sigmoid(functional.normalize(self.readout(latent)))
        own, foreign = (((x @ self.agreement) * summary).sum(dim=1) + self.agreement_bias for x in (latent, other))
        return (functional.softplus(-own).mean() + functional.softplus(foreign).mean()) / 2

    def _gram(self) -> Tensor:
        return self.decoder @ self.decoder.T

    def _drop(self, values: Tensor) -> Tensor:
        if not self.training:
            return values
        kept = torch.rand(values.shape, generator=self.random) >= _DROPOUT
        return values * kept.to(values.device) / (1 - _DROPOUT)


class _Sparse(nn.Module):
    """A constant sparse matrix, to be multiplied with dense ones that gradients flow through."""

    index: Any  # EdgeIndex, which the type checker takes for a plain tensor
    values: Tensor

    def __init__(self, matrix: sparse.csr_matrix) -> None:
        super().__init__()
        entries = matrix.tocsr().sorted_indices().tocoo()
        index = torch.from_numpy(np.vstack([entries.row, entries.col]).astype(np.int64))
        self.register_buffer("index", EdgeIndex(index, sparse_size=entries.shape, sort_order="row").fill_cache_())
        self.register_buffer("values", torch.from_numpy(entries.data.astype(np.float32)))

    def forward(self, dense: Tensor, values: Tensor | None = None) -> Tensor:
        product: Tensor = self.index.matmul(dense, self.values if values is None else values)
        return product


def _scaled(values: sparse.csr_matrix) -> sparse.csr_matrix:
    """Genes divided by their standard deviation, not centred, clipped from above."""
    n_spots = values.shape[0]
    mean = np.asarray(values.mean(axis=0), dtype=np.float64).ravel()
    square = np.asarray(values.multiply(values).mean(axis=0), dtype=np.float64).ravel()
    deviation = np.sqrt(np.maximum(square - mean**2, 0) * n_spots / (n_spots - 1))
    deviation[deviation == 0] = 1
    scaled = values.copy()
    scaled.data = np.minimum(scaled.data / deviation[scaled.indices], _CLIP).astype(np.float32)
    return scaled


def _normalised(graph: sparse.csr_matrix) -> sparse.csr_matrix:
    scale = sparse.diags(np.asarray(graph.sum(axis=1)).ravel() ** -0.5)
    return sparse.csr_matrix(scale @ graph @ scale)


def _nearest(points: npt.NDArray[np.floating], n_neighbors: int) -> sparse.csr_matrix:
    # without points to look up, the search leaves out each point itself, by its number and not by its rank
    found = NearestNeighbors(n_neighbors=min(n_neighbors, len(points) - 1)).fit(points)
    return sparse.csr_matrix(found.kneighbors_graph())


def _correlated(features: sparse.csr_matrix) -> sparse.csr_matrix:
    """Give each spot the 20 whose expression correlates best with its own."""
    dense = features.toarray()
    dense -= dense.mean(axis=1, keepdims=True)
    chosen = most_similar(dense, _FEATURE_NEIGHBORS)
    rows, ranks = np.nonzero(chosen != np.arange(len(chosen))[:, None])
    return sparse.csr_matrix((np.ones(len(rows)), (rows, chosen[rows, ranks])), shape=(len(chosen), len(chosen)))
