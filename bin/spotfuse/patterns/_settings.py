"""What decides which genes and neighbours are told, beside the arguments that users have."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """Settings of markers and neighbourhoods.

    Attributes
    ----------
    alpha
        Adjusted p below which a gene is a marker.
    fold
        Times as high as outside that a marker is inside, at least.
    larger
        Share of the spots by which a gene is found in more of them, which also makes it a marker.
    prior
        Counts added to both sides of a fold change, as in the cohort's tables.
    pseudo_edges, pseudo_share
        Added to observed and expected edges, and to shares, so that none is 0.
    """

    alpha: float = 0.05
    fold: float = 1.5
    larger: float = 0.1
    prior: float = 1.0
    pseudo_edges: float = 1.0
    pseudo_share: float = 1e-4


SETTINGS = Settings()
