import logging
import sys

import numpy as np
import pytest
from sklearn.mixture import GaussianMixture
from spotfuse import InputError
from spotfuse.domains import _mclust


def test_same_maximum_as_scikit_learn_from_the_same_start(overlapping_clusters: tuple[np.ndarray, np.ndarray]) -> None:
    x, start = overlapping_clusters
    ours = _mclust.fit(x, start, tolerance=1e-12)
    assert ours is not None

    centres = np.stack([x[start == k].mean(axis=0) for k in range(4)])
    within = sum((x[start == k] - centres[k]).T @ (x[start == k] - centres[k]) for k in range(4)) / len(x)
    theirs = GaussianMixture(
        4,
        covariance_type="tied",
        tol=1e-12,
        max_iter=10_000,
        reg_covar=0,
        weights_init=np.bincount(start) / len(x),
        means_init=centres,
        precisions_init=np.linalg.inv(within),
    ).fit(x)

    assert ours.log_likelihood == pytest.approx(theirs.score(x) * len(x), rel=1e-6)
    assert ours.bic == pytest.approx(-theirs.bic(x), rel=1e-6)
    np.testing.assert_array_equal(ours.labels, theirs.predict(x))
    np.testing.assert_allclose(ours.probabilities, theirs.predict_proba(x), atol=1e-4)
    np.testing.assert_allclose(ours.means, theirs.means_, atol=1e-3)
    np.testing.assert_allclose(ours.covariance, theirs.covariances_, rtol=1e-3)
    np.testing.assert_allclose(ours.weights, theirs.weights_, atol=1e-4)


def test_names_of_the_clusters_do_not_matter_and_two_runs_agree(
    overlapping_clusters: tuple[np.ndarray, np.ndarray],
) -> None:
    x, start = overlapping_clusters
    first, again, renamed = _mclust.fit(x, start), _mclust.fit(x, start), _mclust.fit(x, 10 + 5 * start)
    assert first is not None and again is not None and renamed is not None
    assert first.probabilities.tobytes() == again.probabilities.tobytes() == renamed.probabilities.tobytes()


@pytest.mark.parametrize(
    ("x", "labels"),
    [(np.ones((30, 3)), np.arange(30) % 3), (np.random.default_rng(0).normal(size=(10, 4)), np.arange(10) % 8)],
    ids=["all spots equal", "too few spots"],
)
def test_a_breakdown_is_none_and_silent(
    x: np.ndarray, labels: np.ndarray, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        assert _mclust.fit(x, labels) is None
    assert capfd.readouterr() == ("", "")
    assert caplog.messages == []


@pytest.mark.parametrize("x", [np.ones(4), np.ones((4, 1)), np.ones((5, 2)), np.full((4, 2), np.nan)])
def test_matrices_that_do_not_fit(x: np.ndarray) -> None:
    with pytest.raises(ValueError, match="finite"):
        _mclust.fit(x, np.zeros(4, int))


def test_missing_rpy2_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rpy2", None)
    _mclust._em.cache_clear()
    with pytest.raises(InputError, match=r"r-cran-mclust.*rpy2==3\.5\.17"):
        _mclust.fit(np.eye(4), np.arange(4))


def test_loosened_covariances_are_the_mode_under_their_prior(
    overlapping_clusters: tuple[np.ndarray, np.ndarray],
) -> None:
    x, start = overlapping_clusters
    tied = _mclust.fit(x, start)
    assert tied is not None
    own = _mclust.loosen(x, tied, 50, tolerance=1e-12)
    assert own is not None
    size = own.probabilities.sum(axis=0)
    for k in range(4):
        around = x - own.means[k]
        scatter = (own.probabilities[:, k, None] * around).T @ around
        np.testing.assert_allclose(
            own.covariance[k], (scatter + 50 * tied.covariance) / (size[k] + 50), rtol=1e-4, atol=1e-4
        )
    stiff = _mclust.loosen(x, tied, 1e9)
    assert stiff is not None
    np.testing.assert_allclose(stiff.covariance, np.stack([tied.covariance] * 4), rtol=1e-4)
    np.testing.assert_array_equal(stiff.labels, tied.labels)
