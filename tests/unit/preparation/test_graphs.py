import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from spotfuse import preparation
from spotfuse.preparation import _graphs


def slice_at(coordinates, **columns) -> AnnData:
    coordinates = np.asarray(coordinates, dtype=float)
    obs = pd.DataFrame(columns, index=[f"s{i}" for i in range(len(coordinates))])
    return AnnData(sparse.csr_matrix((len(coordinates), 1)), obs=obs, obsm={"spatial": coordinates})


def degrees(graph) -> np.ndarray:
    return np.asarray(graph.sum(axis=1)).ravel()


def hexagons(side: int) -> tuple[np.ndarray, np.ndarray]:
    row, column = np.divmod(np.arange(side * side), side)
    return row, 2 * column + row % 2


def is_symmetric_without_diagonal(graph) -> bool:
    return abs(graph - graph.T).nnz == 0 and not graph.diagonal().any()


def test_visium_spots_get_their_six_neighbours_whatever_the_pixels_say():
    row, column = hexagons(9)
    pixels = np.random.default_rng(0).random((81, 2))
    graph = preparation.spatial_graph(slice_at(pixels, array_row=row, array_col=column))
    assert is_symmetric_without_diagonal(graph)
    inner = (row > 0) & (row < 8) & (column > 1) & (column < 16)
    assert (degrees(graph)[inner] == 6).all()
    source, target = graph.nonzero()
    step = np.stack([np.abs(row[source] - row[target]), np.abs(column[source] - column[target])], axis=1)
    assert set(map(tuple, step)) == {(0, 2), (1, 1)}


def test_hexagons_without_array_columns_give_the_same_graph():
    row, column = hexagons(20)
    pixels = np.stack([column * 50.0, row * 86.6], axis=1).round()
    with_columns = preparation.spatial_graph(slice_at(pixels, array_row=row, array_col=column))
    without = preparation.spatial_graph(slice_at(pixels))
    assert abs(with_columns - without).nnz == 0


def test_squares_have_eight_neighbours_with_and_without_columns():
    row, column = np.divmod(np.arange(100), 10)
    place = np.stack([row, column], axis=1)
    for adata in (slice_at(place * 200.0, array_x=row, array_y=column), slice_at(place * 200.0)):
        graph = preparation.spatial_graph(adata)
        inner = (place > 0).all(axis=1) & (place < 9).all(axis=1)
        assert (degrees(graph)[inner] == 8).all()
        assert (degrees(graph)[~inner] <= 5).all()


@pytest.mark.parametrize("pitch", [(100, 200), (500, 100), (100, 1500)])
@pytest.mark.parametrize("degrees_turned", [0, 27])
def test_an_array_of_unequal_pitch_without_columns_is_no_set_of_lines(pitch, degrees_turned):
    row, column = np.divmod(np.arange(600), 20)
    place = np.stack([column * pitch[0], row * pitch[1]], axis=1).astype(float)
    angle = np.deg2rad(degrees_turned)
    place = place @ np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    graph = preparation.spatial_graph(slice_at(place))
    with_columns = preparation.spatial_graph(slice_at(place, array_row=row, array_col=column))
    assert abs(graph - with_columns).nnz == 0
    assert connected_components(graph)[0] == 1 and _graphs.oddities(graph) == []


@pytest.mark.parametrize("stretch", [2, 5])
@pytest.mark.parametrize("axis", [0, 1])
def test_hexagons_scaled_along_one_axis_keep_their_six_neighbours(stretch, axis):
    row, column = hexagons(20)
    pixels = np.stack([column * 50.0, row * 86.6], axis=1)
    pixels[:, axis] *= stretch
    graph = preparation.spatial_graph(slice_at(pixels))
    with_columns = preparation.spatial_graph(slice_at(pixels, array_row=row, array_col=column))
    assert degrees(graph).mean() > 4 and connected_components(graph)[0] == 1
    if axis == 1:  # else spots two rows up are nearer than those beside, and the six of another hexagon as good
        assert abs(graph - with_columns).nnz == 0


