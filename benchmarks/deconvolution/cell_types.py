#!/usr/bin/env python3
"""Types of single cells, by another half's or animal's cells, beside plain rules and CellTypist; writes cell_types.md.

`cell_types.py TABLE`: TABLE (TSV) keeps the scores, and what stands there is not measured again. Reads SPOTFUSE_DATA.
Settings of the discriminant are judged by families of tissue that had no part in choosing them. Truth is read for
scores alone.
"""

import sys
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import peers
from compare import DATA, HERE
from scipy import sparse
from sklearn.linear_model import LogisticRegression
from spotfuse.proportions import _cell_types

warnings.filterwarnings("ignore")
PLANTED = 0.1  # share of cells that are made doublets, each with a cell of another type
GRID = {"_CELLS_EACH": (5, 10), "_SHRINK": (0.1, 0.3, 0.6)}
DEFAULT = "Spotfuse"
CHEAP = (DEFAULT, "nearest profile", "logistic regression")  # on changed cells
PLAIN = "as it is"
type Cells = anndata.AnnData


def cells(path: str, types: str = "cell_type") -> Cells:
    """Read cells of known types, without those of none or without counts."""
    adata = anndata.read_h5ad(DATA / path)
    adata.X = sparse.csr_matrix(adata.X).astype(np.float32)
    known = (adata.obs[types].astype(str) != "unannotated") & (np.asarray(adata.X.sum(axis=1)).ravel() > 0)
    adata = anndata.AnnData(
        adata.X, pd.DataFrame({"cell_type": adata.obs[types].astype(str)}), adata.var[[]], obsm=dict(adata.obsm)
    )[known.to_numpy()].copy()
    if "spatial" not in adata.obsm:  # nothing here hangs on it
        adata.obsm["spatial"] = np.random.default_rng(0).random((adata.n_obs, 2))
    return adata


def sets() -> Iterator[tuple[str, str, Cells, Cells]]:
    """Give name, family, cells to be typed, and cells of known types."""
    cortex = cells("starmap_visual_cortex/BY3_1k.h5ad")
    across = cortex.obsm["spatial"][:, np.argmin(np.ptp(cortex.obsm["spatial"], axis=0))]  # layers lie along the other
    pfc = [cells(f"starmap_mpfc/{animal}.h5ad") for animal in ("BZ5", "BZ9")]
    osm = cells("osmfish_ssp/osmfish.h5ad")
    plus, bulb = (
        (anndata.read_h5ad(DATA / path).obs["fov"].astype(str), cells(path))
        for path in ("seqfishplus_cortex_svz/cells.h5ad", "seqfishplus_olfactory_bulb/odd_reference.h5ad")
    )
    halves = {
        ("visual cortex", "visual cortex"): (cortex, across < np.median(across)),
        ("osmFISH", "osmFISH"): (osm, osm.obsm["spatial"][:, 0] < np.median(osm.obsm["spatial"][:, 0])),
        ("seqFISH+ cortex", "cortex"): (plus[1], plus[0][plus[1].obs_names].isin(list("0246")).to_numpy()),
        ("seqFISH+ bulb", "bulb"): (bulb[1], bulb[0][bulb[1].obs_names].isin(list("02")).to_numpy()),
    }
    yield "mPFC, BZ5 by BZ9", "mPFC", *pfc
    yield "mPFC, BZ9 by BZ5", "mPFC", *pfc[::-1]
    for (name, family), (whole, half) in halves.items():
        for which, kept in (("one half", half), ("other half", ~half)):
            yield f"{name}, {which}", family, whole[kept].copy(), whole[~kept].copy()
    for name, file in (("embryo", "embryo1"), ("hypothalamus", "hypothalamus_animal1")):
        whole = cells(f"deconvolution_pairs/{file}_reference.h5ad")
        half = np.random.default_rng(0).random(whole.n_obs) < 0.5
        yield f"{name}, half at random", name, whole[half].copy(), whole[~half].copy()


def other_platform(st: Cells, sc: Cells) -> tuple[Cells, Cells]:
    """Let the reference catch each gene log-normally more or less."""
    factors = np.exp(np.random.default_rng(0).normal(0, 0.5, sc.n_vars))
    sc = sc.copy()
    rates = sparse.csr_matrix(sc.X @ sparse.diags(factors))
    rates.data = np.random.default_rng(1).poisson(rates.data).astype(np.float32)
    sc.X = rates
    return st, sc[np.asarray(sc.X.sum(axis=1)).ravel() > 0].copy()


