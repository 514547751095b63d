"""The slice report, used as its reader would."""

import io
import zipfile
from pathlib import Path
from xml.etree import ElementTree

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from pages import colours, where
from PIL import Image
from spotfuse import patterns
from spotfuse.io import read_annotation

EVIL = '<img src=x onerror="window.ran=1"><script>window.ran=1</script>{{7*7}}'


@pytest.fixture
def page(visit, slice_report: Path):
    return visit(slice_report)


def chosen(page, plot: str = "map") -> list[int] | None:
    return page.evaluate(f"document.querySelector('#{plot}').data[0].selectedpoints ?? null")


def settle(page) -> None:
    page.evaluate("new Promise((done) => requestAnimationFrame(() => setTimeout(done, 150)))")


def test_every_layer_shows_its_own_colours(page):
    options = page.eval_on_selector_all("#layer option", "all => all.map(one => [one.value, one.textContent])")
    assert {"domain", "confidence", "annotation", "attention", "type", "n_counts", "gene:COX6C", "type:eL2/3"} <= {
        value for value, _ in options
    }
    seen = set()
    for value, label in options:
        page.select_option("#layer", value)
        page.wait_for_function("label => document.querySelector('#map-title').textContent === label", arg=label)
        settle(page)
        seen.add(tuple(colours(page)))
        assert colours(page) == colours(page, "side")
    assert len(seen) == len(options)


def test_a_marker_gene_is_bright_where_its_domain_is(page):
    page.fill("#find", "ccnd1")
    page.wait_for_function("document.querySelector('#map-title').textContent === 'CCND1'")
    settle(page)
    bright = np.array([sum(map(int, c[4:-1].split(","))) for c in colours(page)])
    page.select_option("#layer", "domain")
    settle(page)
    domain = np.array(colours(page))
    second = domain == domain[17]  # the last spot of the first row
    assert bright[second].mean() > bright[~second].mean() + 100


def test_hover_names_the_spot_and_says_the_layers_value(page):
    page.select_option("#layer", "type:eL2/3")
    settle(page)
    page.mouse.move(*where(page, 40))
    page.wait_for_selector(".tip:not([hidden])")
    text = page.inner_text(".tip")
    assert "spot40" in text and "domain 1" in text and "eL2/3: 0." in text


def test_a_click_on_a_domain_isolates_it_everywhere_and_escape_undoes_it(page):
    page.mouse.move(*where(page, 104))
    page.wait_for_selector(".tip:not([hidden])")
    page.mouse.down()
    page.mouse.up()
    page.wait_for_function("document.querySelector('#map').data[0].selectedpoints?.length > 0")
    settle(page)
    assert chosen(page) == chosen(page, "side") == [r * 18 + c for r in range(11) for c in range(9, 18)]
    assert page.get_attribute("#legend .chip >> nth=1", "aria-pressed") == "true"
    assert "Domain 2: 99 spots" in page.inner_text("#status")
    page.keyboard.press("Escape")
    settle(page)
    assert chosen(page) is None
    page.click("#legend .chip >> nth=2")
    settle(page)
    assert chosen(page, "side") == [r * 18 + c for r in range(11, 18) for c in range(9, 18)]


def test_a_lasso_in_the_embedding_selects_the_same_spots_in_the_tissue(page):
    page.click("#side .modebar [data-val=select]")
    box = page.locator("#side .nsewdrag").bounding_box()
    page.mouse.move(box["x"] + 5, box["y"] + 5)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] - 5, steps=5)
    page.mouse.up()
    page.wait_for_function("document.querySelector('#map').data[0].selectedpoints?.length > 0")
    some = chosen(page)
    assert 0 < len(some) < 324 and some == chosen(page, "side")
    with page.expect_download() as download:
        page.click("#selected")
    rows = Path(download.value.path()).read_text().splitlines()
    assert len(rows) == len(some) + 1 and rows[1].split("\t")[0] == f"spot{some[0]}"
    page.click("#clear")
    settle(page)
    assert chosen(page) is None


