import numpy as np
import pytest
from spotfuse.report._maps import microns

GRID = np.stack(np.meshgrid(np.arange(5.0), np.arange(4.0)), axis=-1).reshape(-1, 2)


@pytest.mark.parametrize(
    ("note", "factors", "found"),
    [
        ({"platform": "visium", "unit": "pixels"}, {"spot_diameter_fullres": 90.0}, 0.5),
        ({"platform": "st", "unit": "unknown"}, {}, 1.0),
        ({"platform": "xenium", "unit": "µm"}, {}, 1.0),
        ({"platform": "stereo_seq", "unit": "DNBs"}, {}, 0.5),
        ({"platform": "visium_hd", "unit": "pixels"}, {"microns_per_pixel": 0.27}, 0.27),
        ({"platform": "cosmx", "unit": "pixels"}, {}, None),
        ({}, {}, None),
    ],
)
def test_the_unit_of_length_is_known_by_the_files_or_the_array(note: dict, factors: dict, found: float | None) -> None:
    assert microns(note, {"library": {"scalefactors": factors}}, 200 * GRID) == found
