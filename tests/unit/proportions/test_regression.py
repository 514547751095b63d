import io
import json
import logging
import os
import subprocess
import sys
from itertools import islice
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse
from scipy.optimize import minimize, nnls
from scipy.spatial.distance import jensenshannon
from sklearn.exceptions import NotFittedError
from spotfuse import AttentionRegressionDeconv
from spotfuse._core import backend
from spotfuse._core.errors import InputError
from spotfuse.proportions import ProfileSettings, _profiles
from spotfuse.proportions.regression import _finer, _fit, _posterior, _type_level

ROOT = Path(__file__).resolve().parents[3]


def problem(n_spots=60, n_types=5, seed=0):
    """A small regression with neighbours on a line."""
    random = np.random.default_rng(seed)
    B = random.gamma(1.0, 1.0, (n_types, 40))
    X = random.dirichlet(np.ones(n_types), n_spots) @ B + random.normal(0, 0.3, (n_spots, 40))
    chain = sparse.diags([np.ones(n_spots - 1), np.ones(n_spots - 1)], [-1, 1], format="csr")
    return B @ B.T, X @ B.T, X, B, chain


def prior(W, n_types, strength, phi=0.8, ridge=0.0):
    return _type_level.Prior(W, phi, np.full(n_types, strength), ridge)


def test_objective_never_rises_and_the_optimum_is_reached():
    gram, projected, _, _, W = problem()
    given = prior(W, 5, 3.0, ridge=0.1)
    V, b, history, converged = _type_level.solve(gram, projected, given, np.zeros((60, 5)), tolerance=1e-10)
    assert converged
    assert np.all(np.diff(history) <= 1e-12 * abs(history[-1]))
    gradient = V @ gram - projected + given.strength * given.pull(V - b) + 0.1 * V
    assert np.abs(gradient[V > 0]).max() < 1e-6 * np.abs(projected).max()
    assert gradient[V == 0].min() > -1e-6 * np.abs(projected).max()


def test_a_general_solver_finds_the_same_optimum():
    gram, projected, _, _, W = problem(n_spots=8, n_types=3)
    given = prior(W, 3, 2.0)
    V, _, history, _ = _type_level.solve(gram, projected, given, np.zeros((8, 3)), tolerance=1e-10)

    def value(v):
        V = v.reshape(8, 3)
        away = V - given.means(V)
        smooth = 0.5 * np.sum(given.strength * away * given.pull(away))
        return 0.5 * np.sum((V @ gram) * V) - np.sum(projected * V) + smooth

    best = minimize(value, np.full(24, 0.3), bounds=[(0, None)] * 24, method="L-BFGS-B", options={"ftol": 1e-14})
    assert history[-1] <= best.fun + 1e-6
    np.testing.assert_allclose(V.ravel(), best.x, atol=1e-3)


def test_without_smoothing_it_is_nonnegative_least_squares():
    gram, projected, X, B, W = problem()
    V, *_ = _type_level.solve(gram, projected, prior(W, 5, 0.0), np.zeros((60, 5)), tolerance=1e-10)
    np.testing.assert_allclose(V, [nnls(B.T, x)[0] for x in X], atol=1e-6)


def test_other_arrays_give_the_same():
    pytest.importorskip("torch")
    gram, projected, _, _, W = problem()
    given = prior(W, 5, 0.5, ridge=0.1)
    torch = backend.library("cpu", "torch")
    expected = _type_level.solve(gram, projected, given, np.zeros((60, 5)))
    found = _type_level.solve(gram, projected, given, np.zeros((60, 5)), using=torch)
    np.testing.assert_allclose(found[0], expected[0], atol=1e-9)
    np.testing.assert_allclose(found[2], expected[2], rtol=1e-9)
    scale = np.trace(gram) / 5
    start = expected[0] / expected[0].sum(axis=1, keepdims=True)
    spots = (gram / scale, projected / scale, np.full((60, 5), 0.05), np.full(60, 20.0), start, np.arange(1.0, 6.0))
    one = _posterior.sample(*spots, seed=1)
    other = _posterior.sample(*spots, seed=1, using=torch)
    for name in ("mean", "deviation"):
        np.testing.assert_allclose(getattr(other, name), getattr(one, name), atol=1e-5)
    assert one.deviation.max() > 0.01


def test_the_number_of_threads_changes_nothing():
    sc, st, xy, labels, _ = tissue(n_spots=60)
    found = []
    for n_jobs in (1, 3):
        model = AttentionRegressionDeconv(sc, st, xy, labels, n_iter=2, n_jobs=n_jobs)
        found.append((model.run()[0].to_numpy(), model.map_cells().toarray()))
    np.testing.assert_array_equal(found[0][0], found[1][0])
    np.testing.assert_array_equal(found[0][1], found[1][1])


def test_endless_smoothing_gives_the_mean_of_each_component():
    gram, projected, _, _, W = problem(n_spots=8, n_types=3)
    W = sparse.block_diag([W[:4, :4], W[4:, 4:]], format="csr")
    given = prior(W, 3, 1e4, phi=1 - 1e-9)
    V, *_ = _type_level.solve(gram, projected, given, np.zeros((8, 3)), tolerance=1e-9, max_sweeps=10_000)
    for part in (slice(0, 4), slice(4, 8)):
        assert np.ptp(V[part], axis=0).max() < 0.02


def test_attention_is_symmetric_and_prefers_like_neighbours():
    _, _, _, _, chain = problem(n_spots=6)
    xy = np.c_[np.arange(6.0), np.zeros(6)]
    like = np.repeat(np.eye(2), 3, axis=0)
    W = _type_level.attention(chain, xy, like)
    assert abs(W - W.T).max() < 1e-12
    assert W[1, 0] > 10 * W[2, 3]
    far = _type_level.attention(chain, 1000 * xy, like)
    np.testing.assert_allclose(W.toarray(), far.toarray(), atol=1e-12)


