"""The same partition and proportions on a GPU as on the CPU. `make test-gpu` runs these, and prints times beside."""

from functools import partial
from pathlib import Path

import anndata as ad
import numpy as np
import pytest
import torch
from anndata import AnnData
from sklearn.metrics import adjusted_rand_score
from spotfuse import AttentionRegressionDeconv, domains, embedding, preparation

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device is found here"),
]


@pytest.fixture(scope="module")
def cortex(demo: Path) -> AnnData:
    """A whole real slice, prepared."""
    adata = preparation.quality_control(ad.read_h5ad(demo / "dlpfc_151673.h5ad"))[0]
    adata = adata[np.argsort(adata.obs_names), np.argsort(adata.var_names)].copy()
    preparation.prepare(adata)
    return adata


@pytest.mark.parametrize("name", ["spotfuse", "published"])
def test_partition_is_that_of_the_cpu(cortex: AnnData, name: str) -> None:
    labels = {}
    for device in ("cpu", "cuda"):
        values = embedding.train(cortex, encoder=name, device=device).values
        labels[device] = domains.assign(cortex, values, 7).labels
    assert adjusted_rand_score(labels["cpu"], labels["cuda"]) >= 0.98


@pytest.mark.parametrize("name", ["spotfuse", "published"])
def test_a_gpu_repeats_itself(cortex: AnnData, name: str) -> None:
    first, second = (embedding.train(cortex, encoder=name, epochs=20, device="cuda").values for _ in range(2))
    np.testing.assert_allclose(first, second, rtol=1e-4, atol=1e-5)


def test_tiles_of_a_large_slice(cortex: AnnData) -> None:
    from spotfuse.embedding._spotfuse import Settings, Spotfuse

    tiled = partial(Spotfuse.from_slice, settings=Settings(tile=500))
    values = {
        device: embedding.train(cortex, encoder=tiled, epochs=30, device=device).values for device in ("cpu", "cuda")
    }
    np.testing.assert_allclose(values["cpu"], values["cuda"], rtol=0.02, atol=0.02)


def test_proportions_are_those_of_the_cpu(demo: Path) -> None:
    st, sc = (ad.read_h5ad(demo / f"{name}.h5ad") for name in ("starmap", "starmap_reference"))
    models = {}
    for device in ("cpu", "cuda"):
        models[device] = AttentionRegressionDeconv.from_anndata(st, sc, device=device)
        models[device].run()
    np.testing.assert_allclose(models["cpu"].mode_, models["cuda"].mode_, atol=1e-5)
    # a draw that rounding turns moves a share by some thousandths
    apart = np.abs(models["cpu"].proportions_ - models["cuda"].proportions_).to_numpy()
    assert np.quantile(apart, 0.99) < 1e-5 and apart.max() < 0.02
