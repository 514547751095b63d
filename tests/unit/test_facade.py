"""The functions on AnnData: what the pipeline's steps give, whatever the caller's order."""

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import anndata
import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import spotfuse as sf
from anndata import AnnData
from commands import run
from scipy import sparse
from spotfuse import domains, embedding, group, patterns, preparation, proportions
from spotfuse._core import keys, tables
from threadpoolctl import threadpool_limits

mpl.use("Agg")


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """As the commands have it, whatever other tests in this process left: sums by several threads round otherwise."""
    with threadpool_limits(1):
        yield


def walk(adata: AnnData, reference: AnnData | Path, *, epochs: int = 20) -> AnnData:
    """Go through all functions."""
    sf.pp.qc(adata)
    sf.pp.prepare(adata)
    sf.tl.embed(adata, seed=1, epochs=epochs, device="cpu")
    sf.tl.domains(adata, n_domains=4)
    sf.tl.proportions(adata, reference, device="cpu")
    sf.tl.markers(adata)
    sf.tl.spatial_genes(adata)
    sf.tl.neighbourhoods(adata)
    return adata


@pytest.fixture(scope="module")
def bundled(root: Path) -> Path:
    return root / "assets/test"


@pytest.fixture(scope="module")
def walked(bundled: Path) -> AnnData:
    return walk(sf.read(bundled / "starmap_left.h5ad"), bundled / "starmap_reference.h5ad")


