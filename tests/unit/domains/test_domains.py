import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import spotfuse as sf
from anndata import AnnData
from scipy import sparse
from sklearn.metrics import adjusted_rand_score
from spotfuse import domains, preparation
from spotfuse._core.errors import InputError
from spotfuse.domains import _consensus, _views
from spotfuse.domains._confidence import confidence
from spotfuse.domains._refinement import refine


def bands(n_bands: int = 4, side: int = 24, noise: float = 0.8, seed: int = 0) -> tuple:
    """A square of spots in bands of equal width; the embedding tells them apart with noise."""
    rng = np.random.default_rng(seed)
    row, column = np.divmod(np.arange(side * side), side)
    truth = row * n_bands // side
    centres = rng.standard_normal((n_bands, 20)) * 1.5
    embedding = centres[truth] + noise * rng.standard_normal((side * side, 20))
    adata = AnnData(
        sparse.csr_matrix((side * side, 1)),
        obs=pd.DataFrame(index=[f"s{i:05d}" for i in range(side * side)]),
        obsm={"spatial": np.stack([column, row], axis=1).astype(float)},
    )
    adata.obsp["spatial_connectivities"] = preparation.spatial_graph(adata)
    return adata, embedding, truth


def test_bands_are_found_and_the_run_repeats_itself():
    adata, embedding, truth = bands()
    found = domains.assign(adata, embedding, 4)
    assert adjusted_rand_score(truth, found.labels) > 0.95
    np.testing.assert_allclose(found.probabilities.sum(axis=1), 1, atol=1e-5)
    assert found.probabilities.shape == (adata.n_obs, 4)
    own = found.probabilities[np.arange(adata.n_obs), found.labels - 1]
    assert (np.diff(found.confidence[np.argsort(own, kind="stable")]) >= 0).all()  # it orders spots as posteriors do
    assert len(found.curve) == 0
    again = domains.assign(adata, embedding, 4)
    assert np.array_equal(found.labels, again.labels)
    assert np.array_equal(found.probabilities, again.probabilities)


def test_numbers_follow_size_and_a_rotation_changes_nothing():
    adata, embedding, _ = bands(n_bands=3, side=21)
    found = domains.assign(adata, embedding, 3)
    size = np.bincount(found.labels)[1:]
    assert (np.diff(size) <= 0).all()
    rotation = np.linalg.qr(np.random.default_rng(1).standard_normal((20, 20)))[0]
    turned = domains.assign(adata, embedding @ rotation + 5, 3)
    assert adjusted_rand_score(found.labels, turned.labels) > 0.99


def slice_with_types(noise: float, *, typed: bool) -> tuple:
    """Bands in the components, with noise, and in the cell types, or in these none."""
    adata, components, truth = bands(side=16, noise=noise)
    rng = np.random.default_rng(3)
    adata.X = sparse.csr_matrix(1 + rng.poisson(3, adata.shape).astype(float))
    mostly = truth if typed else rng.permutation(truth)
    drawn = np.array([rng.dirichlet(1 + 2 * np.eye(4)[band]) for band in mostly])
    adata.obsm.update({"X_pca_log": components, "X_spotfuse": components})
    adata.obsm["proportions"] = pd.DataFrame(drawn, adata.obs_names, list("abcd"))
    return adata, truth


def ari(adata, truth, domains_from: str) -> float:
    sf.tl.domains(adata, 4, domains_from=domains_from)
    return adjusted_rand_score(truth, adata.obs["domain"])


def test_domains_of_cell_types_are_found_where_expression_is_ambiguous():
    adata, truth = slice_with_types(noise=20, typed=True)
    assert ari(adata, truth, "expression") < 0.5 and adata.uns["spotfuse"]["domains_from"] == "expression"
    assert ari(adata, truth, "composition") > 0.9
    assert ari(adata, truth, "both") > 0.9 and adata.uns["spotfuse"]["domains_from"] == "composition"


def test_cell_types_without_domains_do_not_win_over_expression():
    adata, truth = slice_with_types(noise=0.8, typed=False)
    assert ari(adata, truth, "composition") < 0.5
    assert ari(adata, truth, "both") > 0.9 and adata.uns["spotfuse"]["domains_from"] == "expression"


def test_the_number_of_domains_of_cell_types_is_found():
    adata, _ = slice_with_types(noise=20, typed=True)
    sf.tl.domains(adata, domains_from="composition")
    curve = adata.uns["spotfuse"]["n_domains"]
    assert curve.loc[curve["chosen"] == 1, "n_domains"].item() == adata.obs["domain"].nunique() == 4


