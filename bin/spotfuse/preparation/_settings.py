"""What decides what a prepared slice holds, beside the arguments that users have."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """Settings of the preparation.

    Attributes
    ----------
    overdispersion
        Of the negative binomial against which Pearson residuals are taken.
    clip
        Largest standardised value of a gene, in standard deviations.
    feature_smoothing
        Steps of averaging over the tissue before spots are compared by expression.
    n_feature_neighbors
        Spots of similar expression that each spot chooses.
    batch_dimensions, batch_neighbors
        Of joined slices: leading components in which spots are compared, and others among which one has to be.
    batch_rounds, batch_still
        Steps by which slices move, at most; and one, as a share of the spread of spots, that is none.
    batch_chance
        Share of the spread by which slices of the same tissue may be apart, and stay: .04 to .18 (measured), others .14
        to .5.
    batch_spots, batch_others
        Spots of a slice, and of the others, that are compared.
    """

    overdispersion: float = 100.0
    clip: float = 10.0
    feature_smoothing: int = 4
    n_feature_neighbors: int = 20
    batch_dimensions: int = 15
    batch_neighbors: int = 5
    batch_rounds: int = 10
    batch_still: float = 1e-3
    batch_chance: float = 0.2
    batch_spots: int = 5_000
    batch_others: int = 10_000


SETTINGS = Settings()
