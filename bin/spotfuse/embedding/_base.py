"""What all encoders are."""

import logging
from dataclasses import dataclass
from typing import Self

import pandas as pd
import torch
from anndata import AnnData
from torch import Tensor

from spotfuse._core.types import Floats32

log = logging.getLogger(__name__)


class Encoder(torch.nn.Module):
    """An encoder that holds its slice.

    Attributes
    ----------
    epochs, learning_rate, weight_decay
        Of Adam, when nothing else is asked for.
    """

    epochs: int
    learning_rate: float
    weight_decay: float = 0.0

    @classmethod
    def from_slice(cls, adata: AnnData, seed: int) -> Self:
        """Build it on a slice as `spotfuse.preparation.prepare` leaves it; the seed is of all that is drawn."""
        raise NotImplementedError

    def losses(self) -> dict[str, Tensor]:
        """Weighted terms of the loss; their sum is minimised."""
        raise NotImplementedError

    def embed(self) -> tuple[Tensor, Tensor]:
        """Embedding (n_spots, d) and the attention (n_spots, 2) to the spatial and the feature branch."""
        raise NotImplementedError


@dataclass(frozen=True)
class Embedding:
    """What an encoder learned.

    Attributes
    ----------
    values
        Embedding, float32 of shape (n_spots, d).
    attention
        Weight of the spatial and of the feature branch for each spot, float32 of shape (n_spots, 2).
    losses
        Columns ``epoch`` (from 1), ``loss``, then the terms of the encoder.
    """

    values: Floats32
    attention: Floats32
    losses: pd.DataFrame
