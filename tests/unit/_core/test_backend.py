"""Where to work is decided in one place, for every step alike."""

import numpy as np
import pytest
from anndata import AnnData
from scipy import sparse
from spotfuse import InputError, SpatialFusion, embedding
from spotfuse._core import backend
from spotfuse.proportions import AttentionRegressionDeconv

NOT_HERE = "device cuda: no CUDA device is found here"


@pytest.fixture
def slice_() -> AnnData:
    random = np.random.default_rng(0)
    adata = AnnData(sparse.csr_matrix(random.poisson(3.0, (40, 30)).astype(np.float32)))
    adata.obsm["spatial"] = random.random((40, 2))
    adata.obs["cell_type"] = np.array(["a", "b"])[random.integers(2, size=40)]
    return adata


def test_cuda_without_a_device_is_refused_everywhere(slice_: AnnData, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, "_has_cuda", lambda: False)
    assert backend.device() == backend.device("cpu") == "cpu"
    fusion = SpatialFusion(slice_, slice_, device="cuda:0")
    regression = AttentionRegressionDeconv.from_anndata(slice_, slice_, device="cuda")
    for step in (
        lambda: backend.device("cuda"),
        lambda: embedding.train(slice_, device="cuda"),
        fusion.train,
        fusion.train_map,
        regression.run,
    ):
        with pytest.raises(InputError, match=NOT_HERE):
            step()
    with pytest.raises(InputError, match="must be auto, cpu or cuda"):
        backend.device("tpu")


def test_auto_takes_a_device_that_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, "_has_cuda", lambda: True)
    assert backend.device() == backend.device("cuda") == "cuda"
    assert backend.device("cpu") == "cpu"


@pytest.mark.parametrize("name", ["numpy", "torch"])
def test_arrays_and_sparse_matrices_go_there_and_back(name: str) -> None:
    using = backend.library("cpu", name)
    values = np.arange(6.0).reshape(2, 3)
    np.testing.assert_array_equal(using.get(using.put(values)), values)
    matrix = sparse.csr_matrix([[0.0, 2.0], [1.0, 0.0]])
    np.testing.assert_array_equal(using.get(using.put(matrix) @ using.put(values)), matrix @ values)
    assert float(using.special.ndtri(using.put(np.array([0.5])))[0]) == 0