def select(page, corners: tuple[int, int]) -> list[int]:
    """Select the spots of a box on the tissue, from one spot to another."""
    page.click("#map .modebar [data-val=select]")
    (x0, y0), (x1, y1) = (where(page, spot) for spot in corners)
    page.mouse.move(x0 - 6, y0 - 6)
    page.mouse.down()
    page.mouse.move(x1 + 6, y1 + 6, steps=5)
    page.mouse.up()
    page.wait_for_function("document.querySelector('#map').data[0].selectedpoints?.length > 0")
    settle(page)
    return chosen(page)


def test_a_selection_tells_its_genes_and_is_kept_as_an_annotation(page, tmp_path: Path):
    some = select(page, (9, 9 * 18 + 17))  # all of it in domain 2
    assert len(some) == 90
    assert "domain 2 100 %" in page.inner_text("#status") and "B cell" in page.inner_text("#status")
    page.click("#selection-genes")
    page.wait_for_selector("#selection-table tbody tr")
    first = page.locator("#selection-table tbody tr").first.inner_text().split()
    assert first[0] == "CCND1" and float(first[1]) > 2 and float(first[2]) > 0.9
    saved = pd.read_csv(io.BytesIO(save(page, "#selection-save")), sep="\t", keep_default_na=False)
    assert saved["gene"][0] == "CCND1"
    page.fill("#region-name", EVIL)
    page.press("#region-name", "Enter")
    page.keyboard.press("Escape")
    settle(page)
    assert page.locator("#selection").is_hidden()
    select(page, (14 * 18 + 12, 16 * 18 + 16))
    page.fill("#region-name", "tumour")
    page.click("#region-keep")
    (tmp_path / "regions.tsv").write_bytes(save(page, "#regions-save"))
    known = read_annotation("slice.h5ad", str(tmp_path / "regions.tsv"))
    assert dict(known.value_counts()) == {EVIL: 90, "tumour": 15} and known["spot9"] == EVIL
    page.click("#regions button:has-text('tumour')")
    settle(page)
    assert len(chosen(page)) == 15


def test_the_genes_of_a_domain_s_spots_are_its_markers(page, slice_report: Path):
    adata = ad.read_h5ad(slice_report.parent / "S1.h5ad")
    page.click("#legend .chip >> nth=1")
    page.click("#selection-genes")
    page.wait_for_selector("#selection-table tbody tr")
    found = pd.read_csv(io.BytesIO(save(page, "#selection-save")), sep="\t", keep_default_na=False).set_index("gene")
    markers = patterns.markers(adata, adata.obs["domain"].astype(str)).query("domain == 2").set_index("gene")
    assert list(found.index[: len(markers)]) == list(markers.index)
    np.testing.assert_allclose(found.loc[markers.index], markers[list(found)], rtol=1e-3)


def test_the_hint_tells_all_of_a_spot_goes_on_escape_and_is_not_printed(page):
    page.mouse.move(*where(page, 40))
    page.wait_for_selector(".tip:not([hidden])")
    text = page.inner_text(".tip")
    assert "annotation: L1" in text and "x 500, y 300" in text and "B cell" in text and "%" in text
    page.keyboard.press("Escape")
    assert page.locator(".tip").is_hidden()
    page.mouse.move(*where(page, 41))
    page.wait_for_selector(".tip:not([hidden])")
    page.pdf()
    printed = page.evaluate(
        """[...document.styleSheets].flatMap((sheet) => [...sheet.cssRules])
        .filter((rule) => rule.media?.mediaText === 'print').flatMap((rule) => [...rule.cssRules])
        .filter((rule) => rule.style?.display === 'none').map((rule) => rule.selectorText).join()"""
    )
    assert ".tip" in printed