def test_a_spot_without_proportions_is_of_its_neighbours_domain():
    adata, truth = slice_with_types(noise=0.8, typed=True)
    rows = [0, 5, adata.n_obs // 2]
    adata.obsm["proportions"].iloc[rows] = np.nan
    sf.tl.domains(adata, 4, domains_from="composition")
    assert adjusted_rand_score(truth, adata.obs["domain"]) > 0.9


def test_composition_needs_cell_types_and_a_slice_of_its_own():
    adata, _ = slice_with_types(noise=0.8, typed=True)
    with pytest.raises(InputError, match="take expression, composition or both"):
        sf.tl.domains(adata, 4, domains_from="niches")
    with pytest.raises(InputError, match="joined slices are divided by expression"):
        slices = pd.Series(np.arange(adata.n_obs) % 2)
        table = adata.obsm["proportions"]
        domains.assign(adata, table, 4, slices=slices, composition=table, domains_from="both")
    adata.obsm["proportions"][:] = np.nan
    with pytest.raises(InputError, match="no spot has any"):
        sf.tl.domains(adata, 4, domains_from="both")
    del adata.obsm["proportions"]
    with pytest.raises(InputError, match=r"call sf\.tl\.proportions first"):
        sf.tl.domains(adata, 4, domains_from="both")


@pytest.mark.parametrize("n_domains", range(1, 21))
def test_exactly_the_number_asked_for(n_domains):
    adata, embedding, _ = bands(side=14)
    found = domains.assign(adata, embedding, n_domains)
    assert sorted(set(found.labels)) == list(range(1, n_domains + 1))


@pytest.mark.parametrize("n_domains", [2, 5, 30])
def test_thirty_spots_of_which_many_are_alike(n_domains):
    adata, embedding, _ = bands(side=6)
    adata = adata[:30].copy()
    embedding = embedding[:30].copy()
    embedding[5:] = embedding[5]
    found = domains.assign(adata, embedding, n_domains)
    assert sorted(set(found.labels)) == list(range(1, n_domains + 1))


@pytest.mark.parametrize("n_domains", [0, 197])
def test_an_impossible_number_is_refused(n_domains):
    adata, embedding, _ = bands(side=14)
    with pytest.raises(InputError, match="n_domains is"):
        domains.assign(adata, embedding, n_domains)


@pytest.mark.parametrize("n_bands", [2, 3, 4])
def test_auto_finds_the_bands_and_shows_its_curve(n_bands):
    adata, embedding, _ = bands(n_bands=n_bands, side=18)
    found = domains.assign(adata, embedding, None, settings=domains.Settings(most_domains=7))
    assert found.curve["n_domains"].tolist() == list(range(1, 8))
    assert found.curve["chosen"].sum() == 1
    assert found.labels.max() == found.curve["n_domains"][found.curve["worth"].idxmax()] == n_bands
    assert found.curve["stability"].between(-1, 1).all() and (found.curve["told"] < 1).all()


def test_auto_asks_for_twenty_spots_a_domain():
    adata, embedding, _ = bands(n_bands=2, side=10)
    assert domains.assign(adata, embedding, None).curve["n_domains"].max() == 5
    adata, embedding, _ = bands(n_bands=2, side=5)
    assert domains.assign(adata, embedding, None).curve["n_domains"].tolist() == [1]


def test_auto_finds_one_domain_where_spots_changed_places(caplog):
    adata, embedding, _ = bands(n_bands=4, side=20)
    with caplog.at_level("INFO"):
        found = domains.assign(adata, np.random.default_rng(0).permutation(embedding), None)
    assert set(found.labels) == {1} and (found.confidence == 1).all()
    assert "1 domain: no division of the slice tells what its spots express" in caplog.messages


def test_depth_alone_divides_nothing():
    """Logarithms follow how much was counted of a spot; where residuals tell nothing the slice is one domain."""
    adata, embedding, _ = bands(n_bands=3, side=18)
    adata.obsm["X_pca_log"] = embedding
    adata.obsm["X_pca"] = np.random.default_rng(0).standard_normal((adata.n_obs, 20))
    assert domains.assign(adata, embedding, None).labels.max() == 1
    adata.obsm["X_pca"] = embedding
    assert domains.assign(adata, embedding, None).labels.max() == 3


def test_auto_says_how_sure_it_is(caplog):
    adata, embedding, _ = bands(n_bands=3, side=18)
    with caplog.at_level("INFO"):
        found = domains.assign(adata, embedding, None, settings=domains.Settings(most_domains=5))
    chosen = found.curve[found.curve["chosen"] == 1].iloc[0]
    said = next(line for line in caplog.messages if "domains, " in line)
    assert said.startswith("3 domains, ") and f"agree by {chosen['stability']:.2f}" in said


def test_confidence_is_what_posteriors_were_worth():
    posterior = np.array([0.5, 0.8, 0.95, 0.9999, 1])
    found = confidence(np.stack([posterior, 1 - posterior], axis=1), np.zeros(5, int))
    assert (np.diff(found) >= 0).all() and found[3] == found[4] < 0.95
    assert (confidence(np.ones((3, 1)), np.zeros(3, int)) == 1).all()


def slice_with_counts(place: np.ndarray, seed: int = 0) -> AnnData:
    """Two halves, each with its own genes, as the pipeline prepares them."""
    rng = np.random.default_rng(seed)
    mean = np.ones((len(place), 40))
    mean[place[:, 0] > np.median(place[:, 0]), :15] *= 5
    adata = AnnData(
        sparse.csr_matrix(rng.poisson(mean * 2).astype(np.float32)),
        obs=pd.DataFrame(index=[f"s{i:05d}" for i in range(len(place))]),
        obsm={"spatial": place.astype(float)},
    )
    preparation.prepare(adata)
    return adata


def halves_are_found(adata: AnnData, seed: int = 1) -> float:
    place = adata.obsm["spatial"][:, 0]
    labels = domains.assign(adata, adata.obsm["X_pca"], 2, seed=seed).labels
    return adjusted_rand_score(place > np.median(place), labels)


def test_seeds_agree():
    place = np.random.default_rng(3).random((400, 2))
    adata = slice_with_counts(place)
    found = [domains.assign(adata, adata.obsm["X_pca"], 2, seed=seed).labels for seed in (1, 2, 3)]
    assert min(adjusted_rand_score(found[0], other) for other in found[1:]) > 0.98


def test_the_order_of_spots_changes_nothing():
    adata, embedding, _ = bands(n_bands=3, side=18)
    order = np.random.default_rng(5).permutation(adata.n_obs)
    moved = adata[order].copy()
    first = domains.assign(adata, embedding, 3).labels
    second = domains.assign(moved, embedding[order], 3).labels
    assert adjusted_rand_score(first[order], second) > 0.99


def test_duplicated_coordinates():
    place = np.random.default_rng(1).random((150, 2))
    assert halves_are_found(slice_with_counts(np.vstack([place, place]))) > 0.8


def test_one_isolated_spot():
    place = np.random.default_rng(2).random((200, 2))
    place[7] = (40.0, 40.0)
    adata = slice_with_counts(place)
    assert adata.obsp["spatial_connectivities"][7].nnz == 0
    found = domains.assign(adata, adata.obsm["X_pca"], 2)
    assert np.isfinite(found.probabilities).all()
    assert halves_are_found(adata) > 0.8


def test_a_slice_in_two_pieces():
    place = np.random.default_rng(4).random((300, 2))
    place[150:, 1] += 30  # the halves run through both pieces
    adata = slice_with_counts(place)
    graph = adata.obsp["spatial_connectivities"]
    assert graph[:150, 150:].nnz == 0
    assert halves_are_found(adata) > 0.8


def test_thirty_spots_of_a_slice():
    adata = slice_with_counts(np.random.default_rng(6).random((30, 2)))
    found = domains.assign(adata, adata.obsm["X_pca"], 3)
    assert sorted(set(found.labels)) == [1, 2, 3]


def test_threads_change_nothing():
    code = (
        "import sys; sys.path.insert(0, 'tests/unit/domains'); from test_domains import bands;"
        "from spotfuse import domains;"
        "adata, embedding, _ = bands(side=16);"
        "print(domains.assign(adata, embedding, 4).probabilities.tobytes().hex())"
    )
    said = [
        subprocess.run(
            [sys.executable, "-W", "ignore", "-c", code],
            check=True,
            capture_output=True,
            text=True,
            env=os.environ | {"PYTHONPATH": "bin", "OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads},
        ).stdout
        for threads in ("1", "2")
    ]
    assert said[0] == said[1] != ""


def test_a_spot_without_neighbours_keeps_its_own_evidence():
    graph = sparse.csr_matrix((3, 3), dtype=np.float32)
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.5, 0.5]])
    assert np.array_equal(refine(probabilities, graph).argmax(axis=1), probabilities.argmax(axis=1))


