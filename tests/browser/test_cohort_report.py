"""The cohort report, used as its reader would."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

EVIL = '<img src=x onerror="window.ran=1"><script>window.ran=1</script>{{7*7}}'


@pytest.fixture
def page(visit, cohort_report: Path):
    return visit(cohort_report)


def test_failures_stand_first_with_their_reason(page):
    (row,) = page.locator("#failures tbody tr").all_inner_texts()
    assert row.startswith(f"S3\tcheck_slice\tc: no counts {EVIL}\tMend what the reason names")
    above = page.locator("#failures").bounding_box()["y"]
    assert above < page.locator("#slice-table").bounding_box()["y"]


def test_the_table_is_sorted_and_searched_and_links_to_the_slices(page):
    def names() -> list[str]:
        return page.locator("#slice-table tbody tr:visible td:first-child").all_inner_texts()

    assert names() == ["S2", "S1"]
    page.click("#slice-table th:has-text('spots') button")
    assert names() == ["S1", "S2"]
    page.click("#slice-table th:has-text('spots') button")
    assert names() == ["S2", "S1"]
    page.fill("#search", "control")
    assert names() == ["S1"]
    assert page.get_attribute("#slice-table tbody tr:visible a", "href") == "../S1/report.html"
    assert EVIL in page.inner_text("#slice-table")


def picture(page, slice_: int = 0) -> np.ndarray:
    page.wait_for_timeout(200)
    shot = page.locator("#gallery canvas").nth(slice_).screenshot()
    return np.asarray(Image.open(io.BytesIO(shot)).convert("RGB"), int)


def test_slices_that_are_not_matched_share_neither_colours_nor_legend(page):
    page.locator("#tissues").scroll_into_view_if_needed()
    first = picture(page)
    blue = np.abs(first - [0x3F, 0x90, 0xDA]).sum(axis=2) < 30
    width = blue.shape[1]
    assert blue[:, : width // 2].mean() > 0.6 > 0.1 > blue[:, width // 2 + 5 :].mean()
    assert (np.abs(picture(page, 1) - [0x3F, 0x90, 0xDA]).sum(axis=2) < 30).mean() < 0.01
    assert page.locator("#legend .chip").count() == 0
    below = page.locator(".tile .own")
    assert [below.nth(i).inner_text().split() for i in (0, 1)] == [["1", "2", "3"]] * 2
    swatches = page.eval_on_selector_all(".tile .own .swatch", "all => all.map((one) => one.style.background)")
    assert len(set(swatches)) == 6
    for other in ("confidence", "type"):
        page.select_option("#colour", other)
        assert np.abs(picture(page) - first).mean() > 5 and below.first.inner_text() == ""
    before = picture(page)
    page.click("#legend .chip >> nth=1")
    assert np.abs(picture(page) - before).mean() > 5


def test_two_slices_are_chosen_and_drawn_side_by_side(page):
    page.locator("#left-map").scroll_into_view_if_needed()
    assert [page.input_value(f"#{side}") for side in ("left", "right")] == ["S2", "S1"]
    assert page.get_attribute("#right-report", "href") == "../S1/report.html"
    before = page.locator("#right-map").screenshot()
    page.select_option("#right", "S2")
    assert page.get_attribute("#right-report", "href") == "../S2/report.html"
    assert page.locator("#right-map").screenshot() != before


def test_tissues_are_saved_with_their_data(page):
    def save(kind: str) -> bytes:
        with page.expect_download() as download:
            page.click(f"figure[data-figure=tissues] [data-as={kind}]")
        return Path(download.value.path()).read_bytes()

    svg = save("svg").decode()
    assert svg.count("M") == 244 and "#3f90da" in svg and ">S1<" in svg
    assert Image.open(io.BytesIO(save("png"))).width > 800
    rows = [line.split("\t") for line in save("tsv").decode().splitlines()]
    assert rows[0] == ["sample", "x", "y", "domain"]
    assert [[row[0] for row in rows].count(name) for name in ("S1", "S2")] == [100, 144]
    assert {row[3] for row in rows[1:]} == {f"{name}: {domain}" for name in ("S1", "S2") for domain in (1, 2, 3)}


def test_times_memory_scores_and_differences_are_shown_with_their_data(page):
    assert "train\t3 s\t3 s\tS2\t0.1 GB\tS2" in page.locator("figure[data-figure=steps] tr").all_inner_texts()
    scores = page.locator("figure[data-view=agreement]")
    assert scores.count() == 2 and "0.900" in scores.first.text_content()
    cells = [row.split("\t") for row in page.locator("figure[data-figure=differences] tbody tr").all_inner_texts()]
    assert len(cells) == 3 and cells[0][:7] == [
        "cell_type",
        EVIL.replace("ran", "ran2"),
        "condition",
        "case",
        "control",
        "1",
        "1",
    ]
    assert all(row[-1].startswith("only one on a side") and row[8:12] == ["–"] * 4 for row in cells)
    for figure, header in (("steps", "sample\tstep"), ("differences", "kind\tname")):
        with page.expect_download() as download:
            page.click(f"figure[data-figure={figure}] [data-as=tsv]")
        assert Path(download.value.path()).read_text().startswith(header)
    page.select_option("[data-views=agreement]", "1")
    assert scores.nth(1).is_visible() and scores.first.is_hidden()


def test_matched_domains_have_one_colour_and_differences_their_table(visit, matched_report: Path):
    page = visit(matched_report)
    page.locator("#tissues").scroll_into_view_if_needed()
    for slice_ in (0, 4):  # the left half is domain 1 of the one and domain 2 of the other
        shot = picture(page, slice_)
        blue = np.abs(shot - [0x3F, 0x90, 0xDA]).sum(axis=2) < 30
        assert blue[:, : blue.shape[1] // 2].mean() > 0.6 > 0.1 > blue[:, blue.shape[1] // 2 + 5 :].mean()
    assert page.locator("#legend .chip").all_inner_texts() == ["1", "2", "3"]
    assert [text.strip() for text in page.locator(".tile .own").all_inner_texts()] == ["", "", "", "", "3"]
    note = page.locator("#tissues .note").first.inner_text()
    assert "matched" in note and "keeps its own number" in note
    figure = page.locator("figure[data-view=effects]").first
    assert "<b>case against control" in figure.inner_text() and figure.locator("svg circle").count() == 6 * 5 + 6
    rows = [row.split("\t") for row in page.locator("#matched tbody tr").all_inner_texts()]
    assert [cell.split(" ")[0] for cell in rows[0]] == ["M0", "1", "2", "3", "–"]
    assert [cell.split(" ")[0] for cell in rows[4]] == ["M4", "2", "1", "–", "3"]
    cells = [row.split("\t") for row in page.locator("#differences tbody tr").all_inner_texts()]
    assert {(row[0], *row[2:7]) for row in cells} == {
        (kind, "condition", "<b>case", "control", "2", "3") for kind in ("domain", "cell_type")
    }
    assert len(cells) == 6 and all(row[12].startswith("two on a side") for row in cells)
    assert "nothing here can be told from chance" in page.inner_text("#differences .callout")
    assert "nothing here can be told from chance" in page.inner_text("#expression .callout")
    cells = [row.split("\t") for row in page.locator("#expression tbody tr").all_inner_texts()]
    assert len(cells) == 90
    assert all(row[2:5] == ["condition", "<b>case", "control"] and row[10] == "–" for row in cells)
    shared = page.locator("#markers tbody tr").all_inner_texts()
    assert [row.split("\t")[0].strip() for row in shared] == ["1", "2", "3"] and "COX6C (4 of 5)" in shared[0]
    rows = page.locator("figure[data-figure=neighbourhood_differences] tbody tr").all_inner_texts()
    assert {row.split("\t")[0] for row in rows} == {"domain_contact", "cell_type_contact"} and len(rows) == 9
    page.select_option("[data-views=domain_contact]", label="condition <b>case")
    assert "+1.0" in page.locator("figure[data-view=domain_contact]:visible svg").text_content()
    with page.expect_download() as download:
        page.click("figure[data-view=cell_type_contact]:visible [data-as=tsv]")
    assert Path(download.value.path()).read_text().startswith("kind\tname\tneighbour\tcolumn")
    page.select_option("[data-views=domains]", label="condition")
    label = page.locator("figure[data-view=domains]:visible svg").get_attribute("aria-label")
    assert label == "Domains by condition"
    with page.expect_download() as download:
        page.click("figure[data-figure=matched_domains] [data-as=tsv]")
    table = (matched_report.parent / "matched_domains.tsv").read_text().splitlines()
    saved = Path(download.value.path()).read_text().splitlines()
    assert [row.split("\t")[:3] for row in saved] == [row.split("\t")[:3] for row in table] and len(table) == 16


def test_composition_is_shown_by_slice_and_by_condition(page):
    assert page.locator("figure[data-view=cell_types]:visible svg").get_attribute("aria-label").endswith("by slice")
    assert page.locator("[data-views=cell_types]").count() == 0  # each of two slices has a condition of its own


@pytest.mark.parametrize("width", [390, 1280])
def test_it_fits_the_screen(visit, cohort_report: Path, width: int):
    page = visit(cohort_report, width, color_scheme="dark")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    with page.expect_download() as download:
        page.click("figure[data-figure=domains_slice] [data-as=png]")
    assert Image.open(download.value.path()).width > 300
    with page.expect_download() as download:
        page.click("figure[data-figure=domains_slice] [data-as=tsv]")
    rows = [line.split("\t") for line in Path(download.value.path()).read_text().splitlines()]
    assert rows[0] == ["slice", *(f"{name}: {domain}" for name in ("S2", "S1") for domain in (1, 2, 3))]
    assert [row[0] for row in rows[1:]] == ["S2", "S1"]
    assert all(abs(sum(float(share or 0) for share in row[1:]) - 1) < 1e-5 for row in rows[1:])


def test_slices_are_shown_though_their_comparison_failed(visit, uncompared_report: Path):
    page = visit(uncompared_report)
    assert page.locator("#failures tbody tr").all_inner_texts()[-1].startswith("cohort\tcompare_slices\tkilled")
    assert page.locator("#gallery canvas").count() == 1 and page.locator("#composition figure").count() > 0
    assert page.locator("#matched, #differences, #expression, #neighbours, #markers").count() == 0
