"""What the report advises of quality control."""

import numpy as np
import pytest
from spotfuse.report import _quality


@pytest.fixture
def values() -> dict[str, np.ndarray]:
    """Of 200 spots with some thousand counts, three with ten, and one full of mitochondria."""
    random = np.random.default_rng(0)
    counts = np.concatenate([random.lognormal(8, 0.3, 197), [10, 10, 10]]).round()
    share = random.uniform(0.02, 0.06, 200)
    share[0] = 0.5
    return {"n_counts": counts, "n_genes": (counts / 2).round(), "mt_share": share}


def test_spots_unlike_the_others_are_told_with_the_options_that_drop_them(values):
    found = _quality.advice(values, np.ones(200, bool), {"min_counts": 1, "min_genes": 1, "max_mt_share": 1.0})
    assert [n for _, n in found["found"]] == [3, 3, 1]
    words = dict(zip(*[iter(found["options"].split())] * 2, strict=True))
    assert 10 < int(words["--min_counts"]) < 2500 and 0.06 < float(words["--max_mt_share"]) < 0.2


def test_who_asked_for_thresholds_gets_no_advice(values):
    assert _quality.advice(values, np.ones(200, bool), {"min_counts": 100}) is None


def test_where_no_spot_is_unlike_the_others_none_is_to_be_dropped(values):
    kept = np.arange(200) % 197 > 0
    kept[-3:] = False
    assert _quality.advice(values, kept, {}) == {"found": [], "options": ""}