def test_paired_beads_have_neighbours_beyond_each_other():
    row, column = hexagons(20)
    place = np.stack([column * 50.0, row * 86.6], axis=1)
    turn = np.random.default_rng(0).random(len(place)) * 2 * np.pi
    pairs = np.concatenate([place, place + np.stack([np.cos(turn), np.sin(turn)], axis=1)])
    graph = preparation.spatial_graph(slice_at(pairs))
    assert degrees(graph).min() >= 6 and connected_components(graph)[0] == 1


def test_spots_in_a_row_and_pieces_far_apart_are_told():
    line = preparation.spatial_graph(slice_at(np.stack([np.arange(30.0), np.zeros(30)], axis=1)))
    assert connected_components(line)[0] == 1
    row, column = np.divmod(np.arange(16), 4)
    pieces = np.concatenate([np.stack([column, row], axis=1) + 1000 * i for i in range(12)])
    [told] = _graphs.oddities(preparation.spatial_graph(slice_at(pieces)))
    assert "5.2 neighbours a spot and 12 parts" in told


def test_two_slices_on_one_array_fall_back_to_coordinates():
    row, column = hexagons(5)
    place = np.stack([column, row], axis=1)
    far = np.concatenate([place, place + 1000])
    graph = preparation.spatial_graph(slice_at(far, array_row=np.tile(row, 2), array_col=np.tile(column, 2)))
    assert graph[:25, 25:].nnz == 0


def test_duplicated_places_and_a_spot_far_away():
    rng = np.random.default_rng(1)
    place = rng.random((200, 2))
    place[50:60] = place[0]
    place[199] = 1e4
    graph = preparation.spatial_graph(slice_at(place))
    assert is_symmetric_without_diagonal(graph)
    assert degrees(graph)[199] == 0
    assert (degrees(graph)[:199] >= 6).all()


@pytest.mark.parametrize("n", [2, 5])
def test_fewer_spots_than_neighbours(n):
    graph = preparation.spatial_graph(slice_at(np.random.default_rng(0).random((n, 2))))
    assert (degrees(graph) == n - 1).all()


def test_feature_graph_is_the_union_of_both_choices():
    features = np.random.default_rng(2).standard_normal((300, 8)).astype(np.float32)
    graph = _graphs.feature_graph(features, n_neighbors=5)
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    similarity = unit @ unit.T
    np.fill_diagonal(similarity, -2)
    chosen = np.zeros((300, 300))
    np.put_along_axis(chosen, np.argsort(-similarity, axis=1)[:, :5], 1, axis=1)
    np.testing.assert_array_equal(graph.toarray(), (chosen + chosen.T) / 2)


def test_averaging_rows_sum_to_one_and_lonely_spots_keep_themselves():
    graph = sparse.csr_matrix(np.array([[0, 1, 1, 0], [1, 0, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]], dtype=float))
    np.testing.assert_allclose(
        preparation.averaging(graph, self_weight=0.5).toarray(),
        [[0.5, 0.25, 0.25, 0], [0.5, 0.5, 0, 0], [0.5, 0, 0.5, 0], [0, 0, 0, 1]],
    )


def test_large_slices_find_nearly_all_neighbours_in_tiles():
    rng = np.random.default_rng(3)
    features = (rng.standard_normal((4000, 3)) @ rng.standard_normal((3, 20))).astype(np.float32)
    features += 0.3 * rng.standard_normal(features.shape).astype(np.float32)
    features[1000:2500] = features[0]  # more spots alike than a tile holds
    features[2500:2600] = 0
    exact = _graphs.feature_graph(features, n_neighbors=10)
    found = _graphs.feature_graph(features, 10, preparation.Settings(exact_spots=1000, tile=100))
    assert is_symmetric_without_diagonal(found)
    apart = np.r_[1:1000, 2600:4000]
    assert exact[apart].minimum(found[apart]).sum() > 0.9 * exact[apart].sum()
    assert np.diff(found.indptr)[np.r_[:2500, 2600:4000]].min() >= 10


def test_tiles_are_balanced_and_compact():
    points = np.random.default_rng(4).random((1000, 2)) * [4, 1]
    cut = preparation.tiles(points, 130)
    assert {len(tile) for tile in cut} == {125}
    assert np.array_equal(np.sort(np.concatenate(cut)), np.arange(1000))
    assert max(np.ptp(points[tile], axis=0).max() for tile in cut) < 1.2
