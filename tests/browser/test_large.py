"""Half a million spots, and two hundred slices: one file, since each of these reports takes a minute to make."""

import json
from pathlib import Path

from pages import colours, where


def test_half_a_million_spots_make_a_small_page_in_little_memory(huge_report: Path):
    assert huge_report.stat().st_size < 15e6
    assert json.loads((huge_report.parent / "report_slice.json").read_text())["peak_rss_mb"] < 2500


def test_two_hundred_slices_make_a_small_page(wide_cohort_report: Path):
    assert wide_cohort_report.stat().st_size < 10e6


def test_half_a_million_spots_are_drawn_as_bins(visit, huge_report: Path):
    page = visit(huge_report)
    assert "501,264 spots are shown as" in page.inner_text("#tissue")
    assert 20_000 < len(colours(page)) <= 40_000
    shares = [small.split()[-2] for small in page.locator("#legend .chip").all_inner_texts()]
    assert shares == ["50", "30", "20"]
    page.select_option("#layer", "n_counts")
    page.wait_for_function("document.querySelector('#map-title').textContent === 'Counts'")
    page.mouse.move(*where(page, 900))
    page.wait_for_selector(".tip:not([hidden])")
    assert "bin of" in page.inner_text(".tip")


def test_two_hundred_slices_are_shown_and_compared_by_condition(visit, wide_cohort_report: Path):
    page = visit(wide_cohort_report)
    assert page.locator("#gallery a").count() == 200 and page.locator("#slice-table tbody tr").count() == 200
    page.select_option("[data-views=cell_types]", label="condition")
    assert page.locator("figure[data-view=cell_types]:visible svg").get_attribute("aria-label").endswith("condition")