def thinned(st: Cells, sc: Cells) -> tuple[Cells, Cells]:
    """Keep a fifth of the slice's counts."""
    st = st.copy()
    st.X.data = np.random.default_rng(0).binomial(st.X.data.astype(np.int64), 0.2).astype(np.float32)
    st.X.eliminate_zeros()
    return st[np.asarray(st.X.sum(axis=1)).ravel() > 0].copy(), sc


VARIANTS: dict[str, Callable[[Cells, Cells], tuple[Cells, Cells]]] = {
    PLAIN: lambda st, sc: (st, sc),
    "counts thinned to 20 %": thinned,
    "reference from another platform": other_platform,
}


def planted(st: Cells) -> tuple[Cells, np.ndarray]:
    """Add to a tenth of the cells, at random, another cell of another type; and say which they are."""
    random = np.random.default_rng(1)
    labels = st.obs["cell_type"].to_numpy()
    chosen = random.permutation(st.n_obs)[: int(PLANTED * st.n_obs)]
    other = [random.choice(np.flatnonzero(labels != labels[i])) for i in chosen]
    added = sparse.csr_matrix((np.ones(len(chosen)), (chosen, other)), shape=(st.n_obs, st.n_obs))
    st = st.copy()
    st.X = sparse.csr_matrix(st.X + added @ st.X).astype(np.float32)
    return st, np.isin(np.arange(st.n_obs), chosen)


def logs(adata: Cells) -> np.ndarray:
    """Give log-normalised counts, dense."""
    X = adata.X.toarray().astype(float)
    return np.log1p(1e4 * X / np.maximum(X.sum(axis=1, keepdims=True), 1))


def nearest(st: Cells, sc: Cells) -> np.ndarray:
    """Take the type whose mean profile a cell correlates with most."""
    types, codes = np.unique(sc.obs["cell_type"], return_inverse=True)
    X, Z = logs(st), logs(sc)
    means = np.array([Z[codes == k].mean(axis=0) for k in range(len(types))])
    X, means = ((part - part.mean(axis=1, keepdims=True)) for part in (X, means))
    return np.asarray(types[(X @ (means / np.linalg.norm(means, axis=1, keepdims=True)).T).argmax(axis=1)])


def regression(st: Cells, sc: Cells, C: float = 1.0) -> np.ndarray:
    """Regress types on standardised log-normalised counts."""
    X, Z = logs(st), logs(sc)
    middle, spread = Z.mean(axis=0), Z.std(axis=0) + 1e-9
    model = LogisticRegression(C=C, max_iter=300).fit((Z - middle) / spread, sc.obs["cell_type"])
    return np.asarray(model.predict((X - middle) / spread))


def penalised(st: Cells, sc: Cells) -> np.ndarray:
    """Regress likewise with the penalty that types every other cell of the reference best by the rest."""
    half = (sc.obs.groupby("cell_type").cumcount() % 2 == 0).to_numpy()
    kept, left = sc[half], sc[~half]
    right = {C: (regression(left, kept, C) == left.obs["cell_type"]).mean() for C in (0.001, 0.01, 0.1)}
    return regression(st, sc, max(right, key=right.__getitem__))


def ours(st: Cells, sc: Cells) -> pd.DataFrame:
    """Type cells by the default."""
    sc = sc.copy()
    sc.uns["spotfuse"] = {"notes": []}
    return _cell_types.cell_types(st, sc).table


PEERS: dict[str, Callable[[Cells, Cells], np.ndarray]] = {
    DEFAULT: lambda st, sc: ours(st, sc)["first_type"].to_numpy(),
    "nearest profile": nearest,
    "logistic regression": regression,
    "logistic regression, penalty chosen": penalised,
    "CellTypist": lambda st, sc: peers.run("celltypist", st, sc)[0].idxmax(axis=1).to_numpy(),
}


def typed(find: Callable[[Cells, Cells], np.ndarray], st: Cells, sc: Cells) -> dict[str, float]:
    """Score a method."""
    return accuracy(find(st, sc), st, sc)


