"""What decides the domains, beside the arguments that users have."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """Settings of the domains.

    Attributes
    ----------
    scales
        Steps of averaging over the tissue, by each of which the components are divided.
    dimensions
        Numbers of leading components of an average that are clustered.
    many
        Spots from which on all components vote, and each domain has a covariance of its own: below, residuals and the
        encoder follow a few odd spots.
    as_agreed
        Share of the agreement with one covariance: own covariances whose labellings agree less have no vote.
    encoder_steps
        Steps of averaging that an embedding has gone through already.
    told
        Leading components of a spot that its neighbours' domains are to tell.
    starts, most_starts, started_spots
        Of a mixture: at least ``starts``, and in small slices, where it costs little and lets seeds agree, as many as
        together have ``started_spots``, up to ``most_starts``.
    fitted_spots
        Spots to which a mixture is fitted at most, before it is applied to all.
    prior
        Spots a dimension that the common covariance counts for: averaged spots are far from independent.
    power
        Of a labelling's mean agreement with all, which is its weight.
    matched
        Labellings that are tried as the one whose domains count, until none of these is empty.
    least
        Spots of a domain, unless there are too many domains for that.
    strength
        Log-odds that unanimous neighbours give in the refinement.
    refinements
        Steps of the refinement.
    excluded
        Probability below which a domain is as good as excluded, and no vote has to outweigh more.
    intercept, slope, extreme
        Of the confidence, over the log-odds of posteriors of annotated slices (fitted in
        ``benchmarks/domains/confidence.py``), and the posterior beyond which it says no more.
    most_domains, spots_a_domain
        Numbers of domains that `auto` looks at: at most so many, of at least so many spots on average.
    every, curve_starts
        Step from one view to the next of those by which numbers of domains are compared, and starts of their mixtures.
    sure
        Standard errors by which a division has to tell more than none, or else `auto` finds one domain.
    agreed
        Power of the agreement of the labellings in what `auto` makes of a number of domains.
    usual, pull
        Domains that a tissue usually has, and how much `auto` is drawn there.
    """

    scales: tuple[int, ...] = (0, 1, 2, 4, 8, 16)
    dimensions: tuple[int, ...] = (8, 15)
    many: int = 2000
    as_agreed: float = 0.78
    encoder_steps: int = 2
    told: int = 30
    starts: int = 8
    most_starts: int = 16
    started_spots: int = 16_000
    fitted_spots: int = 20_000
    prior: float = 20.0
    power: float = 2.0
    matched: int = 8
    least: int = 3
    strength: float = 2.0
    refinements: int = 10
    excluded: float = 1e-3
    intercept: float = 0.097
    slope: float = 0.355
    extreme: float = 0.01
    most_domains: int = 15
    spots_a_domain: int = 20
    every: int = 2
    curve_starts: int = 3
    sure: float = 3.0
    agreed: float = 1.5
    usual: float = 3.0
    pull: float = 0.3


SETTINGS = Settings()
