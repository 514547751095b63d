#!/usr/bin/env python3
"""Proportions against known ones: ours, least squares, CARD's model restated and peers; writes deconvolution.md.

`make bench-deconvolution`; QUICK=1 leaves out the peers that take minutes, and the damaged inputs; PEERS="rctd" takes
these peers alone, PEERS="" none. SPOTFUSE_DATA names the folder with the slices. Truth is read here for scores alone.
"""

import os
import platform
import resource
import sys
import warnings
from collections.abc import Callable
from datetime import date
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import peers
import scipy
from scipy import sparse
from scipy.optimize import nnls
from scipy.spatial.distance import cdist
from scipy.stats import spearmanr

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(ROOT / "bin"))
warnings.filterwarnings("ignore")

from spotfuse import AttentionRegressionDeconv, proportions
from spotfuse.metrics import evaluate

DATA = Path(os.environ.get("SPOTFUSE_DATA", ROOT.parent / "shared/data"))
STARMAP, CORTEX = DATA / "starmap_sim_deconv", DATA / "seqfishplus_cortex_svz"
FAIR = {
    "starmap/fair": [
        (
            STARMAP / f"fair/{half}_spots.h5ad",
            STARMAP / f"fair/{half}_reference.h5ad",
            STARMAP / f"fair/{half}_truth.tsv",
        )
        for half in "ab"
    ],
    "cortex/fair": [
        (CORTEX / f"fair/{half}_spots.h5ad", CORTEX / f"fair/{half}_reference.h5ad", CORTEX / f"fair/{half}_truth.tsv")
        for half in ("odd", "even")
    ],
}
FULL = {
    "starmap, the spots' own cells": [
        (STARMAP / "st.h5ad", STARMAP / "sc_reference.h5ad", STARMAP / "truth_proportions.tsv")
    ],
    "cortex, the spots' own cells": [
        (CORTEX / "st_grid500.h5ad", CORTEX / "cells.h5ad", CORTEX / "truth_proportions.tsv")
    ],
}
Input = tuple[anndata.AnnData, anndata.AnnData, pd.DataFrame]
Method = Callable[[anndata.AnnData, anndata.AnnData], dict[str, pd.DataFrame]]


def load(paths: tuple[Path, Path, Path]) -> Input:
    """Read the spots, the reference and the truth of a set."""
    truth = pd.read_csv(paths[2], sep="\t", index_col=0)
    truth.index = truth.index.astype(str)
    return anndata.read_h5ad(paths[0]), proportions.read_reference(paths[1]), truth