def accuracy(found: np.ndarray, st: Cells, sc: Cells) -> dict[str, float]:
    """Score cells whose type the reference has: share that is right, and the mean of that over types."""
    truth = st.obs["cell_type"].to_numpy()
    known = np.isin(truth, sc.obs["cell_type"].unique())
    right = pd.Series(found[known] == truth[known])
    return {"accuracy": float(right.mean()), "by type": float(right.groupby(truth[known]).mean().mean())}


def measure(table: Path) -> pd.DataFrame:
    """Score what the table does not have yet."""
    rows = pd.read_csv(table, sep="\t").to_dict("records") if table.exists() else []
    done = {(row["set"], row["variant"], row["method"]) for row in rows}

    def add(place: dict[str, str], score: Callable[[], dict[str, float]]) -> None:
        if tuple(place[key] for key in ("set", "variant", "method")) in done:
            return
        start = time.process_time()
        scores = score()
        rows.append({**place, **scores, "seconds": time.process_time() - start})
        pd.DataFrame(rows).to_csv(table, sep="\t", index=False, float_format="%.6g")
        print(*place.values(), flush=True)

    every = list(sets())
    for name, family, *pair in every:
        for method, find in PEERS.items():
            add({"set": name, "family": family, "variant": PLAIN, "method": method}, partial(typed, find, *pair))
    for variant, score in {"doublets": doublets, "classes": classes, "a type left out": left_out}.items():
        for name, family, *pair in every:
            add({"set": name, "family": family, "variant": variant, "method": DEFAULT}, partial(score, *pair))
    for values in product(*GRID.values()):
        for name, family, *pair in every:
            add({"set": name, "family": family, "variant": PLAIN, "method": str(values)}, partial(_with, values, *pair))
    for variant, change in VARIANTS.items():
        for name, family, *pair in every:
            for method in CHEAP:
                place = {"set": name, "family": family, "variant": variant, "method": method}
                add(place, partial(typed, PEERS[method], *change(*pair)))
    return pd.DataFrame(rows)


def _with(values: tuple[float, ...], st: Cells, sc: Cells) -> dict[str, float]:
    """Score other settings."""
    before = {name: getattr(_cell_types, name) for name in GRID}
    try:
        for name, value in zip(GRID, values, strict=True):
            setattr(_cell_types, name, value)
        return accuracy(ours(st, sc)["first_type"].to_numpy(), st, sc)
    finally:
        for name, value in before.items():
            setattr(_cell_types, name, value)


def doublets(st: Cells, sc: Cells) -> dict[str, float]:
    """Say how many of the planted doublets are found, and how many others are called so."""
    st, made = planted(st)
    called = (ours(st, sc)["class"] == "doublet").to_numpy()
    return {"found": float(called[made].mean()), "false": float(called[~made].mean())}


def classes(st: Cells, sc: Cells) -> dict[str, float]:
    """Say what the classes are worth: their shares, and how many of their cells are right."""
    table, truth = ours(st, sc), st.obs["cell_type"]
    right = table["first_type"] == truth
    told = table[truth.isin(sc.obs["cell_type"])]
    found = {f"right, {kind}": float(right[told.index][told["class"] == kind].mean()) for kind in ("singlet", "unsure")}
    shares = {f"share, {kind}": float((table["class"] == kind).mean()) for kind in _cell_types.CLASSES}
    return {
        **found,
        **shares,
        "probability": float(told["probability"].mean()),
        "right": float(right[told.index].mean()),
    }


def left_out(st: Cells, sc: Cells) -> dict[str, float]:
    """Leave out each of the three largest types in turn: how many of its cells, and of the others, are like no type."""
    truth, found = st.obs["cell_type"], []
    for kind in truth.value_counts().index[:3]:
        none = ours(st, sc[sc.obs["cell_type"] != kind].copy())["class"] == "no type"
        found.append((none[truth == kind].mean(), none[truth != kind].mean()))
    return dict(zip(("strange", "strange, others"), map(float, np.mean(found, axis=0)), strict=True))


