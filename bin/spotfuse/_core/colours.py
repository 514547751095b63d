"""Colours of domains and other names: the same in reports, plots and h5ad."""

from collections.abc import Sequence

from spotfuse._core.types import Array

# Petroff 2021, arXiv:2107.02270: ten colours told apart by people with and without colour-vision deficiency
_PALETTE = (
    "#3f90da",
    "#ffa90e",
    "#bd1f01",
    "#94a4a2",
    "#832db6",
    "#a96b59",
    "#e76300",
    "#b9ac70",
    "#717581",
    "#92dadd",
)


def palette(n: int) -> list[str]:
    """Give n colours, the first ten told apart by everyone, later ones lighter or darker cousins of them.

    Parameters
    ----------
    n
        How many.

    Returns
    -------
    Colours as ``#rrggbb``; the first ones do not depend on n.
    """
    colours = []
    for i in range(n):
        base = [int(_PALETTE[i % 10][j : j + 2], 16) for j in (1, 3, 5)]
        turn = i // 10
        if turn:
            toward, share = (255, 0.45) if turn % 2 else (0, 0.4)
            share *= 1 - 0.2 * ((turn - 1) // 2 % 3)
            base = [round(c + (toward - c) * share) for c in base]
        colours.append("#{:02x}{:02x}{:02x}".format(*base))
    return colours


def domain_colours(names: Sequence[str]) -> list[str]:
    """Give each domain the colour of its number, whatever other domains there are.

    Parameters
    ----------
    names
        Numbers from 1 as text; other names are coloured by their place.

    Returns
    -------
    A colour a name.
    """
    places = [int(name) - 1 if name.isdecimal() and int(name) else i for i, name in enumerate(names)]
    colours = palette(max(places, default=-1) + 1)
    return [colours[place] for place in places]


def annotation_colours(overlap: Array, domains: Sequence[str]) -> list[str]:
    """Give known classes the colours of the domains that they overlap most, one to one, and the rest others.

    Parameters
    ----------
    overlap
        Spots of each class in each domain, shape (classes, domains).
    domains
        Colours of the domains.

    Returns
    -------
    A colour a class.
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import min_weight_full_bipartite_matching  # scipy.optimize would be 100 modules more

    pairs = min_weight_full_bipartite_matching(csr_array(overlap + 1.0), maximize=True)
    match = dict(zip(*(side.tolist() for side in pairs), strict=True))
    spare = (colour for colour in palette(sum(overlap.shape)) if colour not in set(domains))
    return [domains[match[i]] if i in match else next(spare) for i in range(len(overlap))]
