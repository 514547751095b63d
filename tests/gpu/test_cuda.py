"""The same partition on a GPU as on the CPU. `make test-gpu` runs these, and prints times and memory beside."""

from pathlib import Path

import anndata as ad
import numpy as np
import pytest
import torch
from anndata import AnnData
from sklearn.metrics import adjusted_rand_score
from spotfuse import domains, encoder, preparation, qc

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device is found here"),
]


@pytest.fixture(scope="module")
def cortex(demo: Path) -> AnnData:
    """A whole real slice, prepared."""
    adata = qc.filter(ad.read_h5ad(demo / "dlpfc_151673.h5ad"))[0]
    adata = adata[np.argsort(adata.obs_names), np.argsort(adata.var_names)].copy()
    preparation.prepare(adata)
    return adata


@pytest.mark.parametrize("name", ["spotfuse", "published"])
def test_partition_is_that_of_the_cpu(cortex: AnnData, name: str) -> None:
    labels = {}
    for device in ("cpu", "cuda"):
        values = encoder.train(cortex, encoder=name, device=device).values
        labels[device] = domains.assign(cortex, values, 7).labels
    assert adjusted_rand_score(labels["cpu"], labels["cuda"]) >= 0.98


@pytest.mark.parametrize("name", ["spotfuse", "published"])
def test_a_gpu_repeats_itself(cortex: AnnData, name: str) -> None:
    first, second = (encoder.train(cortex, encoder=name, epochs=20, device="cuda").values for _ in range(2))
    np.testing.assert_allclose(first, second, rtol=1e-4, atol=1e-5)


def test_tiles_of_a_large_slice(cortex: AnnData, monkeypatch: pytest.MonkeyPatch) -> None:
    from spotfuse.encoder import _spotfuse

    monkeypatch.setattr(_spotfuse, "_TILE", 500)
    values = {device: encoder.train(cortex, epochs=30, device=device).values for device in ("cpu", "cuda")}
    np.testing.assert_allclose(values["cpu"], values["cuda"], rtol=0.02, atol=0.02)
