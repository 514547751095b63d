"""The same seed and threads give the same bytes, in this process and in a fresh one."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from anndata import AnnData
from scipy import sparse
from spotfuse import domains, embedding, io, preparation

ENCODERS = pytest.mark.parametrize("name", ["spotfuse", "published"])


@pytest.fixture(scope="module")
def prepared() -> AnnData:
    rng = np.random.default_rng(11)
    place = rng.random((400, 2)) * 100
    program = rng.gamma(1, 2, size=(3, 150))
    counts = rng.poisson(program[(place[:, 0] // 34).astype(int)] * rng.gamma(4, 0.25, size=(400, 1)))
    adata = AnnData(sparse.csr_matrix(counts.astype(np.float32)), obsm={"spatial": place})
    preparation.prepare(adata, n_components=20)
    return adata


@pytest.fixture(autouse=True)
def threads_as_before():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@ENCODERS
def test_threads_are_set_and_repeat_their_bytes(prepared: AnnData, name: str) -> None:
    one = embedding.train(prepared, encoder=name, epochs=5, threads=1)
    two, again = (embedding.train(prepared, encoder=name, epochs=5, threads=2) for _ in range(2))
    assert torch.get_num_threads() == 2
    assert two.values.tobytes() == again.values.tobytes()
    assert two.attention.tobytes() == again.attention.tobytes()
    # more threads add in another order, and nothing else
    np.testing.assert_allclose(one.values, two.values, atol=1e-3 * np.abs(one.values).max())


def test_domains_repeat_their_bytes_whatever_the_threads(prepared: AnnData) -> None:
    values = embedding.train(prepared, epochs=10).values
    found = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        found.append(domains.assign(prepared, values, 3))
    assert found[0].probabilities.tobytes() == found[1].probabilities.tobytes()
    assert found[0].labels.tobytes() == found[1].labels.tobytes()


def test_a_fresh_process_gives_the_same_bytes(prepared: AnnData, root: Path, tmp_path: Path) -> None:
    prepared.obs["input_row"] = np.arange(prepared.n_obs)  # as prepare_slice has it
    io.write(prepared, tmp_path / "prepared.h5ad")
    command = [sys.executable, root / "bin/train.py", "--sample", "S", "--prepared", "prepared.h5ad", "--device", "cpu"]
    command += ["--epochs", "5", "--seed", "7", "--threads", "1"]
    subprocess.run(command, cwd=tmp_path, env=os.environ | {"PYTHONHASHSEED": "5"}, check=True, capture_output=True)
    here = embedding.train(prepared, epochs=5, seed=7, device="cpu", threads=1)
    with np.load(tmp_path / "embedding.npz") as there:
        assert there["spot"].tolist() == prepared.obs_names.tolist()
        assert there["embedding"].tobytes() == here.values.tobytes()