def test_smoothing_is_nothing_where_neighbours_are_no_more_alike_than_any():
    gram, _, _, _, W = problem(n_spots=400)
    random = np.random.default_rng(1)
    shuffled = random.dirichlet(np.ones(5), 400)
    smooth = shuffled[np.argsort(shuffled[:, 0])]
    near = prior(W, 5, 0.0)
    alike = _type_level.variance_ratios(gram, smooth, near, 0.1)
    chance = _type_level.variance_ratios(gram, shuffled, near, 0.1)
    assert alike[0] > 10 * chance[0]


def tissue(n_spots=150, n_types=4, depth=2000, seed=0, platform=0.0, pure=False, n_genes=200):
    """Spots on a grid, and a reference of other cells of the same types."""
    random = np.random.default_rng(seed)
    profiles = random.gamma(0.3, 1.0, (n_types, n_genes)) + 0.02
    profiles /= profiles.sum(axis=1, keepdims=True)
    types = np.repeat(np.arange(n_types), 30)
    cells = random.poisson(profiles[types] * 3000)
    V = (
        np.eye(n_types)[random.integers(n_types, size=n_spots)]
        if pure
        else random.dirichlet(np.full(n_types, 0.3), n_spots)
    )
    mean = V @ (profiles * np.exp(random.normal(0, platform, n_genes)))
    spots = random.poisson(mean / mean.sum(axis=1, keepdims=True) * depth * random.lognormal(0, 0.5, (n_spots, 1)))
    xy = np.c_[np.arange(n_spots) % 15, np.arange(n_spots) // 15].astype(float)
    names = [f"g{i:03d}" for i in range(n_genes)]
    labels = [f"t{k}" for k in types]
    index = [f"s{i:03d}" for i in range(n_spots)]
    return (
        pd.DataFrame(cells, [f"c{i:03d}" for i in range(len(cells))], names),
        pd.DataFrame(spots, index, names),
        pd.DataFrame(xy, index, ["x", "y"]),
        pd.Series(labels),
        pd.DataFrame(V, index, [f"t{k}" for k in range(n_types)]),
    )


def rmse(proportions, truth):
    return float(np.sqrt(((proportions - truth) ** 2).mean()).mean())


def plain(sc, st, labels):
    B = sc.groupby(labels.to_numpy()).mean()
    V = np.array([nnls(B.to_numpy().T, x)[0] for x in st.to_numpy(dtype=float)])
    return pd.DataFrame(V / V.sum(axis=1, keepdims=True), st.index, B.index)


def test_the_published_snippet_runs():
    sc_data, st_data, st_coordinates, celltype, result_x = tissue()
    deconv = AttentionRegressionDeconv(
        sc_data=sc_data,
        st_data=st_data,
        st_coordinates=st_coordinates,
        celltype=celltype,
        phi=0.8,  # Initial spatial autocorrelation
        lambda_cell=1.0,  # Cell-level regularization
        lambda_spatial=1.0,  # Spatial smoothing penalty
        lambda_ridge=1.0,  # Ridge regularization
        max_cells_per_type=1000,  # Max number of cells per type
        n_iter=5,  # Number of iterations
        n_jobs=-1,  # Number of parallel jobs
        k_neighbors=6,  # Number of spatial neighbors
    )
    deconv_celltypes, elapsed_time = deconv.run()
    metrics = deconv.evaluate(deconv_celltypes, result_x)
    assert f"Elapsed time: {elapsed_time:.2f} sec"
    assert metrics["RMSE"] < 0.05
    assert list(deconv_celltypes.index) == list(st_data.index)
    assert list(deconv_celltypes.columns) == sorted(set(celltype))
    np.testing.assert_allclose(deconv_celltypes.sum(axis=1), 1, atol=1e-6)
    assert (deconv_celltypes.to_numpy() >= 0).all()


def test_pure_spots_are_recovered():
    sc, st, xy, labels, truth = tissue(pure=True, depth=20_000)
    proportions, _ = AttentionRegressionDeconv(sc, st, xy, labels).run()
    assert np.abs(proportions - truth).to_numpy().max() < 0.03


@pytest.mark.parametrize("depth", [2000, 300, 60])
def test_better_than_plain_least_squares_at_any_depth(depth):
    sc, st, xy, labels, truth = tissue(depth=depth, platform=0.35, seed=3)
    proportions, _ = AttentionRegressionDeconv(sc, st, xy, labels).run()
    assert rmse(proportions, truth) < 0.85 * rmse(plain(sc, st, labels), truth)


def test_intervals_cover_the_truth():
    sc, st, xy, labels, truth = tissue(depth=300)
    model = AttentionRegressionDeconv(sc, st, xy, labels)
    model.run()
    low, high = (part.to_numpy() for part in model.interval_)
    inside = (low - 1e-6 <= truth.to_numpy()) & (truth.to_numpy() <= high + 1e-6)
    assert 0.85 < inside.mean() < 0.99  # these spots are as the model has it, of which real ones are further


def test_nothing_depends_on_order_orientation_or_scale():
    sc, st, xy, labels, _ = tissue(n_spots=60)
    base, _ = AttentionRegressionDeconv(sc, st, xy, labels, n_iter=3).run()
    random = np.random.default_rng(0)
    spots, genes = random.permutation(60), random.permutation(200)
    moved = st.iloc[spots, genes]
    for sc_data, st_data, coordinates in (
        (sc, moved, xy.iloc[spots]),
        (sc.T, st.T, xy),
        (sc, st, 1000 * xy + 5),
        (sc, 3 * st, xy),
        (3 * sc, st, xy),
    ):
        other, _ = AttentionRegressionDeconv(sc_data, st_data, coordinates, labels, n_iter=3).run()
        np.testing.assert_allclose(other.loc[base.index].to_numpy(), base.to_numpy(), atol=1e-4)
    arrays, _ = AttentionRegressionDeconv(
        sc.to_numpy(), sparse.csr_matrix(st.to_numpy()), xy.to_numpy(), labels, n_iter=3
    ).run()
    np.testing.assert_allclose(arrays.to_numpy(), base.to_numpy(), atol=1e-6)


def test_parts_of_a_type_are_its_own_cells_and_those_alike():
    random = np.random.default_rng(0)
    kind = np.repeat(np.arange(4), 30)
    places = np.eye(4)[kind] + random.normal(0, 0.05, (120, 4))
    part, owner = _finer.parts(places, kind // 2, 2, 2)
    assert owner.tolist() == [[1, 1, 0, 0], [0, 0, 1, 1]]
    assert all(len(set(part[kind == k])) == 1 for k in range(4)) and len(set(part)) == 4
    moved = random.permutation(120)
    np.testing.assert_array_equal(_finer.parts(places[moved], kind[moved] // 2, 2, 2)[0], part[moved])
    assert _finer.parts(places, kind, 4, 12)[1].shape == (4, 12)  # ten cells a part


def test_many_regressions_at_once_are_nonnegative_least_squares():
    gram, projected, X, B, _ = problem()
    scale = np.trace(gram) / 5
    V = _finer.nonnegative(gram / scale, projected / scale, np.full((60, 5), 0.2))
    np.testing.assert_allclose(V, [nnls(B.T, x)[0] for x in X], atol=1e-3)
    pytest.importorskip("torch")
    other = _finer.nonnegative(gram / scale, projected / scale, np.full((60, 5), 0.2), backend.library("cpu", "torch"))
    np.testing.assert_allclose(other, V, atol=1e-5)


def test_genes_weigh_more_where_the_spots_own_types_have_few_counts_of_them():
    cells = sparse.csr_matrix(np.tile([[9.0, 0, 1], [0, 9, 1]], (20, 1)))
    learned = _profiles.type_profiles(cells, np.tile([0, 1], 20), 2)
    observed = np.array([0.45, 0.45, 0.1])
    of_any, of_first = (_profiles.gene_weights(observed, learned, mix) for mix in (None, np.array([1.0, 0.0])))
    assert of_any[0] == pytest.approx(of_any[1])
    assert of_first[1] > 1.5 * of_first[0]


def test_what_a_type_has_in_parts_is_better_than_in_one():
    random = np.random.default_rng(0)
    profiles = random.gamma(0.5, 1.0, (6, 100)) + 0.02
    profiles /= profiles.sum(axis=1, keepdims=True)
    kind = np.repeat(np.arange(6), 40)  # two kinds of cells in each of three types
    cells = random.poisson(profiles[kind] * 1000)
    mix = random.dirichlet(np.full(6, 0.3), 120)
    spots = random.poisson(mix @ profiles * 2000)
    names = [f"t{k}" for k in range(3)]
    truth = pd.DataFrame(mix.reshape(-1, 3, 2).sum(axis=2), columns=names)
    model = AttentionRegressionDeconv(cells, spots, random.random((120, 2)), np.array(names)[kind // 2])
    proportions, _ = model.run()
    truth.index = proportions.index
    assert rmse(proportions, truth) < 0.8 * rmse(model.mode_, truth)


def test_less_than_part_of_a_cell_is_none():
    shares = np.array([[0.7, 0.288, 0.012], [0.7, 0.288, 0.012], [0.7, 0.296, 0.004]])
    kept = _fit.without_traces(shares, np.array([2.0, 8.0, 8.0]))
    assert (kept > 0).tolist() == [[True, True, False], [True, True, True], [True, True, False]]
    np.testing.assert_allclose(kept.sum(axis=1), 1)
    assert _fit.without_traces(np.full((1, 100), 0.01), np.ones(1)).min() > 0


def test_what_members_differ_by_is_part_of_the_doubt():
    members = [np.array([[0.6, 0.4]]), np.array([[0.6, 0.4]]), np.array([[0.9, 0.1]])]
    apart = _fit.averaged(members, np.full((1, 2), 0.05), np.ones(1))
    alike = _fit.averaged(members[:2], np.full((1, 2), 0.05), np.ones(1))
    np.testing.assert_allclose(apart.proportions, [[0.7, 0.3]])
    assert np.all(apart.deviation > np.hypot(alike.deviation, 0.1))
    assert np.all((apart.low < apart.proportions) & (apart.proportions < apart.high))
    assert apart.low.min() >= 0 and apart.high.max() <= 1


def test_more_outer_iterations_change_nothing():
    sc, st, xy, labels, _ = tissue(n_spots=60)
    five, fifty = (AttentionRegressionDeconv(sc, st, xy, labels, n_iter=n) for n in (5, 50))
    five.run(), fifty.run()
    assert np.abs(five.mode_ - fifty.mode_).to_numpy().max() < 1e-3


def test_edges_one_spot_an_empty_spot_twin_genes():
    sc, st, xy, labels, truth = tissue(n_spots=30)
    one_spot, _ = AttentionRegressionDeconv(sc, st.iloc[:1], xy.iloc[:1], labels).run()
    assert np.abs(one_spot - truth.iloc[:1]).to_numpy().max() < 0.1
    st = st.copy()
    st.iloc[3] = 0
    st["g001"] = 7
    sc["g002"], st["g002"] = sc["g003"], st["g003"]
    proportions, _ = AttentionRegressionDeconv(sc, st, xy, labels).run()
    np.testing.assert_allclose(proportions.sum(axis=1), 1, atol=1e-6)


def test_a_type_without_counts_in_shared_genes_is_left_out_with_a_note():
    sc, st, xy, labels, _ = tissue(n_spots=30)
    sc["elsewhere"] = 0
    sc.loc["c000"] = 0
    sc.loc["c000", "elsewhere"] = 5
    model = AttentionRegressionDeconv(sc, st, xy, ["lonely", *labels[1:]])
    proportions, _ = model.run()
    assert list(proportions.columns) == ["t0", "t1", "t2", "t3"]
    assert any("lonely" in note and "left out" in note for note in model.notes_)


def test_constant_and_twin_genes_change_little():
    sc, st, xy, labels, _ = tissue(n_spots=60)
    base, _ = AttentionRegressionDeconv(sc, st, xy, labels, n_iter=3).run()
    more = [table.assign(twin=table["g003"], constant=5) for table in (sc, st)]
    other, _ = AttentionRegressionDeconv(*more, xy, labels, n_iter=3).run()
    assert rmse(other, base) < 0.02


def test_detail_is_believed_where_the_cells_are_the_spots_own():
    random = np.random.default_rng(0)
    profiles = random.dirichlet(np.full(300, 3.0)) * np.exp(random.normal(0, 1, (3, 300)) * (random.random(300) < 0.1))
    codes = np.repeat(np.arange(3), 8)
    own, others = (random.poisson(profiles[codes] * 300).astype(float) for _ in range(2))
    chosen = random.integers(24, size=(200, 3))
    spots = random.poisson(own[chosen].sum(axis=1))
    xy = random.random((200, 2))
    found = []
    for cells in (own, others):
        model = AttentionRegressionDeconv(cells, spots, xy, codes.astype(str))
        model.run()
        found.append(model.support_)
    assert found[0] > 0.75
    assert found[1] < found[0] - 0.2


@pytest.mark.parametrize(("within", "low", "high"), [(0.05, 0.9, 1.0), (1.0, 0.0, 0.5)])
def test_phi_is_the_likeliest(within, low, high):
    random = np.random.default_rng(0)
    side = 30
    xy = np.stack(np.meshgrid(np.arange(side), np.arange(side)), axis=-1).reshape(-1, 2)
    smooth = np.sin(xy[:, [0]] / 5 + np.arange(3)) + np.cos(xy[:, [1]] / 6)
    V = (smooth if within < 1 else 0) + random.normal(0, within, (side**2, 3))
    step = sparse.diags([np.ones(side - 1)] * 2, [-1, 1])
    W = sparse.csr_matrix(sparse.kron(step, sparse.eye(side)) + sparse.kron(sparse.eye(side), step))
    assert low <= _type_level.estimate_phi(W, V) <= high


def test_phi_estimated_runs_and_is_told():
    sc, st, xy, labels, truth = tissue()
    model = AttentionRegressionDeconv(sc, st, xy, labels, phi="estimated")
    proportions, _ = model.run()
    assert rmse(proportions, truth) < 0.05
    assert 0 <= model.summary()["phi"] < 1


def test_molecules_and_cells_differ_by_the_size_of_cells():
    random = np.random.default_rng(0)
    profiles = random.dirichlet(np.full(100, 0.3), 2)
    types = np.repeat([0, 1], 50)
    sc = random.poisson(profiles[types] * np.array([1000, 4000])[types][:, None])
    st = random.poisson((0.5 * profiles).sum(axis=0) * random.lognormal(8, 0.6, (40, 1)))
    xy = random.random((40, 2))
    cells, _ = AttentionRegressionDeconv(sc, st, xy, types.astype(str)).run()
    molecules, _ = AttentionRegressionDeconv(sc, st, xy, types.astype(str), output="molecules").run()
    assert abs(molecules["0"].mean() - 0.5) < 0.03
    assert cells["0"].mean() > 0.6


def test_platform_curve_is_found_and_chance_is_not_corrected():
    random = np.random.default_rng(0)
    profiles = random.dirichlet(np.full(400, 0.5), 3) + 1e-5
    cells = sparse.csr_matrix(random.poisson(np.repeat(profiles, 200, axis=0) * 2000).astype(float))
    learned = _profiles.type_profiles(cells, np.repeat(np.arange(3), 200), 3)
    mix = np.array([0.2, 0.3, 0.5])
    truth = mix @ profiles
    whole = ProfileSettings(believed=1)
    still = _profiles.platform_factors(truth, mix, learned.mean, learned, 1000, whole)
    assert np.abs(np.log(still[truth > 1e-3])).max() < 0.1
    bent = truth**0.8
    found = _profiles.platform_factors(bent / bent.sum(), mix, learned.mean, learned, 1000, whole)
    wanted = bent / bent.sum() / truth
    assert np.median(np.abs(np.log(found / wanted))) < 0.05


def test_posterior_of_two_types_is_the_one_computed_by_hand():
    gram = np.array([[1.0, 0.2], [0.2, 1.0]])
    projected = np.array([[0.55, 0.65]])
    precision = np.array([8.0])
    given = (backend.library(), gram, projected, np.zeros((1, 2)), precision, np.array([[0.5, 0.5]]), 0.4)
    drawn = np.array([V[0, 0] for V in islice(_posterior._chain(*given, seed=0, burn_in=25), 6_000)])
    x = np.linspace(0, 1, 20_001)
    V = np.c_[x, 1 - x]
    density = np.exp(precision * (V @ projected[0] - 0.5 * np.sum(V @ gram * V, axis=1)))
    odds = 0.4 / 0.6
    ends = density[[0, -1]]
    inside = odds * np.trapezoid(density, x)
    whole = ends.sum() + inside
    assert abs(np.mean(drawn == 0) - ends[0] / whole) < 0.03
    assert abs(drawn.mean() - (ends[1] + odds * np.trapezoid(x * density, x)) / whole) < 0.03


def test_cells_sum_to_proportions_and_the_right_ones_are_found():
    sc, st, xy, labels, _ = tissue(n_spots=40, depth=20_000)
    random = np.random.default_rng(0)
    chosen = random.integers(len(sc), size=40)  # spots that are one cell of the reference, much deeper
    st.iloc[:] = random.poisson(5 * sc.iloc[chosen].to_numpy())
    model = AttentionRegressionDeconv(sc, st, xy, labels, lambda_cell=0.01)
    proportions, _ = model.run()
    cells = model.map_cells()
    assert cells.shape == (40, len(sc))
    of_type = pd.get_dummies(labels).to_numpy(dtype=float)
    np.testing.assert_allclose(cells @ of_type, proportions, atol=1e-9)
    assert proportions[proportions > 0].min().min() >= 1 / 64
    heaviest = model.cells_[np.asarray(cells.argmax(axis=1)).ravel()]
    assert np.mean(heaviest == sc.index[chosen]) > 0.9


def test_scores_follow_their_definitions():
    random = np.random.default_rng(0)
    index, types = [f"s{i}" for i in range(20)], ["a", "b", "c"]
    P = pd.DataFrame(random.dirichlet(np.ones(3), 20), index, types)
    T = pd.DataFrame(random.dirichlet(np.ones(3), 20), index, types)
    sc, st, xy, labels, _ = tissue(n_spots=30)
    model = AttentionRegressionDeconv(sc, st, xy, labels)
    scores = model.evaluate(P, (5 * T).iloc[::-1, ::-1])
    assert np.isclose(scores["RMSE"], np.mean(np.sqrt(((P - T) ** 2).mean(axis=0))))
    assert np.isclose(scores["PCC"], np.mean([np.corrcoef(P[k], T[k])[0, 1] for k in types]))
    distances = [jensenshannon(p, t) for p, t in zip(P.to_numpy(), T.to_numpy(), strict=True)]
    assert np.isclose(scores["JSD"], np.mean(distances))
    bits = [jensenshannon(p, t, base=2) ** 2 for p, t in zip(P.to_numpy(), T.to_numpy(), strict=True)]
    assert np.isclose(scores["spotless"]["JSD"], np.mean(bits))
    assert np.isclose(scores["li2023"]["JSD"], np.median(bits))
    lacking = model.evaluate(P, T.rename(columns={"c": "d"}))
    assert lacking["missing_types"] == ["d"]
    assert lacking["unknown_types"] == ["c"]
    assert lacking["per_type"].loc["d", "PCC"] == 0
    assert lacking["n_types_skipped"] == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"phi": 1.0}, "phi is 1.0"),
        ({"lambda_spatial": -1.0}, "lambda_spatial is -1.0"),
        ({"n_iter": 0}, "n_iter is 0"),
        ({"k_neighbors": 0}, "k_neighbors is 0"),
        ({"max_cells_per_type": 0}, "max_cells_per_type is 0"),
        ({"celltype": ["a"] * 7}, "celltype has 7"),
    ],
)
def test_what_cannot_be_is_one_line(change, message):
    sc, st, xy, labels, _ = tissue(n_spots=30)
    with pytest.raises(InputError, match=message):
        AttentionRegressionDeconv(**({"sc_data": sc, "st_data": st, "st_coordinates": xy, "celltype": labels} | change))


@pytest.fixture(scope="module")
def small():
    sc, st, xy, labels, truth = tissue(n_spots=30)
    return sc, st, xy, labels.set_axis(sc.index), truth


def found(*arguments, **settings):
    return AttentionRegressionDeconv(*arguments, **({"n_iter": 1} | settings)).run()[0]


def test_labels_and_coordinates_follow_the_names_of_the_counts(small):
    sc, st, xy, labels, _ = small
    expected = found(sc, st, xy, labels)
    shuffled = labels.sample(frac=1, random_state=1)
    others = pd.Series(["t0", "t1"], ["elsewhere", "nowhere"])
    more = pd.concat([others, shuffled])
    metadata = pd.DataFrame({"orig.ident": "mouse", "subclass": shuffled, "nCount_RNA": 1})
    beside = pd.DataFrame({"barcode": shuffled.index, "celltype": shuffled.to_numpy()})
    moved = xy.sample(frac=1, random_state=2)
    for given in (shuffled, more, shuffled.astype("category"), metadata, beside, shuffled.to_dict()):
        pd.testing.assert_frame_equal(found(sc, st, xy, given), expected, rtol=0, atol=1e-12)
    for given in (
        moved,
        pd.concat([moved, pd.DataFrame({"x": [7.0], "y": [8.0]}, ["elsewhere"])]),
        moved[["y", "x"]],
        moved.assign(z=5)[["z", "y", "x"]],
        moved.rename(columns={"x": "col", "y": "row"})[["row", "col"]],
        moved.rename_axis("barcode").reset_index(),
        moved.set_axis(moved.index + "-1"),
    ):
        pd.testing.assert_frame_equal(found(sc, st, given, labels), expected, rtol=0, atol=1e-12)
    turned = found(sc.T, st.T.reset_index(names="gene"), moved, shuffled)
    pd.testing.assert_frame_equal(turned, expected, rtol=0, atol=1e-12)


def test_what_has_no_names_is_taken_by_position(small):
    sc, st, xy, labels, _ = small
    expected = found(sc, st, xy, labels)
    bare = sc.reset_index(drop=True)
    for cells, given in (
        (sc, list(labels)),
        (sc, labels.reset_index(drop=True)),
        (sc, labels.set_axis(range(1, len(labels) + 1))),
        (bare, labels),
        (bare, labels.to_frame("celltype")),
    ):
        np.testing.assert_allclose(found(cells, st, xy, given), expected, atol=1e-12)
    # numbers in another order are names
    numbered = labels.reset_index(drop=True).sample(frac=1, random_state=1)
    np.testing.assert_allclose(found(bare, st, xy, numbered), expected, atol=1e-12)
    as_arrays = found(sc.to_numpy(), sparse.csc_matrix(st.to_numpy()), xy.to_numpy().tolist(), labels.to_numpy())
    np.testing.assert_allclose(as_arrays, expected, atol=1e-12)
    unnamed = [pd.DataFrame(table.to_numpy()) for table in (sc, st, xy)]
    np.testing.assert_allclose(found(*unnamed, list(labels)), expected, atol=1e-12)


def test_anndata_brings_coordinates_and_types(small):
    sc, st, xy, labels, _ = small
    expected = found(sc, st, xy, labels)
    cells = AnnData(sparse.csr_matrix(sc.to_numpy(dtype=float)), pd.DataFrame({"kind": labels}), sc.iloc[:0].T)
    spots = AnnData(st.to_numpy(dtype=float), xy.iloc[:, :0], st.iloc[:0].T, obsm={"spatial": xy.to_numpy()})
    before = spots.X.copy()
    np.testing.assert_allclose(found(cells, spots, celltype="kind"), expected, atol=1e-12)
    np.testing.assert_allclose(found(cells, spots, xy.iloc[::-1], labels.iloc[::-1]), expected, atol=1e-12)
    np.testing.assert_allclose(found(cells, st, xy, "kind"), expected, atol=1e-12)
    shuffled = cells[np.random.default_rng(0).permutation(cells.n_obs)]
    from_anndata = AttentionRegressionDeconv.from_anndata(spots, shuffled, "kind", n_iter=1).run()[0]
    np.testing.assert_allclose(from_anndata, expected, atol=1e-12)
    layered = spots.copy()
    layered.layers["counts"] = layered.X
    layered.X = np.log1p(1e4 * layered.X / layered.X.sum(axis=1, keepdims=True))
    model = AttentionRegressionDeconv(cells, layered, celltype="kind", n_iter=1)
    assert model.notes_ == ["st_data: counts taken from layers['counts'], X has none"]
    np.testing.assert_allclose(model.run()[0], expected, atol=1e-12)
    np.testing.assert_array_equal(spots.X, before)
    with pytest.raises(InputError, match=r"sc_data\.obs has no column 'kimd'; did you mean 'kind'\?"):
        AttentionRegressionDeconv(cells, spots, celltype="kimd")
    del spots.obsm["spatial"]
    with pytest.raises(InputError, match="st_data: no coordinates"):
        AttentionRegressionDeconv(cells, spots, celltype="kind")


def test_another_order_costs_nothing_on_starmap():
    data = Path(os.environ.get("SPOTFUSE_DATA", ROOT.parent / "shared" / "data")) / "starmap_sim_deconv" / "fair"
    if not data.exists():
        pytest.skip("the shared slices are not here")
    sc, st = (anndata.read_h5ad(data / f"a_{name}.h5ad") for name in ("reference", "spots"))
    xy = pd.DataFrame(st.obsm["spatial"], st.obs_names, ["x", "y"]).sample(frac=1, random_state=1)
    labels = sc.obs["cell_type"].sample(frac=1, random_state=1)
    model = AttentionRegressionDeconv(sc.to_df(), st.to_df(), xy, labels)
    scores = model.evaluate(model.run()[0], pd.read_csv(data / "a_truth.tsv", sep="\t", index_col=0))
    assert scores["RMSE_overall"] == pytest.approx(0.0993, abs=5e-4)


def test_genes_are_those_of_one_name(small):
    sc, st, xy, labels, _ = small
    expected = found(sc, st, xy, labels)
    halves = pd.concat([st - st // 2, st // 2], axis=1)
    model = AttentionRegressionDeconv(sc, halves, xy, labels, n_iter=1)
    np.testing.assert_allclose(model.run()[0], expected, atol=1e-12)
    assert model.notes_ == ["st_data: 200 gene names stand more than once; their counts were added up"]


def with_one(table, value):
    table = table.astype(float)
    table.iloc[0, 0] = value
    return table


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda sc, st, xy, t: {"celltype": t.rename(lambda n: f"x{n}")}, "celltype has 0 of the 120 names of sc_data"),
        (lambda sc, st, xy, t: {"celltype": t.iloc[1:]}, "celltype has 119 of the 120 names .* lacks 'c000'"),
        (lambda sc, st, xy, t: {"celltype": t.rename({"c000": "c001"}).iloc[::-1]}, "celltype has 119 of"),
        (lambda sc, st, xy, t: {"celltype": list(t)[1:]}, "sc_data has 120 rows but celltype has 119"),
        (lambda sc, st, xy, t: {"celltype": pd.concat([t, t])}, "'c000' stands there more than once"),
        (lambda sc, st, xy, t: {"celltype": ["a"] * len(t)}, "celltype has one cell type, 'a'; two are needed"),
        (lambda sc, st, xy, t: {"celltype": t.where(t.isna())}, "celltype gives no cell a type"),
        (lambda sc, st, xy, t: {"celltype": t.to_frame("a").assign(b=t)}, r"which of its 2 columns .*\(a, b\)"),
        (lambda sc, st, xy, t: {"celltype": sc.iloc[:, :3]}, r"which of its 3 columns .*\(g000, g001, g002\)"),
        (lambda sc, st, xy, t: {"celltype": np.ones((3, 3))}, "celltype: give one type a cell"),
        (lambda sc, st, xy, t: {"celltype": "kind"}, "celltype 'kind' names a column, and sc_data is no AnnData"),
        (lambda sc, st, xy, t: {"st_coordinates": None}, "st_coordinates is missing"),
        (lambda sc, st, xy, t: {"st_coordinates": xy.iloc[2:]}, "st_coordinates has 28 of the 30 names of st_data"),
        (lambda sc, st, xy, t: {"st_coordinates": xy.to_numpy()[2:]}, "st_data has 30 rows but st_coordinates has 28"),
        (lambda sc, st, xy, t: {"st_coordinates": np.ones((30, 3))}, "st_coordinates must have two columns"),
        (lambda sc, st, xy, t: {"st_coordinates": np.ones(30)}, "st_coordinates must have two columns"),
        (lambda sc, st, xy, t: {"st_coordinates": np.ones((30, 2))}, "st_coordinates gives all spots the same place"),
        (lambda sc, st, xy, t: {"st_coordinates": with_one(xy, np.nan)}, "no x and y for 1 of 30 spots.*'s000'"),
        (lambda sc, st, xy, t: {"sc_data": with_one(sc, np.nan)}, "sc_data: the table has NaN"),
        (lambda sc, st, xy, t: {"st_data": with_one(st, np.inf)}, "st_data: the table has NaN or infinite"),
        (lambda sc, st, xy, t: {"st_data": with_one(st, -1)}, "st_data: the table has negative"),
        (lambda sc, st, xy, t: {"sc_data": 0 * sc}, "sc_data: all counts are 0"),
        (lambda sc, st, xy, t: {"st_data": 0 * st}, "st_data: all counts are 0"),
        (lambda sc, st, xy, t: {"st_data": st + 0j}, "st_data: .* is not a number"),
        (lambda sc, st, xy, t: {"st_data": st.assign(g000="much")}, "st_data: 'much' in column 'g000'"),
        (lambda sc, st, xy, t: {"st_data": "spots.csv"}, "st_data: a table of rows and columns is needed"),
        (lambda sc, st, xy, t: {"st_data": st.to_numpy()}, "sc_data names its genes and st_data does not"),
        (
            lambda sc, st, xy, t: {"sc_data": sc.to_numpy(), "st_data": st.to_numpy()[:, 1:]},
            "st_data has 199 genes and sc_data 200, without names",
        ),
        (lambda sc, st, xy, t: {"phi": "high"}, "phi is 'high'"),
        (lambda sc, st, xy, t: {"output": "spots"}, "output is 'spots'"),
        (lambda sc, st, xy, t: {"device": "gpu"}, "device is 'gpu'"),
        (lambda sc, st, xy, t: {"n_iter": 2.5}, "n_iter is 2.5"),
        (lambda sc, st, xy, t: {"lambda_ridge": None}, "lambda_ridge is None"),
    ],
)
def test_what_does_not_fit_is_one_line_that_names_the_argument(small, change, message):
    sc, st, xy, labels, _ = small
    usual = {"sc_data": sc, "st_data": st, "st_coordinates": xy, "celltype": labels}
    with pytest.raises(ValueError, match=message) as refused:
        AttentionRegressionDeconv(**usual | change(sc, st, xy, labels))
    said = str(refused.value)
    assert refused.type is InputError and "\n" not in said and "--" not in said and len(said) <= 300


def test_logged_counts_are_won_back_or_refused(small):
    sc, st, xy, labels, _ = small
    expected = found(sc, st, xy, labels)
    model = AttentionRegressionDeconv(np.log1p(sc), st, xy, labels, n_iter=1)
    np.testing.assert_allclose(model.run()[0], expected, atol=1e-12)
    assert any("sc_data: the table was log-transformed; counts were won back" in note for note in model.notes_)
    damaged = np.log1p((1 + 0.1 * np.random.default_rng(0).random(st.shape)) * st)
    damaged = damaged.apply(lambda row: np.log1p(1e4 * np.expm1(row) / np.expm1(row).sum()), axis=1)
    with pytest.raises(InputError, match="st_data: the table was log-transformed"):
        AttentionRegressionDeconv(sc, damaged, xy, labels)


def test_cells_without_type_and_empty_cells_and_spots_are_told(small, caplog):
    sc, st, xy, labels, _ = small
    sc, st, labels = sc.copy(), st.copy(), labels.astype(object)
    labels.iloc[:2] = [np.nan, ""]
    sc.iloc[2] = 0
    st.iloc[0] = 0
    model = AttentionRegressionDeconv(sc, st, xy, labels, n_iter=1)
    proportions, _ = model.run()
    assert model.notes_ == [
        "2 cells of 120 have no cell type; left out",
        "1 cells of 120 have no counts; left out",
        "1 spots of 30 have no counts of the genes used; their proportions are the mean of the others'",
    ]
    assert set(model.notes_) <= set(caplog.messages)
    assert len(model.cells_) == 117
    np.testing.assert_allclose(proportions.iloc[0], model.mode_.mean(), atol=1e-12)


def test_the_truth_is_found_by_name(small):
    sc, st, xy, labels, truth = small
    model = AttentionRegressionDeconv(sc, st, xy, labels, n_iter=1)
    proportions, _ = model.run()
    expected = model.evaluate(proportions, truth)["RMSE"]
    columns = list(truth.columns[::-1])
    more = pd.concat([truth, truth.iloc[:1].set_axis(["elsewhere"])])
    for given in (
        truth.sample(frac=1, random_state=0),
        more[columns],
        truth.reset_index(drop=True)[columns],
        truth.reset_index(names="spot"),
        truth.to_numpy(),
        pd.DataFrame(truth.to_numpy()),
    ):
        assert model.evaluate(proportions, given)["RMSE"] == pytest.approx(expected, abs=1e-12)
    assert model.evaluate(proportions, truth.iloc[:20])["n_spots"] == 20
    for given, message in (
        (truth.set_axis([f"x{i}" for i in range(30)]), "result_x has 0 of the 30 names of deconv_celltypes"),
        (more.iloc[5:], "result_x has 25 of the 30 names"),
        (truth.add_prefix("x"), "result_x: none of its columns is a cell type"),
        (with_one(truth, np.nan), "result_x: row 's000', column 't0': 'nan' is not a number from 0"),
        (truth.to_numpy()[1:], r"result_x has the shape \(29, 4\)"),
        (0 * truth, "result_x is 0 in all"),
    ):
        with pytest.raises(InputError, match=message):
            model.evaluate(proportions, given)
    with pytest.raises(InputError, match="deconv_celltypes is a ndarray"):
        model.evaluate(proportions.to_numpy(), truth)


def test_a_model_says_what_it_is_and_that_it_was_not_run(small):
    sc, st, xy, labels, _ = small
    model = AttentionRegressionDeconv(sc, st, xy, labels, n_iter=1, output="molecules")
    assert repr(model) == (
        "AttentionRegressionDeconv(30 spots × 200 genes, 120 cells of 4 types, n_iter=1, output='molecules'; not run)"
    )
    for early in (model.map_cells, model.summary):
        with pytest.raises(NotFittedError, match=r"call run\(\) before"):
            early()
    model.run()
    assert repr(model).endswith(f"; run in {model.elapsed_time_:.1f} s)")
    assert model.map_cells().shape == (30, 120)


def test_a_watched_run_shows_how_far_it_is_in_one_line(small, monkeypatch):
    sc, st, xy, labels, _ = small
    screen = io.StringIO()
    monkeypatch.setattr(screen, "isatty", lambda: True)
    monkeypatch.setattr("sys.stderr", screen)
    log = logging.getLogger("spotfuse")
    found(sc, st, xy, labels)
    said = screen.getvalue()
    assert said.startswith("\rdeconvolving 30 spots") and said.count("\n") == 1
    assert "\riteration 1 of 1" in said and "30 spots deconvolved in" in said
    assert not log.handlers and log.level == logging.NOTSET and log.propagate
    log.setLevel("ERROR")
    try:
        found(sc, st, xy, labels)
    finally:
        log.setLevel(logging.NOTSET)
    assert screen.getvalue() == said


def run(folder, step, *options):
    command = [sys.executable, ROOT / "bin" / f"{step}.py", "--sample", "x", *map(str, options)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_the_commands_on_the_demo(tmp_path):
    demo = ROOT / "assets" / "demo"
    if not (demo / "starmap_reference.h5ad").exists():
        pytest.skip("the demo slices are not here")
    for step, options in (
        ("prepare_slice", ["--data", demo / "starmap.h5ad"]),
        ("prepare_reference", ["--reference", demo / "starmap_reference.h5ad", "--cell-type-key", "cell_type"]),
        ("deconvolve", ["--prepared", "prepared.h5ad", "--reference", "reference.h5ad"]),
    ):
        done = run(tmp_path, step, *options)
        assert done.returncode == 0, done.stderr
    table = pd.read_csv(tmp_path / "proportions.tsv", sep="\t", index_col="spot")
    truth = pd.read_csv(demo / "starmap_proportions.tsv", sep="\t", index_col=0)
    st = anndata.read_h5ad(demo / "starmap.h5ad")
    assert list(table.index) == list(st.obs_names)
    assert list(table.columns) == sorted(truth.columns)
    assert rmse(table, truth) < 0.088
    spread = pd.read_csv(tmp_path / "proportions_sd.tsv", sep="\t", index_col="spot")
    assert spread.shape == table.shape and spread.to_numpy().min() >= 0
    cells = anndata.read_h5ad(tmp_path / "cell_map.h5ad")
    of_type = pd.get_dummies(cells.var["cell_type"])[table.columns].to_numpy(dtype=float)
    np.testing.assert_allclose(cells.X @ of_type, table, atol=2e-5)
    fit = pd.read_csv(tmp_path / "deconvolution_fit.tsv", sep="\t", index_col="spot")
    assert list(fit.index) == list(table.index)
    assert fit["explained"].between(-1, 1).all()


def test_both_methods_of_the_command(tmp_path):
    demo = ROOT / "assets" / "test"
    slices = {path.stem for path in demo.glob("*.h5ad")}
    if not {"starmap_left", "starmap_reference"} <= slices:
        pytest.skip("the test slices are not here")
    for step, options in (
        ("prepare_slice", ["--data", demo / "starmap_left.h5ad"]),
        ("prepare_reference", ["--reference", demo / "starmap_reference.h5ad"]),
        ("deconvolve", ["--prepared", "prepared.h5ad", "--reference", "reference.h5ad", "--method", "both"]),
    ):
        done = run(tmp_path, step, *options)
        assert done.returncode == 0, done.stderr
    assert "iteration 5 of 5" in done.stderr and "uncertainty of" in done.stderr
    tables = [
        pd.read_csv(tmp_path / name, sep="\t", index_col="spot")
        for name in ("proportions.tsv", "proportions_cell_mapping.tsv")
    ]
    assert tables[0].index.equals(tables[1].index) and list(tables[0]) == list(tables[1])
    assert 0 < rmse(*tables) < 0.15
    note = json.loads((tmp_path / "deconvolution.json").read_text())
    assert note["method"] == "attention_regression" and note["cell_mapping"]["method"] == "cell_mapping"
    assert "leaves them as they are" in note["proportions"]
    options = ["--method", "cell_mapping", "--temperature", "0.5", "--retain-percent", "0.1"]
    done = run(tmp_path, "deconvolve", "--prepared", "prepared.h5ad", "--reference", "reference.h5ad", *options)
    assert done.returncode == 0, done.stderr
    heavy = pd.read_csv(tmp_path / "proportions.tsv", sep="\t", index_col="spot")
    assert (heavy == 0).mean().mean() > 0.2 + (tables[1] == 0).mean().mean()
    fit = pd.read_csv(tmp_path / "deconvolution_fit.tsv", sep="\t", index_col="spot")
    assert list(fit) == ["residual", "explained"] and fit["explained"].median() > 0.5
