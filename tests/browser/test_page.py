"""The pages as files: no browser needed."""

import html
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from spotfuse._core.colours import domain_colours, palette
from spotfuse.report._maps import Layers, bins_of
from spotfuse.report._page import Pack, percent


def test_a_page_stays_small(large_report: Path):
    assert large_report.stat().st_size < 6e6


def test_a_page_refers_to_nothing_outside(slice_report: Path, cohort_report: Path):
    for report in (slice_report, cohort_report):
        page = html.unescape(re.sub(r"<script.*?</script>", "", report.read_text(), flags=re.DOTALL))
        assert not re.findall(r"""(?:src|srcset|action|data|poster)=["']?(?!data:)(?:https?:)?//""", page)
        assert "default-src 'none'" in page and "unsafe-inline" not in page.split("style-src")[0]
        links = set(re.findall(r'href="([^"]*)"', page))
        assert all(re.match(r"#|data:,|https://doi.org/|\.\./S[12]/report.html|\w+\.tsv$", link) for link in links)


def test_the_same_slice_gives_the_same_page(slice_report: Path, tmp_path: Path, root: Path):
    command = [sys.executable, root / "bin/report_slice.py", "--sample", "S1", "--slice", slice_report.parent]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    assert (tmp_path / "report.html").read_bytes() == slice_report.read_bytes()


@pytest.mark.parametrize("width", [1, 2])
def test_packed_numbers_are_right_to_a_step_and_gaps_stay_gaps(width: int):
    values = np.array([-3.0, 0.1, np.nan, 1e6])
    pack = Pack()
    pack.codes(np.array([1, 2, 3]))
    part = pack.numbers(values, width)
    raw = np.frombuffer(pack._bytes.getvalue()[part["at"] :], f"<u{width}", part["n"])
    steps = 256**width - 2
    found = np.where(raw == 256**width - 1, np.nan, part["lo"] + raw * (part["hi"] - part["lo"]) / steps)
    assert part["at"] % 4 == 0
    assert np.allclose(found, values, atol=(1e6 + 3) / steps, equal_nan=True)
    assert found[3] == values[3]


def test_many_spots_become_few_bins_that_keep_their_means():
    rng = np.random.default_rng(0)
    xy = rng.uniform(0, 1000, (20_000, 2))
    assert bins_of(xy, 20_000) is None
    bins = bins_of(xy, 900)
    assert bins is not None and 450 < bins.max() + 1 <= 900 and set(bins) == set(range(bins.max() + 1))
    layers = Layers(Pack(), bins)
    sizes = np.bincount(bins)
    assert np.isclose((layers.means(xy[:, 0]) * sizes).sum(), xy[:, 0].sum())
    wide = max(np.ptp(xy[bins == k], axis=0).max() for k in range(50))
    assert wide < 60  # a bin is a square of the tissue, about 1000 / √900 wide
    codes = (xy[:, 0] > 500).astype(int)
    agree = layers.most(codes, 2)[bins] == codes
    assert agree.mean() > 0.97
    bins = bins_of(np.column_stack([np.arange(1000.0), np.zeros(1000)]), 100)
    assert bins is not None and bins.max() < 100


def test_colours_do_not_depend_on_how_many_are_asked_for_and_differ():
    assert palette(40)[:12] == palette(12)
    assert len(set(palette(40))) == 40


def test_a_domain_has_the_colour_of_its_number_whatever_others_there_are():
    assert domain_colours(["2", "10", "11"]) == [palette(11)[i] for i in (1, 9, 10)]
    assert domain_colours(["none"]) == palette(1) and domain_colours([]) == []


@pytest.mark.parametrize(
    ("share", "said"), [(0.0, "0 %"), (0.0012, "0.1 %"), (0.0996, "10 %"), (1.0, "100 %"), (None, "–")]
)
def test_shares_are_said_with_two_digits(share: float | None, said: str):
    assert percent(share) == said