def test_a_second_map_follows_the_zoom_of_the_first(page):
    page.select_option("#beside", "n_counts")
    page.wait_for_function(
        "document.querySelector('#side').data[0].y[5] === document.querySelector('#map').data[0].y[5]"
    )
    settle(page)
    assert colours(page) != colours(page, "side")
    before = page.evaluate("document.querySelector('#map').data[0].marker.size")
    (x0, y0), (x1, y1) = where(page, 18 * 3 + 3), where(page, 18 * 9 + 9)
    page.mouse.move(x0, y0)
    page.mouse.down()
    page.mouse.move(x1, y1, steps=5)
    page.mouse.up()
    page.wait_for_timeout(800)
    ranges = [
        page.evaluate(f"document.querySelector('#{plot}')._fullLayout.{axis}.range")
        for plot in ("map", "side")
        for axis in ("xaxis", "yaxis")
    ]
    assert np.allclose(ranges[:2], ranges[2:]) and abs(ranges[0][1] - ranges[0][0]) < 1200
    assert page.evaluate("document.querySelector('#map').data[0].marker.size") > 1.5 * before


def test_a_second_map_has_a_legend_that_isolates(page):
    assert page.locator("#side-legend > *").count() == 0
    page.select_option("#beside", "confidence")
    assert page.locator("#side-legend .ramp").count() == 1
    page.select_option("#beside", "annotation")
    page.click("#side-legend .chip:has-text('L1')")
    settle(page)
    assert page.get_attribute("#side-legend .chip:has-text('L1')", "aria-pressed") == "true"
    assert chosen(page) == chosen(page, "side") and len(chosen(page)) == 161
    page.select_option("#beside", "")
    assert page.locator("#side-legend > *").count() == 0


def test_the_image_fades(page):
    page.fill("#image", "0.2")
    settle(page)
    assert page.evaluate("document.querySelector('#map').layout.images[0].opacity") == 0.2


def test_markers_are_searched_sorted_and_shown_on_the_tissue(page):
    page.fill("#gene-search", "cox")
    assert page.locator("#marker-table tbody tr").count() == 1
    page.fill("#gene-search", "")
    page.select_option("#gene-domain", "2")
    assert page.locator("#marker-table tbody tr").count() == 10
    page.click("#marker-table th:last-child button")
    page.click("#marker-table th:last-child button")
    outside = page.locator("#marker-table tbody td:last-child").all_inner_texts()
    assert [float(text.split()[0]) for text in outside] == sorted((float(t.split()[0]) for t in outside), reverse=True)
    page.click("#marker-table tbody button:has-text('CCND1')")
    page.wait_for_function("document.querySelector('#map-title').textContent === 'CCND1'")


def save(page, selector: str) -> bytes:
    with page.expect_download() as download:
        page.click(selector)
    return Path(download.value.path()).read_bytes()


def test_genes_with_a_pattern_are_listed_and_shown_on_the_tissue(page):
    rows = [row.split("\t") for row in page.locator("#patterns tbody tr").all_inner_texts()]
    assert len(rows) == 12 and rows[0] == [EVIL, "0.800", "20.0", "1e-20", "90 %"]
    page.click("#patterns button[data-gene=G3]")
    assert page.locator("#layer").evaluate("menu => menu.value") == "gene:G3"
    with page.expect_download() as download:
        page.click("figure[data-table=spatial_genes] [data-as=tsv]")
    assert Path(download.value.path()).read_text().splitlines()[0] == "gene\tmorans_i\tz\tp_adjusted\tshare"


def test_neighbourhoods_are_drawn_beside_their_numbers(page):
    figure = page.locator("figure[data-table=domain_contact]")
    assert figure.locator("svg g text").all_text_contents() == ["+1.0"] * 6
    with page.expect_download() as download:
        page.click("figure[data-table=cell_type_contact] [data-as=tsv]")
    rows = [line.split("\t") for line in Path(download.value.path()).read_text().splitlines()]
    assert rows[0][:3] == ["kind", "name", "neighbour"] and len(rows) == 7


