import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score
from spotfuse.domains import _mclust, _mixtures


def test_the_quick_climb_ends_where_mclust_does(overlapping_clusters: tuple[np.ndarray, np.ndarray]) -> None:
    x, labels = overlapping_clusters
    tied = _mclust.fit(x, labels)
    assert tied is not None
    slow = _mclust.loosen(x, tied, 50, tolerance=1e-10)
    start = _mixtures._climb_own(x, tied, 50, tolerance=1e-10)
    assert start is not None and slow is not None
    np.testing.assert_allclose(start, slow.probabilities, atol=1e-4)
    quick = _mclust.loosen(x, tied, 50, start=start)
    assert quick is not None
    assert quick.log_likelihood == pytest.approx(slow.log_likelihood, rel=1e-8)


def test_clusters_that_cannot_be_told_apart_are_merged_first() -> None:
    """Two halves of one cloud go before a small cluster that stands apart; sizes do not decide."""
    rng = np.random.default_rng(1)
    truth = np.repeat([0, 1, 2], [400, 300, 20])
    x = np.array([[0.0, 0.0], [8.0, 0.0], [0.0, 6.0]])[truth] + rng.normal(size=(720, 2))
    halves = np.where((truth == 0) & (x[:, 1] > 0), 3, truth)
    probabilities = np.full((720, 4), 0.01)
    probabilities[np.arange(720), halves] = 0.97
    split = truth == 0
    probabilities[split] = [0.5, 0.0, 0.0, 0.5]
    found = _mixtures.merged(probabilities, 3)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    assert adjusted_rand_score(truth, found.argmax(axis=1)) == 1
    assert _mixtures.merged(probabilities, 4) is probabilities


def test_a_mixture_with_more_clusters_ends_with_as_many_as_asked_for(
    overlapping_clusters: tuple[np.ndarray, np.ndarray],
) -> None:
    x, _ = overlapping_clusters
    for more in (0, 1, 2):
        found = _mixtures.mixture(x, 3, 1, more=more)
        assert found is not None and found.shape == (600, 3)
        assert set(found.argmax(axis=1)) == {0, 1, 2}
    assert _mixtures.mixture(x[:3], 3, 1) is None
