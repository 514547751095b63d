import re
from functools import partial

import numpy as np
import pytest
import torch
from anndata import AnnData
from scipy import sparse
from spotfuse import embedding, preparation
from spotfuse._core.errors import InputError
from spotfuse.embedding._spotfuse import Settings, Spotfuse


@pytest.fixture(scope="module")
def prepared() -> AnnData:
    rng = np.random.default_rng(0)
    place = rng.random((250, 2))
    mean = np.ones((250, 60))
    mean[place[:, 0] > 0.5, :20] *= 4
    adata = AnnData(sparse.csr_matrix(rng.poisson(mean).astype(np.float32)), obsm={"spatial": place})
    preparation.prepare(adata)
    return adata


def test_training_lowers_the_loss_and_keeps_its_history(prepared):
    learned = embedding.train(prepared, epochs=40)
    assert learned.values.shape[0] == prepared.n_obs
    assert learned.values.dtype == learned.attention.dtype == np.float32
    assert np.isfinite(learned.values).all()
    np.testing.assert_allclose(learned.attention.sum(axis=1), 1, rtol=1e-5)
    history = learned.losses
    assert list(history["epoch"]) == list(range(1, 41))
    np.testing.assert_allclose(history["loss"], history.iloc[:, 2:].sum(axis=1))
    assert history["loss"].tail(5).mean() < history["loss"].head(5).mean()


def test_the_embedding_tells_the_halves_apart(prepared):
    values = embedding.train(prepared, epochs=100).values
    right = prepared.obsm["spatial"][:, 0] > 0.5
    gap = values[right].mean(axis=0) - values[~right].mean(axis=0)
    side = values @ gap
    assert ((side > np.median(side)) == right).mean() > 0.9


def test_a_seed_decides_everything(prepared):
    first = embedding.train(prepared, epochs=5, seed=3)
    torch.rand(7)  # whoever draws from torch's own generator changes nothing
    again = embedding.train(prepared, epochs=5, seed=3)
    other = embedding.train(prepared, epochs=5, seed=4)
    assert np.array_equal(first.values, again.values)
    assert first.losses.equals(again.losses)
    assert not np.array_equal(first.values, other.values)


def test_tiles_cover_the_slice_once_and_train_as_well(prepared):
    tiles = preparation.tiles(prepared.obsm["spatial"], 70)
    assert max(map(len, tiles)) <= 70
    assert np.array_equal(np.sort(np.concatenate(tiles)), np.arange(prepared.n_obs))
    in_tiles = partial(Spotfuse.from_slice, settings=Settings(tile=70))
    learned = embedding.train(prepared, encoder=in_tiles, epochs=40)
    assert learned.losses["loss"].tail(5).mean() < learned.losses["loss"].head(5).mean()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"encoder": "best"}, "encoder is 'best'"),
        ({"epochs": 0}, "epochs is 0"),
        ({"device": "tpu"}, "device is 'tpu'"),
    ],
)
def test_wrong_options_are_refused(prepared, wrong, said):
    with pytest.raises(InputError, match=said):
        embedding.train(prepared, **wrong)


def test_the_log_tells_memory_epochs_and_the_time_left(prepared, caplog):
    with caplog.at_level("INFO"):
        embedding.train(prepared, epochs=20)
    assert re.search(r"250 spots, 20 epochs, about \d+ MB and \d+ s", caplog.text)
    assert re.search(r"epoch 10 of 20: .*; \d+ s left", caplog.text)