def common(st: anndata.AnnData, sc: anndata.AnnData) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Give shares of spots, mean shares of types, and the types."""
    genes = st.var_names.intersection(sc.var_names)
    X, Z = st[:, genes].X.toarray().astype(float), sc[:, genes].X.toarray().astype(float)
    types = sorted(set(sc.obs["cell_type"]))
    Z /= np.maximum(Z.sum(axis=1, keepdims=True), 1)
    X /= np.maximum(X.sum(axis=1, keepdims=True), 1)
    labels = sc.obs["cell_type"].to_numpy()
    return X, np.array([Z[labels == name].mean(axis=0) for name in types]), types


def to_frame(V: np.ndarray, st: anndata.AnnData, types: list[str]) -> pd.DataFrame:
    """Scale rows to sum to 1."""
    total = V.sum(axis=1, keepdims=True)
    return pd.DataFrame(np.where(total > 0, V / np.where(total > 0, total, 1), 1 / len(types)), st.obs_names, types)


def ours(st: anndata.AnnData, sc: anndata.AnnData) -> dict[str, pd.DataFrame]:
    """Run the default settings."""
    model = AttentionRegressionDeconv.from_anndata(st, sc)
    model.run()
    ours.covered = model.interval_  # type: ignore[attr-defined]
    return {"Spotfuse": model.proportions_, "Spotfuse, regression alone": model.mode_}


def least_squares(st: anndata.AnnData, sc: anndata.AnnData) -> dict[str, pd.DataFrame]:
    """Solve non-negative least squares, spot by spot."""
    X, B, types = common(st, sc)
    weights = 1 / np.sqrt(np.maximum(X.mean(axis=0), 1e-6))
    return {
        name: to_frame(np.array([nnls((B * w).T, x * w)[0] for x in X]), st, types)
        for name, w in (("NNLS", np.ones(len(weights))), ("NNLS, genes weighted 1/√mean", weights))
    }


def card(st: anndata.AnnData, sc: anndata.AnnData) -> dict[str, pd.DataFrame]:
    """CARD's model from its paper: Gaussian kernel over all spots, conditional autoregression, multiplicative steps."""
    X, B, types = common(st, sc)
    spread = np.log(B + 1e-6)
    informative = (spread.max(axis=0) - np.log((B.sum(axis=0) - B.max(axis=0)) / max(len(B) - 1, 1) + 1e-6)) > 1.25
    X, B = X[:, informative], B[:, informative]
    X, B = X * 0.1 / X.mean(), B * 0.1 / B.mean()
    xy = st.obsm["spatial"] - st.obsm["spatial"].min(axis=0)
    W = np.exp(-(cdist(xy, xy) ** 2) / (2 * 0.1**2 * xy.max() ** 2))
    np.fill_diagonal(W, 0)
    d, phi = W.sum(axis=1), 0.9
    n, k = len(X), len(types)
    V = np.random.default_rng(0).dirichlet(np.full(k, 10.0), n)
    b, noise, lam = np.zeros(k), 0.1, np.full(k, 10.0)
    XB, BB = X @ B.T, B @ B.T
    for _ in range(400):
        before = V.copy()
        pull = d[:, None] * (V - b) - phi * (W @ (V - b))
        lam = (0.5 * np.sum((V - b) * pull, axis=0) + n / 2) / (n / 2 + 2)
        b = ((1 - phi) * d) @ V / max(((1 - phi) * d).sum(), 1e-12)
        up = lam * XB + noise * (phi * (W @ V) + d[:, None] * b)
        down = lam * (V @ BB) + noise * (d[:, None] * V + phi * d[:, None] * b)
        V = V * up / np.maximum(down, 1e-12)
        noise = max(float(np.mean((X - V @ B) ** 2)), 1e-9)
        if np.sqrt(np.mean((V - before) ** 2)) < 1e-4:
            break
    return {"CARD's model, restated": to_frame(V, st, types)}


def cell_mapping(st: anndata.AnnData, sc: anndata.AnnData) -> dict[str, pd.DataFrame]:
    """Run SpatialFusion's cell mapping, ours."""
    from spotfuse import proportions

    return {"Spotfuse, cell mapping": proportions.map_cells(st, sc).proportions()}


def peer(name: str) -> Method:
    """Make a method of a peer; one that gives no result once is left alone, and the reason told."""

    def method(st: anndata.AnnData, sc: anndata.AnnData) -> dict[str, pd.DataFrame]:
        try:
            table, seconds = peers.run(name, st, sc)
            table.attrs["seconds"] = seconds
        except peers.NoResultError as reason:
            SILENT.setdefault(name, str(reason))
            return {}
        return {name: table}

    return method


SILENT: dict[str, str] = {}
CHOSEN = peers.QUICK if os.environ.get("QUICK") else tuple(name for name in peers.PACKAGES if name != "celltypist")
if "PEERS" in os.environ:
    CHOSEN = tuple(os.environ["PEERS"].split())
METHODS: list[Method] = [ours, cell_mapping, least_squares, card, *map(peer, CHOSEN)]
DAMAGED: list[Method] = [ours, least_squares, card, *(peer(name) for name in CHOSEN if name in peers.QUICK)]


