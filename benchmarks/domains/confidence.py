#!/usr/bin/env python3
"""What a spot's confidence means on tissue that had no part in calibrating it; writes confidence.md.

Run from the repository with the environment of `make setup`: `python benchmarks/domains/confidence.py` divides the
slices of generalisation.py, whole and varied, into as many domains as they have labels, and asks of each annotated
spot whether it lies in the region that most of its domain lies in. Families are split in halves at random: what is
calibrated on one is judged on the other. The fit to all is what `bin/spotfuse/domains/_settings.py` holds.
SPOTFUSE_DATA names the folder with the slices; what was computed is kept under work/generalisation. Truth is read here
for scores alone.
"""

import argparse
import warnings
from collections.abc import Callable
from pathlib import Path

from generalisation import EMBEDDING, GRAPH, HERE, ROOT, SLICES, known, prepared, table, varied

# isort: split
import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from spotfuse import domains
from spotfuse.domains import _confidence
from spotfuse.preparation import averaging
from threadpoolctl import threadpool_limits

KINDS = ["whole", "window of 300", "250 pooled spots"]
SPLITS = 5
FEW = 50  # spots: deciles with less say nothing
DECILES = [f"{i / 10:.1f} to {(i + 1) / 10:.1f}" for i in range(10)]
FEATURES: dict[str, list[str]] = {  # of a logistic regression each
    "posterior": ["posterior"],
    "posterior, neighbours": ["posterior", "neighbours"],
    "posterior, number of domains": ["posterior", "log_domains"],
    "posterior, spots": ["posterior", "log_spots"],
    "posterior, spots, number of domains": ["posterior", "log_spots", "log_domains"],
    "posterior, spots a domain": ["posterior", "spots_a_domain"],
}
CHOSEN = "posterior"
Fit = Callable[[pd.DataFrame], np.ndarray]


def spots(path: Path, adata: AnnData) -> pd.DataFrame:
    """Give of each annotated spot the posterior of its domain, and whether it lies where most of the domain does."""
    if not path.exists():
        found = domains.assign(adata, adata.obsm[EMBEDDING], int(adata.uns["n_domains"]))
        own = found.probabilities[np.arange(adata.n_obs), found.labels - 1]
        pd.DataFrame({"domain": found.labels, "raw": own}).to_csv(path, sep="\t", index=False)
    frame = pd.read_csv(path, sep="\t")
    one = frame["domain"].to_numpy()[:, None] == np.unique(frame["domain"])
    beside = averaging(sparse.csr_matrix(adata.obsp[GRAPH])) @ one
    frame["neighbours"] = beside[one]
    frame["posterior"] = _confidence.log_odds(frame["raw"].to_numpy())
    frame["log_spots"], frame["log_domains"] = np.log(len(frame)), np.log(one.shape[1])
    frame["spots_a_domain"] = np.log(len(frame) / one.shape[1])
    frame["known"] = known(adata).to_numpy()
    frame = frame.dropna()
    main = pd.crosstab(frame["domain"], frame["known"]).idxmax(axis=1)
    frame["right"] = frame["domain"].map(main) == frame["known"]
    return frame.assign(weight=1 / len(frame))


def logistic(frame: pd.DataFrame, features: list[str]) -> LogisticRegression:
    """Fit the log-odds of being right; every slice counts alike."""
    return LogisticRegression(C=np.inf, max_iter=1000).fit(frame[features], frame["right"], 100 * frame["weight"])


def calibrations(frame: pd.DataFrame) -> dict[str, Fit]:
    """Calibrate in every way."""
    share = np.average(frame["right"], weights=frame["weight"])
    steps = IsotonicRegression(out_of_bounds="clip").fit(frame["raw"], frame["right"], frame["weight"])
    ways: dict[str, Fit] = {
        "posterior as it is": lambda other: other["raw"].to_numpy(),
        "the share that is right": lambda other: np.full(len(other), share),
        "posterior, any rising curve": lambda other: steps.predict(other["raw"]),
    }
    for name, features in FEATURES.items():
        model = logistic(frame, features)
        ways[name] = lambda other, m=model, f=features: m.predict_proba(other[f])[:, 1]
    return ways


def deciles(frame: pd.DataFrame, told: np.ndarray) -> pd.DataFrame:
    """Compare what spots are told with how many are right, decile by decile; every slice counts alike."""
    frame = frame.assign(told=told, decile=np.minimum((told * 10).astype(int), 9))
    groups = frame.groupby("decile")
    weight = groups["weight"].sum()
    found = {key: (frame[key] * frame["weight"]).groupby(frame["decile"]).sum() / weight for key in ("told", "right")}
    found |= {"spots": groups.size(), "share": weight / weight.sum()}
    return pd.DataFrame(found)[lambda part: part["spots"] >= FEW]