@pytest.fixture(scope="module")
def collected(bundled: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the pipeline's commands leave of the same slice."""
    folder = tmp_path_factory.mktemp("steps")
    run(folder, "prepare_slice", "--data", bundled / "starmap_left.h5ad")
    run(folder, "prepare_reference", "--reference", bundled / "starmap_reference.h5ad")
    run(folder, "train", "--prepared", "prepared.h5ad", "--epochs", 20, "--device", "cpu")
    run(folder, "assign_domains", "--prepared", "prepared.h5ad", "--embedding", "embedding.npz", "--n-domains", 4)
    run(folder, "deconvolve", "--prepared", "prepared.h5ad", "--reference", "reference.h5ad", "--device", "cpu")
    (folder / "meta.json").write_text(json.dumps({"sample": "left"}))
    (folder / "params.json").write_text(json.dumps({"seed": 1}))
    run(folder, "collect_slice", "--parts", ".", "--meta", "meta.json", "--params", "params.json", sample="left")
    return folder / "left"


def as_written(table: pd.DataFrame, path: Path, **options: str) -> str:
    tables.write(table, path, **options)
    return path.read_text()


def test_values_are_those_of_the_pipelines_steps(walked: AnnData, collected: Path, tmp_path: Path) -> None:
    pipeline = anndata.read_h5ad(collected / "left.h5ad")
    assert list(walked.obs_names) == list(pipeline.obs_names)
    assert set(walked.var_names) == set(pipeline.var_names)
    for name in ("X_pca", "X_pca_log", "X_spotfuse", "attention", "domain_probabilities"):
        np.testing.assert_array_equal(walked.obsm[name], pipeline.obsm[name], err_msg=name)
    for name in ("spatial_connectivities", "feature_connectivities"):
        assert (walked.obsp[name] != pipeline.obsp[name]).nnz == 0
    for name in ("n_counts", "n_genes", "mt_share"):
        np.testing.assert_array_equal(walked.obs[name], pipeline.obs[name])
    assert walked.obs["domain"].equals(pipeline.obs["domain"])
    assert walked.var["highly_variable"][pipeline.var_names].tolist() == pipeline.var["highly_variable"].tolist()
    note = walked.uns["spotfuse"]
    columns = {"domain": "domain", "domain_confidence": "confidence"}
    domains = walked.obs[list(columns)].rename(columns=columns).rename_axis("spot").reset_index()
    written = {
        "domains": as_written(domains, tmp_path / "t"),
        "qc": as_written(note["qc"], tmp_path / "t"),
        "loss": as_written(note["loss"], tmp_path / "t"),
        "markers": as_written(note["markers"], tmp_path / "t"),
        "spatial_genes": as_written(note["spatial_genes"], tmp_path / "t"),
    }
    for name in ("proportions", "proportions_sd", "deconvolution_fit"):
        written[name] = as_written(walked.obsm[name], tmp_path / "t", index="spot")
    for name, text in written.items():
        assert text == (collected / f"{name}.tsv").read_text(), name
    # the command reads proportions of six digits back
    beside = tables.read_back(collected / "neighbourhoods.tsv")
    pd.testing.assert_frame_equal(note["neighbourhoods"], beside, check_dtype=False, rtol=1e-3, atol=1e-4)
    assert json.loads(note["deconvolution"]) == json.loads((collected / "deconvolution.json").read_text())
    for name in ("n_spots_input", "n_genes_input", "seed"):
        assert note[name] == pipeline.uns["spotfuse"][name], name
    assert note["prepare"] == pipeline.uns["spotfuse"]["prepare"]


def test_two_row_orders_are_equal_through_every_function(walked: AnnData, bundled: Path) -> None:
    rng = np.random.default_rng(0)
    adata, cells = sf.read(bundled / "starmap_left.h5ad"), anndata.read_h5ad(bundled / "starmap_reference.h5ad")
    rows, columns = rng.permutation(adata.n_obs), rng.permutation(adata.n_vars)
    other = walk(adata[rows, columns].copy(), cells[rng.permutation(cells.n_obs)].copy())
    assert list(other.obs_names) == [name for name in adata.obs_names[rows] if name in walked.obs_names]
    same = walked[other.obs_names].copy()
    for name in ("domain", "domain_confidence", "n_counts", "neutral_order"):
        assert other.obs[name].equals(same.obs[name]), name
    for name in same.obsm:
        np.testing.assert_array_equal(np.asarray(other.obsm[name]), np.asarray(same.obsm[name]), err_msg=name)
    for name in same.obsp:
        assert (other.obsp[name] != same.obsp[name]).nnz == 0
    for name in ("loss", "markers", "spatial_genes", "neighbourhoods"):
        pd.testing.assert_frame_equal(other.uns["spotfuse"][name], walked.uns["spotfuse"][name], check_exact=True)
    assert same.obsm["proportions"].equals(other.obsm["proportions"])


@pytest.fixture
def small(demo: Path) -> AnnData:
    """A slice that was read without this package: 200 spots, the 300 genes with most counts."""
    whole = anndata.read_h5ad(demo / "her2st_H1.h5ad")
    left = np.argsort(whole.obsm["spatial"][:, 0])[:200]
    most = np.argsort(-np.asarray(whole.X.sum(axis=0)).ravel())[:300]
    return AnnData(
        whole.X[left][:, most].copy(),
        obs=pd.DataFrame(index=whole.obs_names[left]),
        var=pd.DataFrame(index=whole.var_names[most]),
        obsm={"spatial": whole.obsm["spatial"][left]},
    )


@pytest.fixture
def prepared(small: AnnData) -> AnnData:
    sf.pp.qc(small)
    sf.pp.prepare(small, n_components=10)
    return small


def test_a_spot_that_quality_control_left_without_genes_goes_on_as_in_the_pipeline(small: AnnData) -> None:
    counts = small.X.toarray()
    counts[:, -1] = counts[0] = 0
    counts[0, -1] = 5  # of a gene that no other spot has
    small.X = sparse.csr_matrix(counts)
    sf.pp.qc(small)
    assert small.shape == (200, 299) and small.X[0].nnz == 0
    sf.pp.prepare(small, n_components=10)
    assert np.isfinite(small.obsm["X_pca"]).all()


def cells_of(adata: AnnData) -> AnnData:
    """Make a reference of two types, half of the spots each."""
    cells = AnnData(adata.X.copy(), obs=pd.DataFrame(index=adata.obs_names), var=adata.var[[]].copy())
    cells.obs["cell_type"] = np.where(np.arange(cells.n_obs) % 2, "T/B", "other")
    return cells


def test_what_is_missing_is_said_with_the_call_that_makes_it(small: AnnData) -> None:
    def refuses(call, message: str) -> None:
        with pytest.raises(sf.InputError) as refusal:
            call(small)
        assert str(refusal.value) == message

    graph = "obsp['spatial_connectivities'] is not there; call sf.pp.prepare first"
    refuses(sf.tl.embed, "obsm['X_pca'] is not there; call sf.pp.prepare first")
    refuses(sf.tl.domains, "obsm['X_spotfuse'] is not there; call sf.tl.embed first")
    refuses(sf.tl.markers, "obs['domain'] is not there; call sf.tl.domains first")
    refuses(sf.tl.spatial_genes, graph)
    refuses(sf.tl.neighbourhoods, "obs['domain'] is not there; call sf.tl.domains first")
    refuses(sf.pl.domains, "obs['domain'] is not there; call sf.tl.domains first")
    refuses(sf.pl.confidence, "obs['domain_confidence'] is not there; call sf.tl.domains first")
    refuses(sf.pl.attention, "obsm['attention'] is not there; call sf.tl.embed first")
    refuses(sf.pl.embedding, "obsm['X_spotfuse'] is not there; call sf.tl.embed first")
    refuses(sf.pl.composition, "obsm['proportions'] is not there; call sf.tl.proportions first")
    refuses(
        lambda adata: sf.pl.proportions(adata, "x"), "obsm['proportions'] is not there; call sf.tl.proportions first"
    )
    refuses(lambda adata: sf.report.slice(adata, "x.html"), "obsm['X_spotfuse'] is not there; call sf.tl.embed first")
    refuses(
        lambda adata: sf.tl.join({"A": adata, "B": adata}),
        "slice 'A': obsm['X_pca'] is not there; call sf.pp.prepare first",
    )
    refuses(lambda adata: sf.tl.split(adata, {}), "joined has no slices; give what sf.tl.join returned")
    small.obs["domain"] = "layer 1"
    refuses(sf.tl.markers, "obs['domain'] holds 'layer 1' where numbers from 1 are expected; call sf.tl.domains first")
    small.X = sparse.csr_matrix(small.X.multiply(np.arange(small.n_obs)[:, None] != 7))
    refuses(sf.pp.prepare, "adata: 1 of its spots have no counts; call sf.pp.qc first")
    refuses(lambda adata: sf.pp.qc(adata.to_df()), "adata is a DataFrame; give an AnnData")
    small.obs_names = ["twice"] * small.n_obs
    refuses(sf.pp.qc, "obs_names: 'twice' stands twice; make names unique first")


def test_arguments_are_checked(prepared: AnnData) -> None:
    for call, message in (
        (lambda: sf.tl.embed(prepared, encoder="best"), "encoder is 'best'; it must be one of spotfuse, published"),
        (lambda: sf.tl.domains(prepared, "many", key="X_pca"), "n_domains is 'many'; take a whole number, or 'auto'"),
        (lambda: sf.tl.proportions(prepared, cells_of(prepared), "kind"), "reference: no column 'kind' in obs"),
        (lambda: sf.tl.proportions(prepared, cells_of(prepared).to_df()), "reference is a DataFrame; give a file"),
        (lambda: sf.tl.proportions(prepared, cells_of(prepared), method="guess"), "method is 'guess'; it must be one"),
        (
            lambda: sf.tl.proportions(prepared, cells_of(prepared), temperature=2),
            "temperature is no option of method attention_regression; it has phi, ",
        ),
        (lambda: sf.pl.gene(prepared, "none"), "no gene 'none' in var_names"),
        (lambda: sf.tl.join({"A": prepared}), "slices: give two or more"),
        (lambda: sf.tl.join({"A": prepared, "B": prepared}, frame="mine"), "frame is 'mine'; it must be one of own, "),
    ):
        with pytest.raises(sf.InputError) as refusal:
            call()
        assert str(refusal.value).startswith(message)


def test_a_copy_leaves_the_slice_as_it_is(small: AnnData) -> None:
    before = small.copy()
    changed = sf.pp.prepare(sf.pp.qc(small, min_counts=2000, copy=True), n_components=5, copy=True)
    assert changed.n_obs < small.n_obs == before.n_obs and "X_pca" in changed.obsm
    assert set(small.obsm) == {"spatial"} and not small.obs.columns.size and not small.uns
    view = small[:150]
    assert sf.pp.qc(view) is None and "n_counts" in view.obs and "n_counts" not in small.obs


def test_counts_stay_where_the_caller_keeps_them(small: AnnData) -> None:
    expected = sf.pp.prepare(sf.pp.qc(small, copy=True), n_components=5, copy=True)
    scaled = small.copy()
    scaled.layers["counts"] = small.X.copy()
    scaled.X = scaled.X.log1p()
    logged = scaled.X.copy()
    sf.pp.qc(scaled)
    sf.pp.prepare(scaled, n_components=5)
    np.testing.assert_array_equal(scaled.obsm["X_pca"], expected.obsm["X_pca"])
    assert (scaled.X != logged[:, small.var_names.isin(scaled.var_names)]).nnz == 0
    gene = scaled.var_names[0]
    np.testing.assert_allclose(*(sf.pl.gene(each, gene).collections[0].get_array() for each in (scaled, expected)))


def test_own_columns_of_our_names_stay_beside_ours(small: AnnData) -> None:
    small.obs["domain"], small.obs["n_counts"] = "mine", "mine too"
    sf.pp.qc(small)
    sf.pp.prepare(small, n_components=5)
    for n_domains in (2, 3):
        sf.tl.domains(small, n_domains, key="X_pca")
        assert list(small.obs["domain"].cat.categories) == [str(k + 1) for k in range(n_domains)]
    sf.pp.qc(small)
    assert set(small.obs["input_domain"]) == {"mine"} and set(small.obs["input_n_counts"]) == {"mine too"}
    assert "input_input_domain" not in small.obs and "input_input_n_counts" not in small.obs


@pytest.mark.parametrize("way", ["facade", "pipeline", "tutorial"])
def test_every_plot_on_what_every_public_path_makes(way: str, walked: AnnData, collected: Path, small: AnnData) -> None:
    if way == "facade":
        adata = walked
    elif way == "pipeline":
        adata = anndata.read_h5ad(collected / "left.h5ad")
    else:
        adata, cells = sf.SpatialFusion(small, cells_of(small), epochs=3, device="cpu").train_map()
        adata = sf.SpatialFusion(adata, epochs=3, device="cpu").train()
        assert len(sf.pl.embedding(adata).collections) == 1
        sf.clustering(adata, 3)
        sf.project_cell_to_spot(adata, cells)
    for plot in (sf.pl.domains, sf.pl.confidence, sf.pl.attention, sf.pl.embedding, sf.pl.composition):
        assert plot(adata).figure
    assert sf.pl.gene(adata, adata.var_names[0]).figure and sf.pl.dots(adata, list(adata.var_names[:2])).figure
    assert sf.pl.proportions(adata, next(iter(keys.proportions_of(adata)))).figure
    mpl.pyplot.close("all")


def test_the_report_shows_what_there_is(walked: AnnData, prepared: AnnData, tmp_path: Path) -> None:
    sf.report.slice(walked, tmp_path / "whole.html", sample="the left half")
    page = (tmp_path / "whole.html").read_text()
    assert "the left half" in page and walked.uns["spotfuse"]["markers"]["gene"][0] in page
    sf.report.slice(prepared, tmp_path / "bare.html")
    assert (tmp_path / "bare.html").stat().st_size > 10_000
    with pytest.raises(sf.InputError, match="there is no folder"):
        sf.report.slice(prepared, tmp_path / "nowhere/bare.html")


def test_what_was_written_is_read_and_plotted_again(walked: AnnData, prepared: AnnData, tmp_path: Path) -> None:
    # one of its types is called eL2/3, which AnnData's own write_h5ad refuses
    sf.write(walked, tmp_path / "walked.h5ad")
    again = anndata.read_h5ad(tmp_path / "walked.h5ad")
    pd.testing.assert_frame_equal(
        keys.proportions_of(again), walked.obsm["proportions"], rtol=1e-6, check_index_type=False
    )
    sf.tl.domains(again, 4)
    assert again.obs["domain"].tolist() == walked.obs["domain"].tolist() and "input_domain" not in again.obs
    sf.pp.prepare(again)

    sf.tl.proportions(prepared, cells_of(prepared), method="cell_mapping", cell_map=True, device="cpu")
    assert prepared.obsm["cell_map"].shape == (prepared.n_obs, len(prepared.uns["spotfuse"]["cell_map"]))
    np.testing.assert_allclose(prepared.obsm["cell_map"].sum(axis=1), 1, rtol=1e-5)
    sf.write(prepared, tmp_path / "slash.h5ad")
    again = anndata.read_h5ad(tmp_path / "slash.h5ad")
    assert isinstance(prepared.obsm["proportions"], pd.DataFrame)
    np.testing.assert_allclose(keys.proportions_of(again), prepared.obsm["proportions"], rtol=1e-6)
    assert list(keys.proportions_of(again)) == ["T/B", "other"]


def test_joined_slices_are_those_of_the_pipelines_groups(bundled: Path, tmp_path: Path) -> None:
    slices, names = {}, ("right", "left")
    for name in names:
        path = bundled / f"starmap_{name}.h5ad"
        slices[name] = sf.read(path)
        sf.pp.qc(slices[name])
        sf.pp.prepare(slices[name])
        (tmp_path / name).mkdir()
        run(tmp_path / name, "prepare_slice", "--data", path)
    joined = sf.tl.join(slices)
    sf.tl.embed(joined, epochs=5, device="cpu")
    sf.tl.domains(joined, 4)
    sf.tl.split(joined, slices)

    run(tmp_path, "join_group", "--slices", *names, "--prepared", *(f"{name}/prepared.h5ad" for name in names))
    run(tmp_path, "train", "--prepared", "prepared.h5ad", "--epochs", 5, "--device", "cpu")
    run(tmp_path, "assign_domains", "--prepared", "prepared.h5ad", "--embedding", "embedding.npz", "--n-domains", 4)
    pipeline = anndata.read_h5ad(tmp_path / "prepared.h5ad")
    with np.load(tmp_path / "embedding.npz") as file:
        pipeline.obsm["X_spotfuse"] = file["embedding"]
    at = pipeline.obs_names.get_indexer(joined.obs_names)
    for name in ("spatial", "X_pca", "X_spotfuse"):
        np.testing.assert_array_equal(joined.obsm[name], pipeline.obsm[name][at], err_msg=name)
    found = tables.read_spots(tmp_path / "domains.tsv")["domain"]
    assert list(found.index) == list(joined.obs_names)
    assert joined.obs["domain"].astype(int).tolist() == found.tolist()
    for name, adata in slices.items():
        assert adata.obs["domain"].tolist() == [str(found[f"{name}/{spot}"]) for spot in adata.obs_names]
        assert adata.uns["spotfuse"]["in_common"] > 0.5
        sf.tl.markers(adata)


def test_joined_slices_are_the_same_whatever_the_order_of_their_rows(bundled: Path) -> None:
    rng = np.random.default_rng(0)
    found = []
    for shuffled in (False, True):
        slices = {name: sf.read(bundled / f"starmap_{name}.h5ad") for name in ("left", "right")}
        if shuffled:
            slices = {name: slices[name][rng.permutation(slices[name].n_obs)].copy() for name in ("right", "left")}
        for adata in slices.values():
            sf.pp.qc(adata)
            sf.pp.prepare(adata)
        joined = sf.tl.join(slices)
        sf.tl.embed(joined, epochs=5, device="cpu")
        sf.tl.domains(joined, 4)
        sf.tl.split(joined, slices)
        found.append((joined, slices))
    (one, apart), (other, others) = found
    at = other.obs_names.get_indexer(one.obs_names)
    for key in ("X_pca", "X_spotfuse", "domain_probabilities"):
        np.testing.assert_array_equal(other.obsm[key][at], one.obsm[key], err_msg=key)
    for name, adata in apart.items():
        assert others[name].obs.loc[adata.obs_names, "domain"].tolist() == adata.obs["domain"].tolist()


def test_scores_have_public_names(walked: AnnData) -> None:
    assert sf.metrics.domains(walked.obs["domain"], walked.obs["domain"].astype(str))["ari"] == 1
    assert sf.metrics.proportions(walked.obsm["proportions"], walked.obsm["proportions"])["RMSE"] < 1e-12


def test_settings_reach_each_stage(walked: AnnData, bundled: Path) -> None:
    for call, what, usual, other in (
        (sf.pp.prepare, lambda adata: adata.obsm["X_pca"], preparation.Settings(), preparation.Settings(clip=0.5)),
        (
            partial(sf.tl.embed, epochs=1),
            lambda adata: adata.obsm["X_spotfuse"],
            embedding.Settings(),
            embedding.Settings(steps=0),
        ),
        (
            partial(sf.tl.domains, n_domains=3),
            lambda adata: adata.obsm["domain_probabilities"],
            domains.Settings(),
            domains.Settings(scales=(0,)),
        ),
        (
            partial(sf.tl.proportions, reference=bundled / "starmap_reference.h5ad", n_iter=1, device="cpu"),
            lambda adata: adata.obsm["proportions"],
            proportions.Settings(),
            proportions.Settings(regression=proportions.RegressionSettings(draws=5)),
        ),
        (sf.tl.markers, lambda adata: adata.uns["spotfuse"]["markers"], patterns.Settings(), patterns.Settings(fold=8)),
        (
            sf.tl.neighbourhoods,
            lambda adata: adata.uns["spotfuse"]["neighbourhoods"]["log2_ratio"],
            patterns.Settings(),
            patterns.Settings(pseudo_share=0.5),
        ),
    ):
        found = [what(call(walked, settings=settings, copy=True)) for settings in (None, usual, other)]
        assert np.array_equal(found[0], found[1]) and not np.array_equal(found[0], found[2])
    with pytest.raises(sf.InputError, match="1000 are needed to learn them together"):
        sf.tl.join({"A": walked, "B": walked}, settings=group.Settings(least_genes=1000))
    with pytest.raises(sf.InputError, match=r"^settings: they are those of the encoder 'spotfuse'"):
        sf.tl.embed(walked, encoder="published", settings=embedding.Settings())
