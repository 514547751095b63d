"""Tails of distributions and p values together; scipy.stats would be half a second and three hundred modules more."""

import numpy as np
from scipy.special import gammainc, gammaincc, ndtr

from spotfuse._core.types import Floats

_NORMAL = 1.6e-5  # a skewness below which nothing but the normal distribution can be told


def adjusted_p(p: Floats) -> Floats:
    """Adjust p values for their number, by the false discovery rate (Benjamini & Hochberg 1995, JRSS B 57:289).

    Parameters
    ----------
    p
        Of shape (n,), without missing ones.

    Returns
    -------
    ndarray of shape (n,), in the order of `p`.
    """
    order = np.argsort(p)
    found = np.empty(len(p))
    found[order[::-1]] = np.minimum.accumulate((p[order] * (len(p) / np.arange(1.0, len(p) + 1)))[::-1])
    return np.clip(found, 0, 1)


def skewed_tail(z: Floats, skewness: Floats) -> Floats:
    """Give the upper tail of Pearson's distribution of type III with mean 0 and variance 1.

    Parameters
    ----------
    z, skewness
        Of shape (n,).

    Returns
    -------
    ndarray of shape (n,).
    """
    skewed = np.abs(skewness) >= _NORMAL
    beta = 2 / np.where(skewed, skewness, 1.0)
    alpha = beta**2
    place = np.maximum(beta * (z + alpha / beta), 0)  # on the scale of a gamma distribution
    tail = np.where(skewness > 0, gammaincc(alpha, place), gammainc(alpha, place))
    return np.asarray(np.where(skewed, tail, ndtr(-z)), dtype=np.float64)
