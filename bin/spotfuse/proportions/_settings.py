"""What decides proportions and cell types, beside the arguments that users have."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ReferenceSettings:
    """Settings of what is taken from a reference.

    Attributes
    ----------
    made_cells, made_total
        Cells that are made of a type where profiles are given, and their counts where profiles have none.
    made_shape
        Of the gamma distribution that a gene's level in such a cell has.
    least_genes
        Genes that slice and reference must share.
    """

    made_cells: int = 200
    made_total: float = 5000.0
    made_shape: float = 2.0
    least_genes: int = 100


@dataclass(frozen=True)
class ProfileSettings:
    """Settings of profiles, weights of genes and factors of the platform.

    Attributes
    ----------
    size_share
        Share of a type's log size that is believed: library sizes are capture as well as RNA.
    even_totals
        Coefficient of variation of the spots' counts below which spots were scaled to one depth.
    prior_cells
        Weight of the other types in a type's variance.
    between_cells
        Share of the noise of a gene that is laid to differences between cells, not to counting.
    common_noise
        Times the mean gene's: what every gene has besides, so that faint ones do not rule.
    own_noise
        Share of the noise of spots that is their own types'.
    believed
        Share of the log of a platform's factor.
    factor_limit
        Of that log, before: five times more or less.
    """

    size_share: float = 0.5
    even_totals: float = 0.2
    prior_cells: float = 5.0
    between_cells: float = 0.5
    common_noise: float = 0.25
    own_noise: float = 0.9
    believed: float = 0.5
    factor_limit: float = 1.6


@dataclass(frozen=True)
class RegressionSettings:
    """Settings of the method ``attention_regression``.

    Attributes
    ----------
    ridge
        Against two types with one profile; shrinking is the posterior's.
    sharpness
        Temperature of the attention between proportions.
    least_variance
        Of a type that is the same everywhere, in squared shares.
    draws, least_draws, drawn
        Of the posterior, whose mean and spread are used: in large slices fewer, as many as make so many of all spots
        together, but at least so many; and as few to find the probability of a type being there.
    burn_in
        Draws before these, as a share of them.
    present_spots, least_present, most_present
        Spots from which the probability of a type being there is estimated, and its bounds.
    prior_cells
        Cells of a type that all types' count for, in how much its cells differ.
    even_noise
        Share of the noise that is laid to all directions alike.
    parts, part_cells
        Parts of a type in each of the further regressions, at most, and cells that a part has on average, at least.
    most_parts, work
        Parts of all types at most, and spots times squared parts: large slices have fewer.
    sweeps, tolerance
        Of these regressions, near where they start: more change shares, but not their error; and a change of none.
    least_cell, least_share
        What is there at least: this part of a cell, or this share of a spot where that is less.
    other_error
        Variance of a share p beside what draws and methods differ by, in p (1 - p).
    components, basis_cells
        Directions in which cells are compared, and cells, as many of each type, that these are learned from.
    candidates, map_sweeps
        Cells that a spot may be made of in the map of cells, and sweeps over them.
    """

    ridge: float = 1e-6
    sharpness: float = 0.1
    least_variance: float = 1e-8
    draws: int = 60
    least_draws: int = 20
    drawn: float = 1e6
    burn_in: float = 0.4
    present_spots: int = 2000
    least_present: float = 0.005
    most_present: float = 0.95
    prior_cells: float = 3.0
    even_noise: float = 0.25
    parts: tuple[int, ...] = (6, 12)
    part_cells: int = 10
    most_parts: int = 200
    work: float = 4e8
    sweeps: int = 30
    tolerance: float = 1e-5
    least_cell: float = 1 / 16
    least_share: float = 1 / 64
    other_error: float = 0.02
    components: int = 50
    basis_cells: int = 5000
    candidates: int = 64
    map_sweeps: int = 30


@dataclass(frozen=True)
class ClassSettings:
    """Settings of the classes of types that are not told apart.

    Attributes
    ----------
    correlated
        Correlation, with its sign turned, of the doubts about two types' shares, beyond that of any shares that sum to
        1, from which they may be of one class.
    told
        Share of the variance of their difference that is not doubt, from which they are told apart all the same.
    """

    correlated: float = 0.1
    told: float = 0.8


@dataclass(frozen=True)
class CellMappingSettings:
    """Settings of the method ``cell_mapping``.

    Attributes
    ----------
    components
        Of the reference's cells, beside their types' means.
    steps, step
        Of the weights, and their length.
    to_type
        Share of the way from a cell's reconstruction to the mean of its type.
    evenness
        Weight of the relative entropy to the starting weights, times the squared error.
    contrast
        Times the contrast's weight: errors are of weighted shares, not of whole profiles.
    together
        Spots that learn together; contrast is among them.
    least
        Smallest weight that is kept.
    """

    components: int = 100
    steps: int = 150
    step: float = 0.3
    to_type: float = 0.7
    evenness: float = 0.03
    contrast: float = 0.1
    together: int = 1024
    least: float = 1e-6


@dataclass(frozen=True)
class CellTypeSettings:
    """Settings of the types of single cells.

    Attributes
    ----------
    components, component_cells
        Of the reference's cells, in which they are told apart, at most, and cells that a component asks for.
    shrinkage
        Share of the covariance that is laid to equal, independent directions.
    made, made_a_pair
        Doublets that are made of the reference's cells, and of one pair of types, at most.
    false_doublets
        Share of the reference's cells that may be taken for doublets.
    strange
        Share of the reference's cells that are as unlike their type as a cell without one.
    sure
        Probability of the first type below which a cell is unsure.
    judged
        Cells of a type from which half are kept from a discriminant, to be judged by it.
    rounds
        Of the platform's factors and the types, in turn.
    """

    components: int = 200
    component_cells: int = 5
    shrinkage: float = 0.3
    made: int = 20_000
    made_a_pair: int = 20
    false_doublets: float = 0.05
    strange: float = 0.002
    sure: float = 0.5
    judged: int = 4
    rounds: int = 2


@dataclass(frozen=True)
class Settings:
    """Settings of proportions and cell types, by what they are of.

    Attributes
    ----------
    reference, profiles
        What is taken from a reference, and what both methods and the types of single cells make of it.
    regression, cell_mapping
        The methods.
    classes
        Classes of types that are not told apart.
    cell_types
        Types of single cells.
    """

    reference: ReferenceSettings = ReferenceSettings()
    profiles: ProfileSettings = ProfileSettings()
    regression: RegressionSettings = RegressionSettings()
    cell_mapping: CellMappingSettings = CellMappingSettings()
    classes: ClassSettings = ClassSettings()
    cell_types: CellTypeSettings = CellTypeSettings()


SETTINGS = Settings()
