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
    """

    overdispersion: float = 100.0
    clip: float = 10.0
    feature_smoothing: int = 4
    n_feature_neighbors: int = 20


SETTINGS = Settings()
