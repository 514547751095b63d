"""What decides what a prepared slice holds, beside the arguments that users have."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """Settings of the preparation.

    Attributes
    ----------
    target_sum
        Counts that spots are scaled to before logarithms are taken.
    overdispersion
        Of the negative binomial against which Pearson residuals are taken.
    clip
        Largest standardised value of a gene, in standard deviations.
    covariance_spots
        Enough for a covariance of genes: more only take time.
    array_reach
        Spacings within which spots of an array that came without its columns touch: six on hexagons, eight on squares.
    least_degree
        Neighbours on average; an array of which spots touch fewer others is none.
    too_far
        Times the median edge, beyond which no tissue lies in between.
    feature_smoothing
        Steps of averaging over the tissue before spots are compared by expression.
    n_feature_neighbors
        Spots of similar expression that each spot chooses.
    exact_spots, tile, tiles_searched
        Spots above which these are searched approximately: in tiles of so many spots that lie close, so many tiles for
        each spot, which finds 99 of 100.
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

    target_sum: float = 1e4
    overdispersion: float = 100.0
    clip: float = 10.0
    covariance_spots: int = 30_000
    array_reach: float = 1.5
    least_degree: float = 3.0
    too_far: float = 5.0
    feature_smoothing: int = 4
    n_feature_neighbors: int = 20
    exact_spots: int = 20_000
    tile: int = 512
    tiles_searched: int = 8
    batch_dimensions: int = 15
    batch_neighbors: int = 5
    batch_rounds: int = 10
    batch_still: float = 1e-3
    batch_chance: float = 0.2
    batch_spots: int = 5_000
    batch_others: int = 10_000


SETTINGS = Settings()