def halves(scores: pd.DataFrame) -> list[str]:
    """Choose settings on half of the families and score them on the other half, five times."""
    own = scores[(scores["variant"] == PLAIN) & ~scores["method"].isin(PEERS)]
    own = own.groupby(["method", "family"])["accuracy"].mean().unstack("family")
    best = scores[(scores["variant"] == PLAIN) & scores["method"].isin(PEERS)]
    best = best[best["set"].isin(scores.loc[~scores["method"].isin(PEERS), "set"])]
    best = best.groupby(["method", "family"])["accuracy"].mean().unstack("family")
    lines = []
    for split in range(5):
        order = np.random.default_rng(split).permutation(sorted(own.columns))
        chosen_on, scored_on = order[: len(order) // 2], order[len(order) // 2 :]
        setting = own[chosen_on].mean(axis=1).idxmax()
        rest = best.drop(index=DEFAULT)[scored_on].mean(axis=1)
        lines.append(
            f"| {', '.join(sorted(chosen_on))} | {setting} | {own.loc[setting, chosen_on].mean():.3f} | "
            f"{own.loc[setting, scored_on].mean():.3f} | {best.loc[DEFAULT, scored_on].mean():.3f} | "
            f"{rest.max():.3f} ({rest.idxmax()}) |"
        )
    return lines


def report(scores: pd.DataFrame) -> str:
    """Write the tables."""
    parts = [
        "# Types of single cells",
        "Made by `benchmarks/deconvolution/cell_types.py`. Cells of known types, typed by those of another half of the "
        "slice (visual cortex, osmFISH), of other fields (seqFISH+), another animal (mPFC) or, where no places are "
        "known, another half at random (embryo, hypothalamus). Accuracy over cells / mean over types of the share that "
        "is right, of types that the reference has; the best in bold. The logistic regressions are scikit-learn's.",
    ]
    for variant in VARIANTS:
        chosen = scores[(scores["variant"] == variant) & scores["method"].isin(PEERS)]
        if chosen.empty:
            continue
        methods = [method for method in PEERS if method in set(chosen["method"])]
        wide = chosen.pivot(index="set", columns="method", values=["accuracy", "by type"])
        lines = [f"| {variant} | " + " | ".join(methods) + " |", "|---" * (len(methods) + 1) + "|"]
        for name in chosen["set"].unique():
            row = wide.loc[name]
            cell = {m: f"{row['accuracy', m]:.3f} / {row['by type', m]:.3f}".replace("nan / nan", "–") for m in methods}
            top = row["accuracy"][methods].idxmax()
            lines.append(f"| {name} | " + " | ".join(f"**{cell[m]}**" if m == top else cell[m] for m in methods) + " |")
        parts.append("\n".join(lines))
    if not scores["method"].isin(PEERS).all():
        head = "| chosen on | setting | there | on the others | default there | best peer there |\n" + "|---" * 6 + "|"
        parts.append(
            "## Settings\nCells a component and shrinkage (here 5, 0.3), chosen on half of the families, scored on "
            "the others.\n\n" + "\n".join([head, *halves(scores)])
        )
    parts.append(
        "## Doublets, doubt and strangers\nA tenth of the cells, at random, got a cell of another type added; "
        "found among these and false among the others, at the threshold that takes 5 % of the reference's own cells. "
        "Right: share of the singlets, and of the unsure, whose type is right; mean probability of the first type "
        "beside the share that is right. No type: of the cells of a type that the reference lost (the three largest in "
        "turn), and of the others."
    )
    lines = [
        "| | planted found | false | right, singlets | unsure | share unsure | probability | right | no type | others |"
    ]
    lines.append("|---" * 10 + "|")
    for name in scores["set"].unique():
        own = scores[(scores["set"] == name) & (scores["method"] == DEFAULT)].set_index("variant")
        own = own.reindex(["doublets", "classes", "a type left out"])
        two, one, out = (own.loc[variant] for variant in ("doublets", "classes", "a type left out"))
        told = (two["found"], two["false"], one["right, singlet"], one["right, unsure"], one["share, unsure"])
        told += (one["probability"], one["right"], out["strange"], out["strange, others"])
        lines.append(f"| {name} | " + " | ".join(f"{value:.2f}".replace("nan", "–") for value in told) + " |")
    parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    (HERE / "cell_types.md").write_text(report(measure(Path(sys.argv[1]))))
