"""What decides the cohort's tables."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """Settings of the comparison of slices.

    Attributes
    ----------
    least_score
        Mean correlation below which domains stay apart.
    n_genes
        Genes that two slices are compared by, at most.
    least_genes
        Of fewer a correlation says nothing: of 30, one by chance reaches the score above in one pair of domains of
        some 4,000.
    matching_prior
        Counts added to both sides of the fold changes by which domains are matched: a gene with fewer in a domain says
        little of it.
    fewest
        Donors on a side that say anything of chance.
    pseudo_share
        Added to every share, so that none is 0.
    alpha
        Adjusted p up to which a gene counts as a slice's marker.
    marker_prior
        Counts added to both sides of a marker's fold change.
    least_count
        Counts of a gene, in as many donors as the smaller side has (Chen et al. 2016, F1000Research 5:1438).
    least_share
        Share of the slices that hold a gene; the others had it in too few spots, and count as without.
    """

    least_score: float = 0.6
    n_genes: int = 500
    least_genes: int = 30
    matching_prior: float = 20.0
    fewest: int = 3
    pseudo_share: float = 1e-3
    alpha: float = 0.05
    marker_prior: float = 1.0
    least_count: int = 10
    least_share: float = 0.75


SETTINGS = Settings()
FEWEST, LEAST_SCORE = SETTINGS.fewest, SETTINGS.least_score  # which the report tells
