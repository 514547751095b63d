"""The dual encoder: a spatial and a feature branch, fused by attention, learned without labels.

Both branches read averages that are computed once, before training (SGC: Wu et al. 2019, ICML; SIGN: Frasca et al.
2020, arXiv:2004.11198), so that a step is a few small matrix products and any tile of the slice can be a batch. The
contrast is Deep Graph Infomax (Veličković et al. 2019, ICLR) with the mean of a spot's neighbours instead of a global
summary, as in GraphST (Long et al. 2023, Nat Commun 14:1155).
"""

import warnings
from dataclasses import dataclass

import numpy as np
import torch
from anndata import AnnData
from scipy import sparse
from torch import Tensor, nn
from torch.nn import functional

from spotfuse._core import keys
from spotfuse._core.types import Floats, Floats32
from spotfuse.embedding._base import Encoder
from spotfuse.preparation import averaging, tiles


@dataclass(frozen=True)
class Settings:
    """What decides the embedding.

    Attributes
    ----------
    steps
        Of spatial averaging before the encoder; `spotfuse.domains.assign` goes on from there.
    dropout
        Share of the components that a training step leaves out.
    reconstruction, contrast
        Weights of the two terms of the loss.
    tile
        Spots of a training step, at most.
    """

    steps: int = 2
    dropout: float = 0.1
    reconstruction: float = 10.0
    contrast: float = 2.5
    tile: int = 8192


SETTINGS = Settings()


class Spotfuse(Encoder):
    """Dual encoder with linear branches, a gate between them, and a linear decoder.

    Branches and decoder start as the identity, so that training sets out from the averaged components, and seeds
    differ in dropout and corruption rather than in where they start.

    Parameters
    ----------
    spatial
        Components averaged over the tissue, of shape (n_spots, n_components).
    feature
        The same, then averaged over spots with similar expression.
    graph
        Spatial graph.
    place
        Coordinates, to cut tiles.
    seed
        Of weights, dropout and corruption.
    settings
        What else decides the embedding.
    """

    epochs = 100
    learning_rate = 5e-3

    def __init__(
        self,
        spatial: Floats32,
        feature: Floats32,
        graph: sparse.csr_matrix,
        place: Floats,
        seed: int,
        settings: Settings = SETTINGS,
    ) -> None:
        super().__init__()
        self.settings = settings
        n_components = spatial.shape[1]
        self.random = torch.Generator().manual_seed(seed)  # on the CPU, so that every device sees the same numbers
        self.spatial: Tensor
        self.feature: Tensor
        self.register_buffer("spatial", torch.from_numpy(spatial))
        self.register_buffer("feature", torch.from_numpy(feature))
        self.tiles = tiles(place[:, :2], settings.tile)
        for number, tile in enumerate(self.tiles):
            # the tile's own spots count too: a readout of neighbours alone says little where there is one
            inside = averaging(graph[tile][:, tile], self_weight=1 / 7)
            self.register_buffer(f"readout_{number}", _tensor(inside))
            self.register_buffer(f"tile_{number}", torch.from_numpy(tile))
        self.queue: list[int] = []
        self.spatial_branch = nn.Linear(n_components, n_components, bias=False)
        self.feature_branch = nn.Linear(n_components, n_components, bias=False)
        self.gate = nn.Sequential(nn.Linear(n_components, 16), nn.Tanh(), nn.Linear(16, 1, bias=False))
        self.decoder = nn.Linear(n_components, n_components)
        self.agreement = nn.Linear(n_components, n_components)
        for weights in self.parameters():
            if weights.ndim == 2:
                nn.init.xavier_uniform_(weights, generator=self.random)
            else:
                nn.init.zeros_(weights)
        for layer in (self.spatial_branch, self.feature_branch, self.decoder):
            nn.init.eye_(layer.weight)

    @classmethod
    def from_slice(cls, adata: AnnData, seed: int, settings: Settings = SETTINGS) -> "Spotfuse":
        """Average the components of a prepared slice over both graphs, and build the encoder on them."""
        components = adata.obsm[keys.X_PCA]
        spatial = (components / max(float(components[:, 0].std()), 1e-12)).astype(np.float32)
        average = averaging(adata.obsp[keys.SPATIAL_GRAPH], self_weight=0.5)
        for _ in range(settings.steps):
            spatial = average @ spatial
        feature = averaging(adata.obsp[keys.FEATURE_GRAPH], self_weight=0.5) @ spatial
        graph = sparse.csr_matrix(adata.obsp[keys.SPATIAL_GRAPH])
        return cls(spatial, feature, graph, np.asarray(adata.obsm[keys.SPATIAL]), seed, settings)

    def losses(self) -> dict[str, Tensor]:
        """Reconstruction and contrast on the next tile."""
        if not self.queue:
            self.queue = torch.randperm(len(self.tiles), generator=self.random).tolist()
        number = self.queue.pop()
        tile, readout = self.get_buffer(f"tile_{number}"), self.get_buffer(f"readout_{number}")
        spatial, feature = self.spatial[tile], self.feature[tile]
        latent, _ = self._fuse(self._drop(spatial), self._drop(feature))
        shuffled = torch.randperm(len(tile), generator=self.random).to(tile.device)
        corrupted, _ = self._fuse(self._drop(spatial[shuffled]), self._drop(feature[shuffled]))
        contrast = self._contrast(latent, corrupted, readout) + self._contrast(corrupted, latent, readout)
        return {
            "reconstruction": self.settings.reconstruction * functional.mse_loss(self.decoder(latent), spatial),
            "contrast": self.settings.contrast * contrast,
        }

    def embed(self) -> tuple[Tensor, Tensor]:
        """Reconstructed components, and the weights of the two branches."""
        latent, attention = self._fuse(self.spatial, self.feature)
        return self.decoder(latent), attention

    def _fuse(self, spatial: Tensor, feature: Tensor) -> tuple[Tensor, Tensor]:
        views = torch.stack([self.spatial_branch(spatial), self.feature_branch(feature)], dim=1)
        attention = torch.softmax(self.gate(views), dim=1)
        return (attention * views).sum(dim=1), attention[:, :, 0]

    def _contrast(self, latent: Tensor, other: Tensor, readout: Tensor) -> Tensor:
        """Cross-entropy of telling a neighbourhood's own spot from a spot of the other graph."""
        summary = torch.sigmoid(functional.normalize(readout @ latent))
        own = (self.agreement(latent) * summary).sum(dim=1)
        foreign = (self.agreement(other) * summary).sum(dim=1)
        return functional.softplus(-own).mean() + functional.softplus(foreign).mean()

    def _drop(self, values: Tensor) -> Tensor:
        kept = torch.rand(values.shape, generator=self.random) >= self.settings.dropout
        return values * kept.to(values.device) / (1 - self.settings.dropout)


def _tensor(matrix: sparse.csr_matrix) -> Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # torch calls its CSR tensors beta
        return torch.sparse_csr_tensor(
            torch.from_numpy(matrix.indptr.astype(np.int64)),
            torch.from_numpy(matrix.indices.astype(np.int64)),
            torch.from_numpy(matrix.data.astype(np.float32)),
            matrix.shape,
        )
