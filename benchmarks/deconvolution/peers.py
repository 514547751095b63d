"""Peers, each a program of its own: an environment a peer, made once; a limit of processor time; nothing imported.

What a peer answered to an input is kept beside its environment, so that a table is made again in minutes.
"""

import hashlib
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import anndata
import pandas as pd
from scipy import sparse

HERE = Path(__file__).resolve().parent
CACHE = Path(os.environ.get("SPOTFUSE_CACHE", Path.home() / ".cache/spotfuse")) / "peers"
SECONDS = 1800  # of processor time, a set
PACKAGES = {
    "rctd": ["rctd-py", "numba"],  # numba for its table of likelihoods
    "flashdeconv": ["flashdeconv"],
    "celltypist": ["celltypist", "scikit-learn<1.8"],  # of single cells; it passes an option that is gone
    "tangram": ["tangram-sc", "pandas<3"],  # it reads a Series by position
    "cell2location": ["cell2location==0.1.5", "pyro-ppl==1.9.1"],
}
QUICK = ("flashdeconv",)


class NoResultError(Exception):
    """A peer that does not install, fails or takes too long."""


def environment(name: str) -> Path:
    """Make a peer's environment where there is none, and give its folder of programs."""
    folder = CACHE / name
    if (folder / "failed").exists():
        raise NoResultError("does not install")
    if not (folder / "ready").exists():
        steps: tuple[list[str | Path], ...] = (
            ["uv", "venv", "--quiet", "--clear", "--python", sys.executable, folder],
            ["uv", "pip", "install", "--quiet", "--python", folder / "bin/python", "anndata", *PACKAGES[name]],
        )
        if name == "rctd":
            steps += ([folder / "bin/python", HERE / "peer.py", "rctd_tables", folder / "q_matrices.npz"],)
        for step in steps:
            if subprocess.run(step, capture_output=True, check=False).returncode:
                folder.mkdir(parents=True, exist_ok=True)
                (folder / "failed").touch()
                raise NoResultError("does not install")
        (folder / "ready").touch()
    return folder / "bin"


def version(name: str) -> str:
    """Give the peer's installed version."""
    code = f"from importlib.metadata import version; print(version('{PACKAGES[name][0].split('==')[0]}'))"
    done = subprocess.run([environment(name) / "python", "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def run(name: str, st: anndata.AnnData, sc: anndata.AnnData) -> tuple[pd.DataFrame, float]:
    """Give a peer's proportions and its seconds of processor time, kept ones if it was given the same before."""
    kept = CACHE / name / f"{_digest(version(name), st, sc)}.tsv"
    if not kept.exists():
        table, seconds = _run(name, st, sc)
        table.rename_axis(f"{seconds:.1f}").to_csv(kept, sep="\t")
    table = pd.read_csv(kept, sep="\t", index_col=0)
    seconds, table.index = float(str(table.index.name)), table.index.astype(str)
    return table, seconds


def _digest(used: str, st: anndata.AnnData, sc: anndata.AnnData) -> str:
    """Tell one input of one version from any other."""
    parts = [(HERE / "peer.py").read_bytes(), used.encode(), st.obsm["spatial"].tobytes()]
    parts += [" ".join(map(str, names)).encode() for names in (st.obs_names, st.var_names, sc.var_names)]
    parts.append(" ".join(map(str, sc.obs["cell_type"])).encode())
    for matrix in (st.X, sc.X):
        whole = sparse.csr_matrix(matrix)
        parts += [whole.data.tobytes(), whole.indices.tobytes(), whole.indptr.tobytes()]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]


def _run(name: str, st: anndata.AnnData, sc: anndata.AnnData) -> tuple[pd.DataFrame, float]:
    programs = environment(name)
    with tempfile.TemporaryDirectory() as given:
        folder = Path(given)
        anndata.AnnData(st.X, obs=st.obs[[]], var=st.var[[]], obsm={"spatial": st.obsm["spatial"]}).write_h5ad(
            folder / "spots.h5ad"
        )
        anndata.AnnData(sc.X, obs=sc.obs[["cell_type"]], var=sc.var[[]]).write_h5ad(folder / "reference.h5ad")
        out = folder / "proportions.tsv"
        files = [folder / "spots.h5ad", folder / "reference.h5ad"]
        command = [programs / "python", HERE / "peer.py", name, *files, out]
        if name == "rctd":  # its own command: no type is too rare, no spot too poor
            command = [programs / "rctd", "run", *files, "--mode", "full", "--cell-min", "1", "--umi-min", "1"]
            command += ["--min-umi-ref", "1", "--device", "cpu", "--no-compile", "-q", "-o", folder / "out.h5ad"]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(
            command,
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | {"OMP_NUM_THREADS": "1", "RCTD_Q_MATRICES": str(programs.parent / "q_matrices.npz")},
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS)),
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        if done.returncode:
            late = seconds >= 0.95 * SECONDS
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise NoResultError(f"more than {SECONDS // 60} minutes" if late else f"failed: {last[:80]}")
        if name == "rctd":
            result = anndata.read_h5ad(folder / "out.h5ad")
            table = pd.DataFrame(
                result.obsm["rctd_weights"], result.obs_names, list(result.uns["rctd_cell_type_names"])
            )
        else:
            table = pd.read_csv(out, sep="\t", index_col=0)
            table.index = table.index.astype(str)
    table = table.fillna(0.0).clip(lower=0)
    return table.div(table.sum(axis=1).replace(0, 1), axis=0), seconds
