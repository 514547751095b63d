"""Nothing of size spots × spots, from counts to labels."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

N_SPOTS = 20_000
RUN = """
import json, resource, sys
from pathlib import Path
import numpy as np
from anndata import AnnData
from scipy import sparse
from spotfuse import domains, embedding, preparation

def counts(n):
    random = np.random.default_rng(0)
    place = random.random((n, 2)) * np.sqrt(n)
    mean = np.where((place[:, :1] * 4 // np.sqrt(n) % 2 == 0) == (np.arange(60) < 30), 3.0, 1.0)
    return AnnData(sparse.csr_matrix(random.poisson(mean).astype(np.float32)), obsm={"spatial": place})

def held():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()

def peak():  # getrusage would tell the parent's, where that held more
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) * 1024

def run(n):
    adata = counts(n)
    preparation.prepare(adata, n_components=20)
    values = embedding.train(adata, epochs=10, device="cpu").values
    return int(domains.assign(adata, values, 2).labels.max())

run(500)  # brings in all that is imported
before = held()
print(json.dumps({"k": run(int(sys.argv[1])), "grown": peak() - before, "before": before}))
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory in use is read from /proc")
def test_memory_at_20000_spots_is_below_a_byte_for_each_pair(root: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(N_SPOTS)],
        env={"PYTHONPATH": str(root / "bin"), "OMP_NUM_THREADS": "1", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["k"] == 2
    # also an array of truth values for all pairs, or of a quarter of them as floats, would show
    assert found["grown"] < N_SPOTS**2, found
