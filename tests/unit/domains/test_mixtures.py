import numpy as np
import pytest
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


def test_a_mixture_has_all_clusters_or_is_none(overlapping_clusters: tuple[np.ndarray, np.ndarray]) -> None:
    x, _ = overlapping_clusters
    tied, own = _mixtures.mixture(x, 3, 1, own=True)
    for found in (tied, own):
        assert found is not None and set(found.argmax(axis=1)) == {0, 1, 2}
    assert _mixtures.mixture(x, 3, 1)[1] is None
    assert _mixtures.mixture(x[:3], 3, 1) == (None, None)
