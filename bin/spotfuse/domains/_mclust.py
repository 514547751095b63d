"""Gaussian mixtures by the EM of R's mclust: one covariance for all clusters, or one each, drawn towards it."""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spotfuse._core.errors import MachineError

_INSTALL = (
    "domains need R with its package mclust, and rpy2 3.5.17 in Python; install them, for example by "
    "`apt-get install r-base-core r-cran-mclust` and `pip install rpy2==3.5.17`"
)
# meEEE, meVVV and not their wrapper me, which finds them only when mclust is attached (and then greets the user).
# mclust divides by n_k + dof + d + 2: with this dof, the prior counts as `strength` spots.
_FIT = """
function(x, z, tolerance, common, strength) {
    control <- mclust::emControl(tol = tolerance)
    fit <- if (strength > 0) {
        prior <- list(functionName = function(data, ...) list(
            shrinkage = 0, mean = colMeans(data), dof = strength - ncol(data) - 2, scale = strength * common))
        mclust::meVVV(x, z, prior = prior, control = control, warn = FALSE)
    } else {
        mclust::meEEE(x, z, control = control, warn = FALSE)
    }
    if (is.null(fit) || is.na(fit$loglik)) return(NULL)
    variance <- fit$parameters$variance
    list(log_likelihood = fit$loglik, probabilities = fit$z, weights = fit$parameters$pro,
         means = fit$parameters$mean, covariance = if (strength > 0) variance$sigma else variance$Sigma,
         bic = mclust::bic(if (strength > 0) "VVV" else "EEE", fit$loglik, fit$n, fit$d, fit$G))
}
"""


@dataclass(frozen=True)
class MclustFit:
    """A fitted mixture of K Gaussians, with one covariance (mclust's model EEE) or K of them (VVV).

    Attributes
    ----------
    log_likelihood
        Natural log of the likelihood of all spots.
    labels
        (n,) most probable cluster of each spot, 0…K-1. A cluster that is most probable nowhere does not occur here:
        who needs K occupied clusters must count them.
    probabilities
        (n, K) posterior probabilities, rows sum to 1.
    weights
        (K,) mixing proportions.
    means
        (K, d).
    covariance
        (d, d); of VVV (K, d, d).
    bic
        mclust's sign: twice the log-likelihood minus the penalty, larger is better.
    """

    log_likelihood: float
    labels: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    weights: NDArray[np.float64]
    means: NDArray[np.float64]
    covariance: NDArray[np.float64]
    bic: float


def fit(x: NDArray[np.floating], labels: NDArray[np.integer], *, tolerance: float = 1e-5) -> MclustFit | None:
    """Fit the mixture with one covariance by mclust's EM, started from a partition.

    No random numbers, no hierarchical start: time and memory grow linearly with spots.

    Parameters
    ----------
    x
        (n, d) spots' coordinates in the space to cluster, d ≥ 2.
    labels
        (n,) the partition to start from: one cluster for each distinct value, in ascending order.
    tolerance
        EM stops when the log-likelihood changes by less than this share; the default is mclust's.

    Returns
    -------
    MclustFit or None
        None where EM broke down (singular covariance, a vanishing cluster): try another start.

    Raises
    ------
    MachineError
        R, mclust or rpy2 is not installed.
    ValueError
        `x` and `labels` do not fit together, or `x` is not finite.

    References
    ----------
    Scrucca et al. 2016, The R Journal 8:289 (mclust 5).
    """
    points: NDArray[np.float64] = np.asarray(x, dtype=np.float64)
    if points.ndim != 2 or points.shape[1] < 2 or np.shape(labels) != points.shape[:1] or not np.isfinite(points).all():
        raise ValueError(f"x must be finite and (n, d ≥ 2), labels (n,); got {points.shape} and {np.shape(labels)}")
    clusters, start = np.unique(labels, return_inverse=True)
    return _run(points, np.eye(len(clusters))[start], tolerance, np.eye(points.shape[1]), 0)


def loosen(
    x: NDArray[np.floating],
    tied: MclustFit,
    strength: float,
    *,
    start: NDArray[np.float64] | None = None,
    tolerance: float = 1e-5,
) -> MclustFit | None:
    """Go on from a fit with one covariance, and let every cluster have its own (mclust's VVV with its prior).

    The covariance of a cluster is the mean of its spots' and of the common one, which counts as `strength` spots: the
    mode under an inverse Wishart prior. Small clusters keep the common shape, large ones find theirs.

    Parameters
    ----------
    x
        As it went to `fit`.
    tied
        What `fit` returned for it.
    strength
        Spots that the common covariance counts for, above 0.
    start
        (n, K) probabilities to start from; those of `tied` if not given.
    tolerance
        As in `fit`.

    Returns
    -------
    MclustFit or None
        None where EM broke down.

    References
    ----------
    Fraley & Raftery 2007, Journal of Classification 24:155.
    """
    start = tied.probabilities if start is None else start
    return _run(np.asarray(x, dtype=np.float64), start, tolerance, tied.covariance, strength)


def _run(
    x: NDArray[np.float64],
    z: NDArray[np.float64],
    tolerance: float,
    common: NDArray[np.float64],
    strength: float,
) -> MclustFit | None:
    run = _em()
    from rpy2.rinterface_lib.sexp import NULLType
    from rpy2.robjects import conversion, default_converter, numpy2ri

    with conversion.localconverter(default_converter + numpy2ri.converter):
        result = run(x, z, tolerance, common, strength)
    if isinstance(result, NULLType):
        return None
    found = {name: np.array(value) for name, value in result.items()}
    covariance = found["covariance"]
    return MclustFit(
        log_likelihood=found["log_likelihood"].item(),
        labels=found["probabilities"].argmax(axis=1),
        probabilities=found["probabilities"],
        weights=found["weights"],
        means=found["means"].T,
        covariance=covariance if covariance.ndim == 2 else np.moveaxis(covariance, 2, 0),
        bic=found["bic"].item(),
    )


@cache
def _em() -> Any:
    try:
        from rpy2 import robjects
    except (ImportError, OSError, ValueError) as error:  # rpy2 is not there; libR is not; R's home is unknown
        raise MachineError(_INSTALL) from error
    if not robjects.r('c(suppressWarnings(requireNamespace("mclust", quietly = TRUE)))')[0]:
        raise MachineError(_INSTALL)
    return robjects.r(_FIT)