def test_refinement_corrects_single_spots_and_keeps_a_thin_layer():
    adata, _, _ = bands(side=20)
    row = np.arange(400) // 20
    truth = ((row == 9) | (row == 10)).astype(int)
    noisy = truth.copy()
    noisy[[45, 123, 250, 371]] = 1
    evidence = np.where(np.eye(2)[noisy] > 0, 0.8, 0.2)
    refined = refine(evidence, adata.obsp["spatial_connectivities"]).argmax(axis=1)
    assert np.array_equal(refined, truth)


def test_refinement_keeps_the_true_layers(data):
    import anndata

    adata = anndata.read_h5ad(data / "dlpfc/151673.h5ad")
    known = adata.obs["label"].notna().to_numpy()
    codes = adata.obs["label"].astype("category").cat.codes.to_numpy()
    evidence = np.full((adata.n_obs, 7), 1 / 7)
    evidence[known] = 0.2 / 6
    evidence[known, codes[known]] = 0.8
    refined = refine(evidence, preparation.spatial_graph(adata)).argmax(axis=1)
    assert adjusted_rand_score(codes[known], refined[known]) >= 0.97
    for layer in range(7):
        assert (refined[codes == layer] == layer).mean() > 0.95


def test_torch_is_not_needed():
    code = "import sys; from spotfuse import domains; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": "bin", "PATH": "/usr/bin:/bin"})