def judged(frame: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Judge every calibration on the half that had no part in it; the chosen one's deciles; and its slices."""
    families = np.array(sorted(frame["family"].unique()))
    rows, parts, slices = [], [], []
    for split in range(SPLITS):
        order = np.random.default_rng(split).permutation(len(families))
        for half in (order[: len(order) // 2], order[len(order) // 2 :]):
            inside = frame["family"].isin(families[half])
            other = frame[~inside]
            for name, way in calibrations(frame[inside]).items():
                told = way(other)
                by = deciles(other, told)
                off = (by["told"] - by["right"]).abs()
                brier = np.average((told - other["right"]) ** 2, weights=other["weight"])
                rows.append((name, brier, np.average(off, weights=by["share"]), (off <= 0.05).mean(), off.max()))
                if name in (CHOSEN, "posterior as it is"):
                    parts.append(by.assign(way=name, off=off).reset_index())
                if name == CHOSEN:
                    slices.append(other.assign(told=told))
    columns = ["way", "Brier score", "off, mean", "deciles within .05", "off, worst"]
    ways = pd.DataFrame(rows, columns=columns).groupby("way", sort=False).mean()
    ways["off, worst"] = pd.DataFrame(rows, columns=columns).groupby("way")["off, worst"].max()
    whole = pd.concat(slices)
    whole = whole[whole["kind"] == "whole"].groupby("slice", sort=False)[["raw", "told", "right"]].mean()
    return ways, pd.concat(parts), whole


def report(frame: pd.DataFrame) -> str:
    """Write down what was measured."""
    ways, parts, whole = judged(frame)
    cells = {}
    for way, part in parts.groupby("way"):
        for decile, rows in part.groupby("decile"):
            told, right = (np.average(rows[key], weights=rows["share"]) for key in ("told", "right"))
            cells[DECILES[decile], way] = f"{told:.2f} → {right:.2f} (off by {rows['off'].mean():.2f} on average)"
    shown = pd.Series(cells).unstack().fillna("–")[["posterior as it is", CHOSEN]]
    model = logistic(frame, FEATURES[CHOSEN])
    constants = f"{model.intercept_[0]:.3f}, {', '.join(f'{value:.3f}' for value in model.coef_[0])}"
    kinds = ", ".join(f"{n} {kind}" for kind, n in frame.groupby("kind", sort=False)["slice"].nunique().items())
    head = HEAD.format(n=frame["slice"].nunique(), kinds=kinds, families=frame["family"].nunique(), splits=SPLITS)
    text = [head, "## Ways to calibrate, on halves left out", "", *table(ways), ""]
    text += ["## Told → right, by decile of what is told, on halves left out", "", *table(shown), ""]
    whole.columns = ["posterior", "told, calibrated without the slice's family", "right"]
    text += ["## Whole slices, means over spots", "", *table(whole), ""]
    return "\n".join([*text, f"The fit to all families (intercept, slope of the log-odds): {constants}.", ""])


HEAD = """# What a spot's confidence means

Written by `python benchmarks/domains/confidence.py`. Right is a spot that lies in the region of the annotation which
most of its domain's spots lie in, with as many domains as there are labels, seed 1. {n} slices ({kinds}) of
{families} families, each slice with the same weight. Families are split in halves at random, {splits} times; what is
calibrated on one half is judged on the other. *Off* is how far what is told lies from what is right, by decile of what
is told (those with fifty spots or more): its mean over spots, the share of deciles within .05, and the worst of all
halves.
"""


def main() -> None:
    """Measure, and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, default=ROOT / "work/generalisation", help="what was computed is kept")
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    (args.work / "confidence").mkdir(parents=True, exist_ok=True)
    parts = []
    with threadpool_limits(1):
        for name, family, kind, make in varied(list(SLICES), KINDS):
            frame = spots(
                args.work / "confidence" / f"{name}.tsv", prepared(args.work / "slices" / f"{name}.h5ad", make)
            )
            parts.append(frame.assign(slice=name.removesuffix(", whole"), family=family, kind=kind))
    text = report(pd.concat(parts, ignore_index=True))
    print(text)
    (HERE / "confidence.md").write_text(text)


if __name__ == "__main__":
    main()