def test_figures_and_their_data_are_saved(page):
    svg = save(page, "[data-plot=map] [data-as=svg]").decode()
    assert svg.startswith("<svg") and svg.count("<path") > 324 and "var(--" not in svg
    table = save(page, "[data-plot=map] [data-as=tsv]").decode().splitlines()
    assert table[0].split("\t") == ["spot", "x", "y", "domain", "confidence"] and len(table) == 325
    name, x, y, domain, _ = table[19].split("\t")
    assert (name, domain) == ("spot18", "1") and abs(float(x) - 100) < 0.1 and abs(float(y) - 200) < 0.1
    page.select_option("#layer", "gene:COX6C")
    settle(page)
    picture = Image.open(io.BytesIO(save(page, "[data-plot=map] [data-as=png]")))
    assert picture.width > 2000 and len(set(picture.resize((90, 80)).convert("RGB").get_flattened_data())) > 50


def bar(page, plot: str = "map") -> tuple[str, float, float]:
    """Name of the scale bar, its length in units of the coordinates, and the share of the map's width that it takes."""
    name, x0, x1, low, high = page.evaluate(
        f"""(() => {{ const {{ layout, _fullLayout }} = document.querySelector('#{plot}'), line = layout.shapes[0];
        return [layout.annotations.find((one) => one.name === 'scale').text, line.x0, line.x1,
        ..._fullLayout.xaxis.range]; }})()"""
    )
    return name, x1 - x0, (x1 - x0) / (high - low)


def test_a_scale_bar_stands_on_every_map_at_every_zoom_and_in_downloads(page):
    name, length, share = bar(page)
    assert (
        name == "500 µm" and abs(length - 500) < 1 and 0.1 < share <= 0.25
    )  # spots lie 100 apart, and on Visium 100 µm
    page.select_option("#beside", "n_counts")
    page.focus("#map")
    for _ in range(5):
        page.keyboard.press("+")
    settle(page)
    assert bar(page) == bar(page, "side") and bar(page)[0] == "100 µm" and bar(page)[2] <= 0.25
    assert "100 µm" in save(page, "[data-plot=map] [data-as=svg]").decode()
    sheet = ElementTree.fromstring(save(page, "figure[data-figure=types] [data-as=svg]").decode())
    tiles = [one for one in sheet if one.tag.endswith("}g")]
    assert all("500 µm" in "".join(tile.itertext()) for tile in tiles)


def test_legends_say_what_they_show_and_in_which_unit(page):
    for value, title, unit in [
        ("domain", "Domain", ""),
        ("gene:CCND1", "CCND1", "ln(1 + counts per 10,000)"),
        ("type:eL2/3", "eL2/3", "share of the spot"),
        ("n_counts", "Counts", "counts"),
    ]:
        page.select_option("#layer", value)
        shown(page, title)
        assert page.inner_text("#legend .title") == title and unit in page.inner_text("#legend")
        svg = save(page, "[data-plot=map] [data-as=svg]").decode()
        assert svg.count(f">{title}<") + svg.count(f">{title}<tspan") >= 1 and unit in svg


@pytest.mark.parametrize("kind", ["svg", "tsv"])
def test_every_drawn_figure_and_its_data_are_saved(page, kind: str):
    figures = page.eval_on_selector_all("figure[data-figure]", "all => all.map(one => one.dataset.figure)")
    assert {"dot_plot", "composition", "agreement", "qc_n_counts", "n_domains_stability", "loss_loss"} <= set(figures)
    assert {"genes", "types"} <= set(figures)
    for at, figure in enumerate(figures):
        if at % 8 == 7:  # Chromium stops a page after ten downloads
            page.reload()
            page.wait_for_selector("html[data-ready=true]", timeout=60_000)
        text = save(page, f"figure[data-figure='{figure}'] [data-as={kind}]").decode()
        if kind == "svg":
            assert "<svg" in text and "var(--" not in text
        else:
            assert text.count("\n") > 1 and len({line.count("\t") for line in text.splitlines()}) == 1