def test_agreement_is_the_adjusted_rand_index():
    rng = np.random.default_rng(8)
    labels = [rng.integers(5, size=300) for _ in range(3)]
    labels += [(labels[0] + (rng.random(300) < 0.1)) % 5, np.zeros(300, int), np.zeros(300, int)]
    expected = [[adjusted_rand_score(one, other) for other in labels] for one in labels]
    np.testing.assert_allclose(_consensus.agreement([np.eye(5)[one] for one in labels]), expected, atol=1e-12)


def test_no_domain_is_empty_where_another_labelling_can_be_matched_to(caplog):
    """Ten divisions of a square into seven by other centres each: the first one's domains do not all remain."""
    rng = np.random.default_rng(0)
    place = rng.random((150, 2))
    members = [
        np.eye(7)[((place[:, None] - place[rng.choice(150, 7, replace=False)]) ** 2).sum(axis=2).argmin(axis=1)]
        for _ in range(10)
    ]
    assert len(set(_consensus.consensus(members, None).argmax(axis=1))) == 7
    assert not caplog.messages
    one = domains.Settings(matched=1)
    assert len(set(_consensus.consensus(members, None, one).argmax(axis=1))) == 6
    assert "7 domains: the labellings agree on fewer" in caplog.text


def test_neighbours_tell_more_by_domains_than_by_noise_or_odd_spots():
    adata, embedding, truth = bands(n_bands=3, side=18)
    adata.obsm["X_pca"] = embedding
    told = _views.telling(adata, adata.obsp["spatial_connectivities"])
    noise = np.random.default_rng(0).permutation(truth)
    odd = np.zeros(len(truth), int)
    odd[:2] = 1, 2
    assert told(truth, "X_pca") > 0.3
    assert told(noise, "X_pca") < 0.05 and told(odd, "X_pca") < 0.05


def test_few_spots_listen_to_residuals_only_where_neighbours_tell_these_as_well():
    labels = np.repeat([0, 1], 30)
    members = [(key, np.eye(2)[labels]) for key in ("", "X_pca", "X_pca_log")]
    for residuals, logarithms, votes in ((0.1, 0.2, 1), (0.2, 0.1, 2), (0.1, -0.1, 3)):
        by = {"X_pca": residuals, "X_pca_log": logarithms}
        assert len(_consensus.voting(members, lambda _, key, by=by: by[key], many=False)) == votes
        assert len(_consensus.voting(members, lambda _, key, by=by: by[key], many=True)) == 3


def test_labellings_with_domains_of_hardly_any_spots_vote_only_where_all_have_such():
    good, odd = np.repeat([0, 1], 30), np.r_[1, np.zeros(59, int)]
    members = [("X_pca_log", np.eye(2)[labels]) for labels in (good, odd)]
    (voting,) = _consensus.voting(members, lambda *_: 0.5, many=True)
    assert np.array_equal(voting, members[0][1])
    assert len(_consensus.voting(members[1:], lambda *_: 0.5, many=True)) == 1


def test_labellings_that_agree_more_weigh_more():
    """Three tell halves, two a quarter: where they differ the halves win, by more than three to two."""
    half, other = np.repeat([0, 1], 40), np.repeat([0, 1], [20, 60])
    found = _consensus.consensus([np.eye(2)[labels] for labels in (half, half, half, other, other)], None)
    assert np.array_equal(found.argmax(axis=1), half)
    assert found[30, 0] > 0.65


def test_no_domain_has_fewer_than_three_spots_unless_there_are_too_many():
    probabilities = np.tile([0.7, 0.2, 0.1], (12, 1))
    assert np.bincount(_consensus.occupied(probabilities)).tolist() == [6, 3, 3]
    assert np.bincount(_consensus.occupied(probabilities[:5])).min() == 1
