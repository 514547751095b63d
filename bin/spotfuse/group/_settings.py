"""What decides how slices are joined and laid on each other, beside the arguments that users have."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """Settings of a group of slices.

    Attributes
    ----------
    least_genes, least_shared
        Genes that slices must share to be learned together, and which share of the smaller one's.
    gap
        Of a slice's width, between it and the next where slices stand side by side.
    least_in_common
        Share of its tissue that a slice should have in common with the others. Measured: .93 of neighbouring DLPFC
        slices, .84 where one lacks the white matter; .83 of two mice's cortex, .75 to .80 where one of them lacks a
        sixth of it or less, .57 to .66 where it lacks a quarter or more, .37 to .52 where it is about half or more.
    kinds, repeats
        Kinds of expression by which tissue is compared, and how often they are sought.
    tissue_dimensions, tissue_spots, tissue_others
        Leading components in which kinds are told apart, spots of a slice, and of all, that are looked at.
    components, smoothing
        Components of the expression that slices on each other are compared by, and steps of averaging it.
    units
        Ratio of the spacings of two slices on arrays of one kind, above which their units differ.
    transported, laid, ground
        Pieces of a slice at most: in the transport, and in the fit of the upper and of the lower slice.
    distances
        Weight of distances in the transport; the rest is that of expression.
    masses
        Shares of the smaller slice that are transported: how much slices overlap is not known.
    same_scale
        Difference of two spacings, as a share, up to which slices are of one scale.
    turns
        Degrees from which the fit also starts.
    same_turn
        Degrees: placements that differ by less are one.
    mirrored
        What the score of a mirrored placement counts: many tissues are nearly symmetric.
    reach
        Spacings within which spots of two slices are compared.
    least_touching
        Spots on each other, of which a mean is taken.
    perplexity, mixed_spots
        Effective number of neighbours that tell how slices mix, and spots whose neighbours do, at most.
    """

    least_genes: int = 20
    least_shared: float = 0.25
    gap: float = 0.1
    least_in_common: float = 0.7
    kinds: int = 10
    repeats: int = 3
    tissue_dimensions: int = 15
    tissue_spots: int = 5_000
    tissue_others: int = 10_000
    components: int = 15
    smoothing: int = 4
    units: float = 1.5
    transported: int = 256
    laid: int = 1024
    ground: int = 4096
    distances: float = 0.1
    masses: tuple[float, ...] = (1.0, 0.5, 0.25)
    same_scale: float = 0.02
    turns: tuple[int, ...] = (0, 90, 180, 270)
    same_turn: float = 30
    mirrored: float = 0.95
    reach: float = 3
    least_touching: int = 50
    perplexity: float = 30
    mixed_spots: int = 10_000


SETTINGS = Settings()