def test_small_maps_are_saved_on_one_sheet_with_their_values(page):
    svg = save(page, "figure[data-figure=types] [data-as=svg]").decode()
    drawn = ElementTree.fromstring(svg)
    tiles = [one for one in drawn if one.tag.endswith("}g")]
    assert [tile[0].text for tile in tiles] == [small.split("\n")[0] for small in captions(page, "types")]
    spots = [sum(path.attrib["d"].count("M") for path in tile[1]) for tile in tiles]
    assert spots == [324] * 3
    picture = Image.open(io.BytesIO(save(page, "figure[data-figure=types] [data-as=png]")))
    assert picture.width > 1000 and len(set(picture.resize((90, 80)).convert("RGB").get_flattened_data())) > 50
    rows = [line.split("\t") for line in save(page, "figure[data-figure=types] [data-as=tsv]").decode().splitlines()]
    assert len(rows) == 325 and set(rows[0][5:]) == {"B cell", EVIL.replace("ran", "ran2"), "eL2/3"}
    shares = np.array([[float(v) for v in row[5:]] for row in rows[1:] if row[3] != "3"])
    assert np.allclose(shares.sum(axis=1), 1, atol=1e-3)
    assert all(row[5:] == ["", "", ""] for row in rows[1:] if row[3] == "3")


def captions(page, gallery: str) -> list[str]:
    return page.locator(f"figure[data-figure={gallery}] .gallery button span").all_inner_texts()


def test_names_are_shown_as_they_are_and_never_run(page):
    for value in (f"gene:{EVIL}", f"type:{EVIL.replace('ran', 'ran2')}", "annotation"):
        page.select_option("#layer", value)
        settle(page)
    assert EVIL in page.inner_text("#legend") and EVIL in page.inner_text("#quality")
    page.mouse.move(*where(page, 323))
    page.wait_for_selector(".tip:not([hidden])")
    assert EVIL in page.inner_text(".tip")
    assert EVIL in page.evaluate("document.querySelector('#marker-table').textContent")
    assert page.locator("img[src=x]").count() == 0
    save(page, "[data-plot=map] [data-as=png]")
    drawing = Image.open(io.BytesIO(save(page, "figure[data-figure=dot_plot] [data-as=png]")))
    assert drawing.width > 300


def test_the_page_would_refuse_to_run_or_load_what_it_does_not_know(visit, slice_report: Path):
    page = visit(slice_report, forgive="Content Security Policy")
    page.evaluate(
        """(() => { const script = document.createElement('script'); script.textContent = 'window.ran = 1';
        try { document.head.append(script); } catch {} })()"""
    )
    assert page.evaluate("window.ran === undefined")


