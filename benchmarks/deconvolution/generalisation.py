#!/usr/bin/env python3
"""Rules of the proportions judged by families of tissue that had no part in choosing them; writes generalisation.md.

`generalisation.py TABLE`: pairs of SPOTFUSE_DATA and variants of each, scored; TABLE (TSV) keeps the scores, and what
stands there is not measured again. `generalisation.py TABLE NAME` scores the public class alone, under that name. Truth
is read for scores alone.
"""

import sys
import warnings
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
from compare import CORTEX, DATA, HERE, STARMAP, Input, load, other_platform, thinned, to_frame, without_type
from scipy import sparse
from scipy.optimize import nnls
from scipy.spatial import cKDTree
from spotfuse import AttentionRegressionDeconv
from spotfuse.metrics import evaluate
from spotfuse.proportions import _profiles
from spotfuse.proportions.regression import _fit
from threadpoolctl import threadpool_limits

warnings.filterwarnings("ignore")
OTHERS = DATA / "deconvolution_pairs"
PAIRS = {  # pair: folder, name of the files, family
    "STARmap a": (STARMAP / "fair", "a", "STARmap"),
    "STARmap b": (STARMAP / "fair", "b", "STARmap"),
    "cortex, even": (CORTEX / "fair", "even", "cortex"),
    "cortex, odd": (CORTEX / "fair", "odd", "cortex"),
    "olfactory bulb": (DATA / "seqfishplus_olfactory_bulb", "odd", "bulb"),
    "MERFISH, simulated": (DATA / "merfish_mpoa", "mpoa", "MERFISH"),
    "MERFISH hypothalamus": (OTHERS, "hypothalamus_animal1", "MERFISH"),
    "embryo": (OTHERS, "embryo1", "embryo"),
    "mPFC BZ5": (OTHERS, "mpfc_bz5", "mPFC"),
    "mPFC BZ9": (OTHERS, "mpfc_bz9_coarse", "mPFC"),
    "osmFISH": (OTHERS, "osmfish_left", "osmFISH"),
}
PLAIN = "as it is"
BEFORE, DEFAULT = "before", "regression, draws, 6 and 12 parts"
# what is averaged: the regression, the mean of the posterior's draws, types in up to 6 and up to 12 parts
MIXTURES: dict[str, tuple[float, ...]] = {
    "regression": (1, 0, 0, 0),
    "draws": (0, 1, 0, 0),
    "regression, draws": (1, 1, 0, 0),
    "regression, 6 and 12 parts": (1, 0, 1, 1),
    "draws, 6 and 12 parts": (0, 1, 1, 1),
    "regression, draws, 6 parts": (1, 1, 1, 0),
    "regression, draws twice, 6 and 12 parts": (1, 2, 1, 1),
    DEFAULT: (1, 1, 1, 1),
}
FLOORS = {", nothing set to 0": 0.0, ", below 1/128 set to 0": 1 / 128, ", below 1/64 set to 0": 1 / 64}
LEAST_SQUARES = ("NNLS", "NNLS, weighted", "NNLS, counts", "NNLS, counts, weighted")


