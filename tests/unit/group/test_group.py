"""Slices learned together: planted layers under a batch shift, what is left out, and how mixing is told."""

import json
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse
from scipy.optimize import brentq
from sklearn.metrics import adjusted_rand_score
from spotfuse import domains, embedding, group, io, preparation
from spotfuse._core import tables
from spotfuse._core.errors import InputError
from spotfuse.group import _mixing, _shared_tissue
from spotfuse.preparation import _batch_shift

SIDE, LAYERS = 14, 3


def planted(seed: int, shift: float, genes: int = 60, prefix: str = "gene") -> AnnData:
    """Layers across a square; `shift` is the spread of what the slice as a whole does to each gene."""
    random = np.random.default_rng(seed)
    x, y = np.meshgrid(np.arange(SIDE), np.arange(SIDE))
    layer = (x.ravel() * LAYERS) // SIDE
    level = np.random.default_rng(0).gamma(2, 2, genes) * np.where(np.arange(genes) % LAYERS == layer[:, None], 3, 1)
    counts = random.poisson(level * np.exp(random.normal(0, shift, genes)) * (1 + shift)).astype(np.float32)
    adata = AnnData(sparse.csr_matrix(counts))
    adata.obs_names = [f"s{i:03d}" for i in range(adata.n_obs)]
    adata.var_names = [f"{prefix}{i:02d}" for i in range(genes)]
    adata.obs["layer"] = layer
    adata.obs["input_row"] = np.arange(adata.n_obs)[::-1]
    adata.obsm["spatial"] = np.column_stack([x.ravel(), y.ravel()]).astype(float)
    return adata


def written(adata: AnnData, path: Path, n_top_genes: int = 3000) -> Path:
    """The slice, as prepare_slice leaves it."""
    preparation.prepare(adata, n_top_genes=n_top_genes, n_components=20)
    adata.uns["spotfuse"] = {"platform": "other", "prepare": {"n_top_genes": n_top_genes, "n_components": 20}}
    io.write(adata, path)
    return path


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pair")
    return {name: written(planted(i, shift), folder / f"{name}.h5ad") for i, (name, shift) in enumerate(SLICES.items())}


SLICES = {"one": 0.0, "two": 0.7}


@pytest.fixture(scope="module")
def joined(pair: dict[str, Path]) -> AnnData:
    return group.join(group.Common.of("pair", pair))