@pytest.mark.parametrize("width", [390, 820, 1440])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_and_fills_the_screen(visit, slice_report: Path, width: int, scheme: str):
    page = visit(slice_report, width, color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    picture = np.asarray(Image.open(io.BytesIO(page.screenshot())).convert("RGB"), int)
    assert (picture[5, 5].sum() < 200) == (scheme == "dark")
    page.locator("#map").scroll_into_view_if_needed()
    settle(page)
    plot = np.asarray(Image.open(io.BytesIO(page.locator("#map").screenshot())).convert("RGB"), int).reshape(-1, 3)
    for colour in ("#3f90da", "#ffa90e", "#bd1f01"):
        near = np.abs(plot - [int(colour[i : i + 2], 16) for i in (1, 3, 5)]).sum(axis=1) < 130
        assert near.mean() > 0.02


def test_it_draws_without_webgl(visit, slice_report: Path):
    page = visit(
        slice_report,
        before="""const real = HTMLCanvasElement.prototype.getContext;
        HTMLCanvasElement.prototype.getContext = function (kind, ...rest) {
            return kind.includes("webgl") ? null : real.call(this, kind, ...rest); };""",
    )
    assert page.locator("#map .scatterlayer path.point").count() == 324


def shown(page, label: str) -> None:
    page.wait_for_function("label => document.querySelector('#map-title').textContent === label", arg=label)
    settle(page)


def test_every_gene_is_shown_with_its_counts(page, slice_report: Path):
    adata = ad.read_h5ad(slice_report.parent / "S1.h5ad")
    of_spot = np.asarray(adata.X.sum(axis=1)).ravel()
    for gene in ("NA", "G24", "a/b", "COX6C"):
        page.fill("#find", gene)
        shown(page, gene)
        text = save(page, "[data-plot=map] [data-as=tsv]").decode()
        found = pd.read_csv(io.StringIO(text), sep="\t", keep_default_na=False)[gene]
        expected = np.log1p(1e4 * np.ravel(adata[:, gene].X.toarray()) / of_spot)
        np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_only_the_very_name_shows_a_gene(page):
    page.fill("#find", "COX6")
    page.press("#find", "Enter")
    settle(page)
    assert page.inner_text("#map-title") == "Domain"
    assert "Nothing is called “COX6”" in page.inner_text("#found")
    assert page.locator("#names option").evaluate_all("all => all.map((one) => one.value)") == ["COX6C"]
    page.click("#found button:has-text('COX6C')")
    shown(page, "COX6C")
    assert page.locator("#layer").evaluate("menu => menu.value") == "gene:COX6C"
    page.fill("#find", "cox6c")
    page.press("#find", "Enter")
    settle(page)
    assert "COX6C, as it is written here, is shown." in page.inner_text("#found")
    page.fill("#find", "nosuchgene")
    page.press("#find", "Enter")
    settle(page)
    assert "no name holds it" in page.inner_text("#found") and page.inner_text("#map-title") == "COX6C"


def test_a_slice_that_lost_its_steps_says_so_and_shows_what_there_is(visit, bare_report: Path):
    page = visit(bare_report)
    assert f"train failed: too few spots {EVIL}" in page.inner_text("#overview .callout")
    assert page.locator("#domains, #markers, #types, #scores").count() == 0
    assert page.inner_text("#map-title") == "Counts" and len(set(colours(page))) > 20
    page.mouse.move(*where(page, 40))
    page.wait_for_selector(".tip:not([hidden])")
    assert "spot40" in page.inner_text(".tip")


def test_a_map_is_steered_and_a_domain_isolated_by_keyboard(page):
    def ranges(plot: str) -> np.ndarray:
        settle(page)
        axes = ("xaxis", "yaxis")
        return np.array([page.evaluate(f"document.querySelector('#{plot}')._fullLayout.{a}.range") for a in axes])

    page.select_option("#beside", "n_counts")
    page.focus("#map")
    whole = ranges("map")
    page.keyboard.press("+")
    near = ranges("map")
    assert np.allclose(np.ptp(near, axis=1), 0.8 * np.ptp(whole, axis=1))
    page.keyboard.press("ArrowDown")
    moved = ranges("map")
    assert (moved[1] > near[1]).all() and np.allclose(moved[0], near[0])  # y grows downwards, as in the image
    assert np.allclose(ranges("side"), moved)
    page.keyboard.press("0")
    assert np.allclose(ranges("map"), whole)
    page.focus("#legend .chip")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    settle(page)
    assert "Domain 2: 99 spots" in page.inner_text("#status")


def test_the_theme_switches_by_keyboard(page):
    page.focus("#theme")
    page.keyboard.press("Enter")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    settle(page)
    assert page.evaluate("document.querySelector('#map').layout.font.color") == "#e8ebef"


def test_the_same_again_is_pasted_and_methods_and_references_are_taken_along(page):
    page.evaluate("navigator.clipboard.writeText = (text) => { window.copied = text; return Promise.resolve(); }")
    page.click("#made [data-copy=command]")
    command = page.evaluate("window.copied")
    assert command.startswith("cat > samplesheet.csv <<'EOF'\nsample,data,annotation,donor\nS1,x.h5ad,layers.tsv,")
    assert "\nEOF\nnextflow run " in command and "--encoder spotfuse" in command
    page.click("#made [data-copy=methods]")
    assert "Spotfuse 0" in page.evaluate("window.copied") and "mclust" in page.evaluate("window.copied")
    bibtex = save(page, "#bibtex").decode()
    assert bibtex.count("@article{") == bibtex.count("\n}\n") >= 4 and "doi = {10.1038/s41467-023-36796-3}" in bibtex


def test_it_prints_with_its_maps(page):
    page.emulate_media(media="print")
    settle(page)
    assert page.locator(".controls").first.is_hidden() and page.locator("#map canvas").first.is_visible()
    assert len(page.pdf()) > 30_000


def as_table(content: bytes) -> pd.DataFrame:
    return pd.read_csv(io.BytesIO(content), sep="\t", keep_default_na=False)


def test_several_genes_are_shown_as_their_mean_and_two_in_two_colours(page):
    one = {}
    for gene in ("COX6C", "CCND1"):
        page.fill("#find", gene)
        shown(page, gene)
        one[gene] = as_table(save(page, "[data-plot=map] [data-as=tsv]"))[gene]
    page.fill("#find", "cox6c, CCND1")
    shown(page, "mean of COX6C, CCND1")
    saved = as_table(save(page, "[data-plot=map] [data-as=tsv]"))
    np.testing.assert_allclose(saved["mean of COX6C, CCND1"], (one["COX6C"] + one["CCND1"]) / 2, rtol=1e-4)
    page.click("#found button")
    shown(page, "COX6C and CCND1")
    seen = np.array([[int(v) for v in c[4:-1].split(",")] for c in colours(page)])
    assert colours(page) == colours(page, "side")
    amber, blue = seen[:162:18].mean(axis=0), seen[17:198:18].mean(axis=0)  # domain 1 has COX6C, domain 2 CCND1
    assert amber[0] > amber[2] + 50 and blue[2] > blue[0] + 10
    assert "both" in page.inner_text("#legend") and "COX6C alone" in page.inner_text("#legend")
    svg = save(page, "[data-plot=map] [data-as=svg]").decode()
    assert ">COX6C alone<" in svg and ">both<" in svg
    assert list(as_table(save(page, "[data-plot=map] [data-as=tsv]")))[-2:] == ["COX6C", "CCND1"]
    page.mouse.move(*where(page, 40))
    page.wait_for_selector(".tip:not([hidden])")
    assert "COX6C " in page.inner_text(".tip") and "CCND1 " in page.inner_text(".tip")
    page.fill("#find", "COX6C, NOSUCH, G1 G2")
    settle(page)
    assert "3 of 4 genes are known" in page.inner_text("#found")
    page.press("#find", "Enter")
    shown(page, "mean of COX6C, G1, G2")
    assert "Not found: NOSUCH" in page.inner_text("#found")


def test_domains_are_named_and_the_names_are_kept_and_saved(page):
    fields = page.locator("#domains tbody input")
    assert "COX6C" in fields.nth(0).get_attribute("placeholder")
    page.click("#names-suggested")
    assert fields.nth(1).input_value() == fields.nth(1).get_attribute("placeholder")
    fields.nth(1).fill(f"tumour {EVIL}")
    fields.nth(1).press("Tab")
    settle(page)
    assert f"2: tumour {EVIL}" in page.inner_text("#legend") and "2: tumour" in page.inner_text("#marker-table")
    page.reload()
    page.wait_for_selector("html[data-ready=true]", timeout=60_000)
    assert f"2: tumour {EVIL}" in page.inner_text("#legend")
    saved = as_table(save(page, "#names-save"))
    assert list(saved) == ["domain", "name"] and saved["name"][1] == f"tumour {EVIL}" and len(saved) == 3
    spots = as_table(save(page, "[data-plot=map] [data-as=tsv]"))
    assert (spots.loc[spots["domain"] == 2, "domain_name"] == f"tumour {EVIL}").all()
    assert "2: tumour" in save(page, "[data-plot=map] [data-as=svg]").decode()
    fields.nth(1).fill("")
    fields.nth(1).press("Tab")
    page.reload()
    page.wait_for_selector("html[data-ready=true]", timeout=60_000)
    assert fields.nth(1).input_value() == "" and fields.nth(0).input_value()


def test_values_are_drawn_by_domain_and_by_annotation(page, slice_report: Path):
    adata = ad.read_h5ad(slice_report.parent / "S1.h5ad")
    assert page.inner_text("#by-title").startswith("Counts by domain")
    by = adata.obs.groupby(adata.obs["domain"].astype(int))["n_counts"]
    saved = as_table(save(page, "#by-domain [data-as=tsv]")).set_index("domain")
    np.testing.assert_allclose(saved["mean"], by.mean(), rtol=1e-3)
    np.testing.assert_allclose(saved["median"], by.median(), rtol=0.01)
    page.select_option("#layer", "type:eL2/3")
    shown(page, "eL2/3")
    assert page.inner_text("#by-title").startswith("eL2/3 by domain")
    assert page.locator("#by-domain svg g").count() == 2  # nothing is estimated in the third
    page.select_option("#by", "annotation")
    page.select_option("#layer", "gene:CCND1")
    shown(page, "CCND1")
    saved = as_table(save(page, "#by-domain [data-as=tsv]")).set_index("annotation")["mean"]
    assert saved["L2"] > saved["L1"] + 1
    assert page.locator("#quality-by figure").count() == 3


def test_all_is_saved_in_one_archive(page):
    archive = zipfile.ZipFile(io.BytesIO(save(page, "#all")))
    assert archive.testzip() is None
    names = set(archive.namelist())
    assert {"S1_spots.tsv", "S1_markers.tsv", "S1_composition.tsv", "S1_dot_plot.svg", "S1_types.svg"} <= names
    assert {"S1_tissue_Domain.svg", "S1_embedding_Domain.svg", "S1_methods.txt", "S1.bib", "S1_command.txt"} <= names
    spots = as_table(archive.read("S1_spots.tsv"))
    assert len(spots) == 324 and {"x", "PC1", "domain", "Counts", "B cell", "Annotation (given)"} <= set(spots)
    assert archive.read("S1_by_domain.svg").startswith(b"<svg")


def test_the_image_stands_alone_beside_the_map_and_spots_as_outlines(page):
    page.select_option("#beside", "image")
    settle(page)
    assert page.evaluate("document.querySelector('#side').data[0].marker.opacity") == 0
    assert page.evaluate("document.querySelector('#side').layout.images.length") == 1
    assert page.evaluate("document.querySelector('#map').data[0].marker.opacity") > 0
    page.check("#outlines")
    settle(page)
    assert page.evaluate("document.querySelector('#map').data[0].marker.symbol") == "circle-open"
    assert "<image" in save(page, "[data-plot=side] [data-as=svg]").decode()


def test_small_maps_take_one_scale(page):
    def first() -> bytes:
        page.locator("figure[data-figure=types]").scroll_into_view_if_needed()
        settle(page)
        return page.locator("figure[data-figure=types] canvas").first.screenshot()

    before = first()
    page.check("[data-common=types]")
    assert "yellow is" in page.inner_text("[data-scale=types]") and first() != before


def test_quality_draws_what_was_dropped_and_advises(page):
    text = page.inner_text("#quality")
    assert "No threshold of quality control was asked for" in text
    page.locator("figure[data-figure=dropped_map]").scroll_into_view_if_needed()
    rows = as_table(save(page, "figure[data-figure=dropped_map] [data-as=tsv]"))
    assert len(rows) == 325 and list(rows["what"][-1:]) == [f"fewer than 5 counts {EVIL}"]
    both = as_table(save(page, "figure[data-figure=qc_counts_genes] [data-as=tsv]"))
    assert both["spots"].sum() == 325