def half_of_genes(given: Input) -> Input:
    """Keep every other shared gene, at random."""
    st, sc, truth = given
    genes = st.var_names.intersection(sc.var_names)
    kept = genes[np.sort(np.random.default_rng(0).permutation(len(genes))[: (len(genes) + 1) // 2])]
    st, sc = st[:, kept].copy(), sc[:, kept].copy()
    st = st[np.asarray(st.X.sum(axis=1)).ravel() > 0].copy()
    return st, sc[np.asarray(sc.X.sum(axis=1)).ravel() > 0].copy(), truth.loc[st.obs_names]


def pooled(given: Input) -> Input:
    """Pool squares of two by two spots; each spot's proportions count alike."""
    st, sc, truth = given
    xy = np.asarray(st.obsm["spatial"], float)
    step = 2 * np.median(cKDTree(xy).query(xy, 2)[0][:, 1])
    square = np.floor((xy - xy.min(axis=0)) / step + 1e-6).astype(int)
    code = np.unique(square, axis=0, return_inverse=True)[1].ravel()
    of_square = sparse.csr_matrix((np.ones(len(code)), (code, np.arange(len(code)))))
    mean = of_square.multiply(1 / of_square.sum(axis=1))
    names = [f"s{i}" for i in range(of_square.shape[0])]
    X = sparse.csr_matrix(of_square @ st.X).astype(np.float32)
    many = anndata.AnnData(X, obs=pd.DataFrame(index=names), var=pd.DataFrame(index=st.var_names))
    many.obsm["spatial"] = mean @ xy
    return many, sc, pd.DataFrame(mean @ truth.loc[st.obs_names].to_numpy(), names, truth.columns)


def thin_reference(given: Input) -> Input:
    """Keep a fifth of the reference's molecules."""
    st, sc, truth = given
    sc = thinned(0.2)((sc, sc, truth))[0]
    return st, sc, truth


def few_reference_cells(given: Input) -> Input:
    """Keep at most 25 cells a type."""
    st, sc, truth = given
    kept = sc.obs.groupby("cell_type", observed=True).sample(frac=1, random_state=0).groupby("cell_type", observed=True)
    return st, sc[sc.obs_names.isin(kept.head(25).index)].copy(), truth


VARIANTS = {
    PLAIN: lambda given: given,
    "counts thinned to 20 %": thinned(0.2),
    "counts thinned to 5 %": thinned(0.05),
    "half of the genes": half_of_genes,
    "pooled 2 × 2": pooled,
    "a type missing from the reference": without_type,
    "reference thinned to 20 %": thin_reference,
    "reference of at most 25 cells a type": few_reference_cells,
    "reference from another platform": other_platform,
}


def plain(pair: str) -> Input:
    """Read a pair, counts as sparse rows, spots in the truth's order."""
    folder, stem, _ = PAIRS[pair]
    st, sc, truth = load(
        (folder / f"{stem}_spots.h5ad", folder / f"{stem}_reference.h5ad", folder / f"{stem}_truth.tsv")
    )
    st.X, sc.X = sparse.csr_matrix(st.X).astype(np.float32), sparse.csr_matrix(sc.X).astype(np.float32)
    return st, sc, truth.div(truth.sum(axis=1), axis=0).loc[st.obs_names]


def least_squares(st: anndata.AnnData, sc: anndata.AnnData) -> dict[str, pd.DataFrame]:
    """Solve non-negative least squares spot by spot: types from cells of one depth or from counts, genes weighted."""
    genes = st.var_names.intersection(sc.var_names)
    X, counts = st[:, genes].X.toarray().astype(float), sc[:, genes].X.toarray().astype(float)
    labels = sc.obs["cell_type"].to_numpy()
    types = sorted(set(labels))
    found = {}
    for name, Z in (("NNLS", counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)), ("NNLS, counts", counts)):
        B = np.array([Z[labels == kind].mean(axis=0) for kind in types])
        mean = B.mean(axis=0)
        for suffix, w in (("", (mean > 0).astype(float)), (", weighted", np.where(mean > 0, mean, np.inf) ** -0.5)):
            Q, R = np.linalg.qr((B * w).T)
            scale = np.abs(np.diag(R)).max()
            found[name + suffix] = to_frame(np.array([nnls(R / scale, x @ Q)[0] for x in X * w]), st, types)
    return found


def candidates(model: AttentionRegressionDeconv) -> tuple[dict[str, pd.DataFrame], tuple[pd.DataFrame, pd.DataFrame]]:
    """Average what the default averages by other weights; and the default's 90 % interval."""
    data = model._data
    with threadpool_limits(1):
        found = _fit.Regression(data, model.arguments, model.settings)
        even = _profiles.totals_are_even(data.counts)
        sizes = np.ones(len(data.types)) if even else found.profiles.size**model.settings.profiles.size_share
        members, deviation, n_cells = found.members(sizes)

    def frame(values: np.ndarray) -> pd.DataFrame:
        return pd.DataFrame(values, model._index, model.types_)

    tables = {}
    for name, weights in MIXTURES.items():
        mean = np.average(members, axis=0, weights=weights)
        tables[name] = frame(_fit.without_traces(mean, n_cells))
        for suffix, floor in FLOORS.items() if name == DEFAULT else ():
            least = np.minimum(floor, mean.max(axis=1, keepdims=True))
            tables[name + suffix] = frame(_fit.rows_to_one(np.where(mean < least, 0, mean)))
    default = _fit.averaged(members, deviation, n_cells)
    return tables, (frame(default.low), frame(default.high))


def measure(table: Path, own: str | None) -> pd.DataFrame:
    """Score what the table does not have yet."""
    rows = pd.read_csv(table, sep="\t").to_dict("records") if table.exists() else []
    done = {(row["pair"], row["variant"]) for row in rows if row["method"] == (own or DEFAULT)}
    for variant, change in VARIANTS.items():
        for pair in PAIRS:
            if (pair, variant) in done:
                continue
            st, sc, truth = change(plain(pair))
            model = AttentionRegressionDeconv.from_anndata(st, sc, n_jobs=1)
            if own:
                tables, interval = {own: model.run()[0]}, model.interval_
            else:
                tables, interval = candidates(model)
                tables |= least_squares(st, sc)
            low, high = interval
            known = truth.reindex(index=low.index, columns=low.columns, fill_value=0.0)
            covered = float(((low - 1e-6 <= known) & (known <= high + 1e-6)).to_numpy().mean())
            for method, proportions in tables.items():
                scores = {name: evaluate(proportions, truth)[name] for name in ("RMSE", "PCC", "JSD")}
                place = {"pair": pair, "variant": variant, "method": method}
                rows.append({**place, **scores, "covered": covered if method in (own, DEFAULT) else np.nan})
            pd.DataFrame(rows).to_csv(table, sep="\t", index=False, float_format="%.6g")
            print(pair, variant, flush=True)
    return pd.DataFrame(rows)


def relative(scores: pd.DataFrame) -> pd.DataFrame:
    """Add the family, and each score beside the best of the four least squares: RMSE divided, PCC and JS taken off."""
    best = scores[scores["method"].isin(LEAST_SQUARES)].groupby(["pair", "variant"])
    best = best.agg(best_rmse=("RMSE", "min"), best_pcc=("PCC", "max"), best_js=("JSD", "min")).reset_index()
    scores = scores.merge(best).assign(family=lambda table: [PAIRS[pair][2] for pair in table["pair"]])
    scores["ratio"] = scores["RMSE"] / scores["best_rmse"]
    scores["pcc"], scores["js"] = scores["PCC"] - scores["best_pcc"], scores["JSD"] - scores["best_js"]
    return scores


def report(scores: pd.DataFrame) -> str:
    """Tables: the default by pair and by variant, all candidates, and what halves of the families choose."""
    scores = relative(scores)
    everywhere = scores.groupby("method")["pair"].transform("size") == len(PAIRS) * len(VARIANTS)
    by_family = scores[everywhere].groupby(["method", "family"])[["ratio", "pcc", "js"]].mean()
    ratio = by_family["ratio"].unstack()
    ratio = ratio.reindex([*ratio.index, *{BEFORE}.difference(ratio.index)])
    chosen_from = [name for name in ratio.index if name not in (*LEAST_SQUARES, BEFORE)]
    at_hand = scores[scores["variant"] == PLAIN]

    def scored(method: str, pair: str) -> str:
        row = at_hand[(at_hand["method"] == method) & (at_hand["pair"] == pair)].iloc[0]
        return f"{row['RMSE']:.4f} / {row['PCC']:.3f} / {row['JSD']:.3f}"

    pairs = []
    for pair in PAIRS:
        own = at_hand[(at_hand["method"] == DEFAULT) & (at_hand["pair"] == pair)].iloc[0]
        best = f"{own['best_rmse']:.4f} / {own['best_pcc']:.3f} / {own['best_js']:.3f}"
        own_scores = [f"{own['ratio']:.3f}", f"{own['covered']:.2f}"]
        pairs.append([pair, scored(BEFORE, pair), scored(DEFAULT, pair), best, *own_scores])
    variants = [
        [
            variant,
            *(f"{part[part['method'] == name]['ratio'].mean():.3f}" for name in (BEFORE, DEFAULT)),
            f"{(part[part['method'] == DEFAULT]['ratio'] < 1).sum()} of {len(PAIRS)}",
            f"{part[part['method'] == DEFAULT]['covered'].between(0.85, 0.95).sum()} of {len(PAIRS)}",
        ]
        for variant, part in scores.groupby("variant", sort=False)
    ]
    means = by_family.groupby("method").mean().sort_values("ratio")
    methods = [[name, *(f"{value:.3f}" for value in row)] for name, row in means.iterrows()]
    families, random, halves = sorted(ratio.columns), np.random.default_rng(1), []
    for _ in range(5):
        half = sorted(random.permutation(families)[: (len(families) + 1) // 2])
        rest = [family for family in families if family not in half]
        best = ratio.loc[chosen_from, half].mean(axis=1).idxmin()
        left = [best, DEFAULT, BEFORE, *LEAST_SQUARES]
        halves.append(
            [
                ", ".join(half),
                best,
                f"{ratio.loc[best, half].mean():.3f}",
                *(f"{ratio.loc[name, rest].mean():.3f}" for name in left),
            ]
        )
    return "\n\n".join(
        [
            table_of(
                ["pair", BEFORE, "now", "best of four least squares", "RMSE now : best", "in 90 % interval"], pairs
            ),
            table_of(["variant", BEFORE, "now", "pairs ahead", "pairs with 85 to 95 % in the interval"], variants),
            table_of(["what is averaged", "RMSE : best", "PCC − best", "JS − best"], methods),
            table_of(["chosen on", "rule", "there", "left out", "now", BEFORE, *LEAST_SQUARES], halves),
        ]
    )


def table_of(head: list[str], rows: list[list[str]]) -> str:
    """Write a table of Markdown."""
    lines = [head, ["---"] * len(head), *([cell.replace("nan", "–") for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


if __name__ == "__main__":
    measured = measure(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else None)
    if len(sys.argv) == 2:
        page = HERE / "generalisation.md"
        text = page.read_text() if page.exists() else ""
        mark = "<!-- tables -->"
        page.write_text(text.partition(mark)[0] + mark + "\n\n" + report(measured) + "\n")