@pytest.fixture(scope="module")
def learned(joined: AnnData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What train and assign_domains write."""
    folder = tmp_path_factory.mktemp("learned")
    found = embedding.train(joined, device="cpu")
    divided = domains.assign(joined, found.values, LAYERS, slices=joined.obs["slice"])
    spots = joined.obs_names.to_numpy(str)
    np.savez(folder / "embedding.npz", spot=spots, embedding=found.values, attention=found.attention)
    np.savez(folder / "domains.npz", spot=spots, probabilities=divided.probabilities)
    table = pd.DataFrame({"spot": spots, "domain": divided.labels, "confidence": divided.confidence})
    tables.write(table.iloc[tables.in_input_order(joined)], folder / "domains.tsv")
    tables.write(found.losses, folder / "loss.tsv")
    tables.write(divided.curve, folder / "n_domains.tsv")
    return folder


def test_no_edge_in_the_tissue_joins_two_slices(joined: AnnData, pair: dict[str, Path]) -> None:
    first = anndata.read_h5ad(pair["one"])
    n = first.n_obs
    graph = joined.obsp["spatial_connectivities"]
    assert (graph[:n, :n] != first.obsp["spatial_connectivities"]).nnz == 0
    assert graph[:n, n:].nnz == 0
    place = joined.obsm["spatial"]
    assert place[:n, 0].max() < place[n:, 0].min()


def test_domains_are_those_planted_in_both_slices_whatever_the_batch(learned: Path, joined: AnnData) -> None:
    found = group.learned(joined, learned)
    layer = np.tile(planted(0, 0).obs["layer"], 2)
    assert adjusted_rand_score(layer, found.obs["domain"]) > 0.9
    how = group.mixing(found).iloc[0]
    assert abs(how["ari"]) < 0.02 and how["ilisi_at_random"] == pytest.approx(2)
    # not joined but stacked, the batch is a component of its own
    stacked = anndata.concat([planted(i, shift) for i, shift in enumerate(SLICES.values())], index_unique="-")
    stacked.obsm["spatial"] = joined.obsm["spatial"]
    preparation.prepare(stacked, n_components=20)
    batch = np.repeat([0, 1], stacked.n_obs // 2)
    assert max(abs(np.corrcoef(column, batch)[0, 1]) for column in stacked.obsm["X_pca"].T) > 0.9
    assert max(abs(np.corrcoef(column, batch)[0, 1]) for column in joined.obsm["X_pca"].T) < 1e-3


def test_order_of_slices_changes_nothing(joined: AnnData, pair: dict[str, Path]) -> None:
    other = group.join(group.Common.of("pair", dict(reversed(pair.items()))))
    assert other.obs_names.equals(joined.obs_names)
    for key in ("X_pca", "X_pca_log"):
        assert np.array_equal(other.obsm[key], joined.obsm[key])


def test_a_slice_gets_its_own_spots_in_its_own_order(learned: Path, joined: AnnData, tmp_path: Path) -> None:
    joined.uns["spotfuse"]["left_out"] = json.dumps({"three": "shares nothing"})
    assert group.split(joined, learned, tmp_path / "slices") == {"three": "shares nothing"}
    whole = tables.read_spots(learned / "domains.tsv")
    for name in SLICES:
        folder = tmp_path / "slices" / name
        table = pd.read_csv(folder / "domains.tsv", sep="\t")
        assert list(table["spot"]) == [f"s{i:03d}" for i in range(SIDE**2)][::-1]  # the input's order
        assert list(table["domain"]) == list(whole.loc[f"{name}/" + table["spot"], "domain"].astype(int))
        with np.load(folder / "embedding.npz") as mine, np.load(learned / "embedding.npz") as all_:
            assert list(mine["spot"]) == [f"s{i:03d}" for i in range(SIDE**2)]
            assert np.array_equal(mine["embedding"], all_["embedding"][joined.obs["slice"] == name])
        told = json.loads((folder / "in_common.json").read_text())
        assert told == {"in_common": json.loads(joined.uns["spotfuse"]["in_common"])[name], "unlike": False}
        others = {path.name for path in folder.iterdir()} - {"in_common.json"}
        assert others == {path.name for path in learned.iterdir()}


def test_variable_genes_are_those_of_most_slices(tmp_path: Path) -> None:
    slices = {}
    for i in range(3):
        adata = planted(i, 0.2)
        odd = adata.X.toarray()
        odd[::7, 3 * i] *= 30  # variable in this slice alone
        odd[::5, 50] *= 20  # and one that is so in all
        adata.X = sparse.csr_matrix(odd)
        slices[f"s{i}"] = written(adata, tmp_path / f"s{i}.h5ad", n_top_genes=2)
    found = set(group.join(group.Common.of("three", slices)).var_names)
    assert "gene50" in found and len(found & {"gene00", "gene03", "gene06"}) == 1


def test_slices_with_other_genes_are_left_out_or_refused(pair: dict[str, Path], tmp_path: Path) -> None:
    odd = written(planted(5, 0, prefix="ENSG"), tmp_path / "odd.h5ad")
    found = group.join(group.Common.of("g", pair | {"aaa": odd}))
    assert set(found.obs["slice"]) == set(SLICES)
    (reason,) = json.loads(found.uns["spotfuse"]["left_out"]).items()
    assert reason[0] == "aaa" and "0 of its 60 genes" in reason[1] and "one, two of group g" in reason[1]
    with pytest.raises(InputError, match=r"odd shares 0 of its 60 genes with aaa of group g, 20 are needed"):
        group.join(group.Common.of("g", {"aaa": pair["one"], "odd": odd}))


def test_a_panel_beside_a_whole_transcriptome_is_joined_in_its_genes(pair: dict[str, Path], tmp_path: Path) -> None:
    panel = planted(3, 0.5)[:, 10:40].copy()
    small = panel[:30].copy()  # hardly more than two columns of spots
    others = {"panel": written(panel, tmp_path / "panel.h5ad"), "small": written(small, tmp_path / "small.h5ad")}
    found = group.join(group.Common.of("g", pair | others))
    assert list(found.var_names) == [f"gene{i}" for i in range(10, 40)]
    assert np.isfinite(found.obsm["X_pca"]).all()
    divided = domains.assign(found, embedding.train(found, device="cpu").values, LAYERS, slices=found.obs["slice"])
    layer = planted(0, 0).obs["layer"]
    assert adjusted_rand_score(np.concatenate([layer, layer, layer[:30], layer]), divided.labels) > 0.85


def test_one_slice_as_a_group_is_the_slice_alone(pair: dict[str, Path]) -> None:
    alone = anndata.read_h5ad(pair["one"])
    values = embedding.train(alone, epochs=5, device="cpu").values
    one = domains.assign(alone, values, LAYERS)
    other = domains.assign(alone, values, LAYERS, slices=pd.Series("one", index=alone.obs_names))
    assert np.array_equal(one.probabilities, other.probabilities)


def test_a_slice_that_lacks_a_domain_keeps_the_numbers_of_the_others(pair: dict[str, Path], tmp_path: Path) -> None:
    part = planted(7, 0.3)
    part = part[part.obs["layer"] < LAYERS - 1].copy()
    found = group.join(group.Common.of("g", pair | {"part": written(part, tmp_path / "part.h5ad")}))
    divided = domains.assign(found, embedding.train(found, device="cpu").values, LAYERS, slices=found.obs["slice"])
    layer = planted(0, 0).obs["layer"]
    assert adjusted_rand_score(np.concatenate([layer, part.obs["layer"], layer]), divided.labels) > 0.85


def test_tissue_that_only_one_slice_has_keeps_a_domain_of_its_own(tmp_path: Path) -> None:
    slices = {"one": planted(8, 0.0), "two": planted(9, 0.4)}
    own = (slices["two"].obsm["spatial"] < 5).all(axis=1)
    counts = slices["two"].X.toarray()
    counts[own] = counts[own][:, ::-1]  # a corner with another profile
    slices["two"].X = sparse.csr_matrix(counts)
    files = {name: written(adata, tmp_path / f"{name}.h5ad") for name, adata in slices.items()}
    found = group.join(group.Common.of("g", files))
    values = embedding.train(found, epochs=5, device="cpu").values
    labels = domains.assign(found, values, LAYERS + 1, slices=found.obs["slice"]).labels
    first, second = (labels[found.obs["slice"] == name] for name in slices)
    domain = np.bincount(second[own]).argmax()
    assert (second[own] == domain).mean() > 0.9 and (second[~own] == domain).mean() < 0.1
    assert (first == domain).mean() < 0.05


def test_a_small_slice_is_not_outvoted(pair: dict[str, Path], tmp_path: Path) -> None:
    small = planted(11, 0.5)
    small = small[small.obsm["spatial"][:, 1] < 5].copy()
    found = group.join(group.Common.of("g", pair | {"small": written(small, tmp_path / "small.h5ad")}))
    values = embedding.train(found, epochs=5, device="cpu").values
    labels = domains.assign(found, values, LAYERS, slices=found.obs["slice"]).labels
    mine = labels[(found.obs["slice"] == "small").to_numpy()]
    alone = anndata.read_h5ad(tmp_path / "small.h5ad")
    by_itself = domains.assign(alone, embedding.train(alone, epochs=5, device="cpu").values, LAYERS).labels
    truth = alone.obs["layer"]
    assert adjusted_rand_score(truth, mine) >= adjusted_rand_score(truth, by_itself) - 0.005


def test_small_slices_together_are_divided_as_small_ones_are(joined: AnnData) -> None:
    values, spots = preparation.smoothed(joined, joined.obsm["X_pca"]), joined.n_obs
    found = [
        domains.assign(joined, values, LAYERS, slices=joined.obs["slice"], settings=domains.Settings(many=many))
        for many in (spots // 2 + 1, spots, 10 * spots)
    ]
    assert all(np.array_equal(one.probabilities, found[0].probabilities) for one in found)


def test_slices_that_hold_different_tissue_are_told(
    joined: AnnData, learned: Path, pair: dict[str, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    how = group.mixing(group.learned(joined, learned)).iloc[0]
    assert how["in_common"] > group.Settings().least_in_common and how["unlike"] == ""
    part = planted(7, 0.3)
    part = part[part.obs["layer"] == 0].copy()
    caplog.clear()
    found = group.join(group.Common.of("g", {"one": pair["one"], "part": written(part, tmp_path / "part.h5ad")}))
    common = json.loads(found.uns["spotfuse"]["in_common"])
    assert common["part"] < 0.5
    assert f"slice part seems to have {100 * common['part']:.0f} % of its tissue in common with the rest" in caplog.text


def test_slices_with_other_shares_of_the_same_tissue_are_moved_together() -> None:
    """Three kinds of spots, one of them in one slice alone: standardised by slice, the other two lie apart."""
    random = np.random.default_rng(0)
    centre = 6 * np.eye(3, 20)
    kind = np.concatenate([np.repeat([0, 1, 2], 100), np.repeat([0, 1], 150)])
    codes = np.repeat([0, 1], 300)
    points = (centre[kind] + random.normal(size=(600, 20))).astype(np.float32)
    apart = points - np.stack([points[codes == i].mean(axis=0) for i in (0, 1)])[codes]

    def distance(values: np.ndarray) -> float:
        first, second = (np.stack([values[(codes == i) & (kind == k)].mean(axis=0) for k in (0, 1)]) for i in (0, 1))
        return float(np.linalg.norm(first - second, axis=1).max())

    assert distance(apart) > 2
    together = _batch_shift.without_batch_shift(apart, apart, codes)
    assert distance(together) < 1 and np.abs(together.mean(axis=0)).max() < 1e-3
    assert _shared_tissue.shared_tissue(together, codes) == pytest.approx([2 / 3, 2 / 3], abs=0.1)
    same = kind < 2
    still = points[same] - np.stack([points[same & (codes == i)].mean(axis=0) for i in (0, 1)])[codes[same]]
    assert np.array_equal(_batch_shift.without_batch_shift(still, still, codes[same]), still)
    assert _shared_tissue.shared_tissue(still, codes[same]).min() > 0.8


def test_lisi_of_separate_and_of_mixed_clouds() -> None:
    random = np.random.default_rng(0)
    points = random.normal(size=(600, 3))
    apart = np.repeat([0, 1, 2], 200)
    assert _mixing.lisi(points + 100 * apart[:, None], apart) == pytest.approx(1)
    mixed = _mixing.lisi(points, random.integers(0, 2, 600))
    assert 1.85 < mixed.mean() <= 2  # of 30 neighbours the halves differ by chance


def test_lisi_on_a_line_of_two_slices_in_turn() -> None:
    """Neighbours at 1, 2, 3 … on both sides; the even ones are of the own slice."""
    n, perplexity = 101, 5.0
    found = _mixing.lisi(np.arange(n, dtype=float)[:, None], np.arange(n) % 2, perplexity)[n // 2]
    distance = np.repeat(np.arange(1, 9), 2)[:15]  # three times the perplexity

    def weights(precision: float) -> np.ndarray:
        raw = np.exp(-precision * distance**2)
        return raw / raw.sum()

    precision = brentq(lambda p: -(weights(p) * np.log(weights(p))).sum() - np.log(perplexity), 1e-4, 1)
    own = weights(precision)[distance % 2 == 0].sum()
    assert found == pytest.approx(1 / (own**2 + (1 - own) ** 2), rel=1e-6)