def processor_seconds() -> float:
    """Give the processor time of this program and of those it ran."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(part.ru_utime + part.ru_stime for part in used)


def pooled(inputs: list[Input], methods: list[Method]) -> pd.DataFrame:
    """Score the spots of all inputs together; types that one of them lacks count as 0."""
    found: dict[str, list[pd.DataFrame]] = {}
    seconds: dict[str, float] = {}
    covered: list[np.ndarray] = []
    single: dict[str, list[float]] = {}
    for st, sc, truth in inputs:
        for method in methods:
            start = processor_seconds()
            for name, table in method(st, sc).items():
                found.setdefault(name, []).append(table)
                seconds[name] = seconds.get(name, 0) + table.attrs.get("seconds", processor_seconds() - start)
                single.setdefault(name, []).append(evaluate(table, truth)["RMSE"])
            if method is ours:
                low, high = ours.covered  # type: ignore[attr-defined]
                known = truth.reindex(index=low.index, columns=low.columns, fill_value=0.0)
                covered.append(((low - 1e-6 <= known) & (known <= high + 1e-6)).to_numpy().ravel())
    truth = pd.concat([truth for _, _, truth in inputs], keys=range(len(inputs))).fillna(0.0)
    rows = {}
    for name, tables in found.items():
        if len(tables) < len(inputs):
            continue
        table = pd.concat(tables, keys=range(len(tables))).fillna(0.0)
        scores = evaluate(table, truth)
        rows[name] = {
            "RMSE": scores["RMSE"],
            "mean RMSE of the parts": float(np.mean(single[name])),
            "PCC": scores["PCC"],
            "JS": scores["JSD"],
            "CPU s": seconds[name],
        }
    rows["Spotfuse"]["in 90 % interval"] = float(np.concatenate(covered).mean())
    return pd.DataFrame(rows).T


def thinned(share: float) -> Callable[[Input], Input]:
    """Keep a share of the molecules."""

    def change(given: Input) -> Input:
        st, sc, truth = given
        st = st.copy()
        st.X.data = np.random.default_rng(0).binomial(np.rint(st.X.data).astype(int), share).astype(np.float32)
        keep = np.asarray(st.X.sum(axis=1)).ravel() > 0
        return st[keep].copy(), sc, truth

    return change


def without_type(given: Input) -> Input:
    """Take the third most frequent type out of the reference."""
    st, sc, truth = given
    gone = sc.obs["cell_type"].value_counts().index[2]
    return st, sc[sc.obs["cell_type"] != gone].copy(), truth


def foreign_type(given: Input) -> Input:
    """Add a type that is not in the tissue: its profile is that of another type with genes shuffled."""
    st, sc, truth = given
    name = sc.obs["cell_type"].value_counts().index[1]
    extra = sc[sc.obs["cell_type"] == name].copy()
    extra.X = extra.X[:, np.random.default_rng(0).permutation(sc.n_vars)]
    extra.obs["cell_type"] = "foreign"
    extra.obs_names = "foreign_" + extra.obs_names
    both = anndata.concat([sc, extra])
    both.uns["spotfuse"] = {"notes": []}
    return st, both, truth


def other_platform(given: Input) -> Input:
    """Multiply the genes of the reference by random factors."""
    st, sc, truth = given
    sc = sc.copy()
    factors = np.random.default_rng(0).lognormal(0, 0.5, sc.n_vars)
    sc.X = sparse.csr_matrix(np.random.default_rng(1).poisson(sc.X.multiply(factors).toarray()).astype(np.float32))
    return st[:, :].copy(), sc, truth


def few_cells(given: Input) -> Input:
    """Keep the spots with at most three cells, where a share is at least a third."""
    st, sc, truth = given
    share = truth.where(truth > 0).min(axis=1)
    keep = st.obs_names.isin(share.index[share > 0.3])
    return st[keep].copy(), sc, truth[truth.index.isin(st.obs_names[keep])]


DAMAGE: dict[str, Callable[[Input], Input]] = {
    "as it is": lambda given: given,
    "counts thinned to 50 %": thinned(0.5),
    "counts thinned to 20 %": thinned(0.2),
    "counts thinned to 5 %": thinned(0.05),
    "few cells a spot (no share below a third)": few_cells,
    "a type missing from the reference": without_type,
    "a type of the reference not in the tissue": foreign_type,
    "reference from another platform (log-normal, σ 0.5)": other_platform,
}


def pdac() -> pd.DataFrame:
    """Correlate proportions with markers, where no truth is known."""
    st, sc = anndata.read_h5ad(DATA / "pdac_a/st.h5ad"), proportions.read_reference(DATA / "pdac_a/sc_reference.h5ad")
    logs = st.to_df()
    logs = np.log1p(logs.div(logs.sum(axis=1), axis=0) * 1e4)
    rows: dict[str, dict[str, float]] = {}
    for method in (ours, least_squares):
        for name, table in method(st, sc).items():
            rows[name] = {
                f"{kind} – {gene}": float(
                    spearmanr(table.loc[:, [kind in c for c in table]].sum(axis=1), logs[gene])[0]
                )
                for kind, gene in (("Acinar", "PRSS1"), ("Ductal", "CFTR"), ("Cancer", "TM4SF1"))
            }
    return pd.DataFrame(rows).T


def markdown(table: pd.DataFrame, digits: int = 3) -> str:
    """Write a table."""
    lines = ["| | " + " | ".join(table.columns) + " |", "|---" * (len(table.columns) + 1) + "|"]
    for name, row in table.iterrows():
        cells = ["" if pd.isna(v) else format(v, ".1f" if c == "CPU s" else f".{digits}f") for c, v in row.items()]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, print and write."""
    parts = []
    for name, paths in (FAIR | FULL).items():
        table = pooled([load(p) for p in paths], METHODS)
        print(name, table.round(4).to_string(), SILENT, sep="\n", flush=True)
        parts += [f"## {name}\n", markdown(table)]
    biology = pdac()
    print(biology.round(3).to_string(), flush=True)
    parts += [
        "## Pancreatic cancer: rank correlation of a type's proportion with its marker's expression\n",
        markdown(biology),
    ]
    for name, paths in ({} if os.environ.get("QUICK") else FAIR).items():
        inputs = [load(p) for p in paths]
        rows = {}
        for what, change in DAMAGE.items():
            rows[what] = pooled([change(given) for given in inputs], DAMAGED)["RMSE"]
            print(name, what, rows[what].round(4).to_dict(), flush=True)
        parts += [f"## Damaged inputs, {name}: RMSE\n", markdown(pd.DataFrame(rows).T)]
    parts += [(HERE / name).read_text() for name in ("scale.md", "tried.md") if (HERE / name).exists()]
    versions = [f"{name} {peers.version(name)}" for name in CHOSEN if SILENT.get(name) != "does not install"]
    silent = "".join(f" No result from {name}: {reason}." for name, reason in SILENT.items())
    told = "".join(f'{name}="{os.environ[name]}" ' for name in ("QUICK", "PEERS") if name in os.environ)
    head = (
        "# Cell-type proportions against known ones\n\n"
        f"Written by `{told}make bench-deconvolution` on {date.today():%d %B %Y}. Python {platform.python_version()}, "
        f"numpy {np.__version__}, scipy {scipy.__version__}; {', '.join(versions) or 'no peers'}; default settings."
        f"{silent} "
        "RMSE is the mean over types of the root mean square over spots, PCC the mean over types, JS the "
        "Jensen–Shannon distance (base e), mean over spots. In the fair sets the reference's cells are not those of "
        "the spots; in the others they are, which flatters every method.\n"
    )
    (ROOT / "benchmarks/deconvolution.md").write_text("\n".join([head, *parts]))


if __name__ == "__main__":
    main()
