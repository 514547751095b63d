"""What chance alone gives when the spots of a slice change places: exact, without drawing any permutation."""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from spotfuse._core.types import Floats


@dataclass(frozen=True)
class Sums:
    """What of a symmetric matrix without a diagonal decides the first two moments; fields may be arrays.

    Parameters
    ----------
    total
        Sum of its entries.
    squares
        Sum of their squares.
    rows
        Sum of the squares of its rows' sums.
    """

    total: Floats
    squares: Floats
    rows: Floats

    @classmethod
    def of_graph(cls, graph: sparse.csr_matrix) -> "Sums":
        """Take them of a symmetric graph of shape (n_spots, n_spots) without a diagonal."""
        degrees = np.asarray(graph.sum(axis=1), dtype=float).ravel()
        squares = np.square(graph.data, dtype=float).sum()
        return cls(np.asarray(degrees.sum()), np.asarray(squares), np.asarray(np.square(degrees).sum()))


def moments(graph: Sums, pairs: Sums, n_spots: int) -> tuple[Floats, Floats]:
    """Give mean and standard deviation over all permutations of the sum of products of two matrices.

    The sum runs over i and j of ``graph[i, j] * pairs[p(i), p(j)]`` (Mantel 1967, Cancer Res 27:209). With products of
    two spots' centred values as pairs it is Moran's I without its scale; with indicators, a join count.

    Parameters
    ----------
    graph, pairs
        The two matrices' sums.
    n_spots
        Their size, 4 or more.

    Returns
    -------
    Mean and standard deviation, of the shape of the fields; a deviation that is only rounding is 0.
    """
    two = n_spots * (n_spots - 1.0)
    three, four = two * (n_spots - 2), two * (n_spots - 2) * (n_spots - 3)
    mean = graph.total * pairs.total / two
    # pairs of entries that are the same, share one spot, or none
    square = (
        2 * graph.squares * pairs.squares / two
        + 4 * (graph.rows - graph.squares) * (pairs.rows - pairs.squares) / three
        + _apart(graph) * _apart(pairs) / four
    )
    variance = square - mean**2
    return mean, np.sqrt(np.where(variance > 1e-12 * square, variance, 0))


def skewness(graph: sparse.csr_matrix, values: Floats) -> Floats:
    """Give the skewness, over permutations, of Moran's I of values of given skewness, as if drawn independently.

    Parameters
    ----------
    graph
        Symmetric, of shape (n_spots, n_spots), without a diagonal.
    values
        Skewness of the values over the spots.

    Returns
    -------
    Skewness of I, of the same shape: a gene of few spots is that of few joins.
    """
    weights = graph.data.astype(float)
    # of three edges whose spots all occur twice, there is the same edge thrice, and the triangle
    triangles = (graph.astype(float) @ graph).multiply(graph).sum()
    return np.asarray((4 * (weights**3).sum() * values**2 + 8 * triangles) / (2 * (weights**2).sum()) ** 1.5)


def _apart(sums: Sums) -> Floats:
    return np.asarray(sums.total**2 + 2 * sums.squares - 4 * sums.rows)
