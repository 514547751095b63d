#!/usr/bin/env python3
"""How many domains does `auto` find on tissue that had no part in choosing its rule? Writes number.md and number.tsv.

Run from the repository with the environment of `make setup`: `python benchmarks/domains/number.py` takes the slices of
generalisation.py, whole and varied, smaller windows, and slices of one tissue: windows of one label, spots that changed
places, and counts drawn from one profile. Families are split in halves at random: what is best on one half is scored on
the other. `--before CHECKOUT` asks another version as well, of whole slices. SPOTFUSE_DATA names the folder with the
slices; what was computed is kept under work/generalisation. Truth is read here for scores alone.
"""

import argparse
import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from generalisation import DATA, EMBEDDING, GRAPH, HERE, ROOT, SEED, SLICES, known, prepared, table, varied, window

# isort: split
import anndata
import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse
from spotfuse import domains
from spotfuse.domains import _assign, _number, _views
from threadpoolctl import threadpool_limits

KINDS = ["whole", "window of 300", "250 pooled spots", "200 genes", "5 % of counts"]
HOMOGENEOUS = ["151673", "visual cortex", "BZ5", "bulb", "H1", "IDC", "RA3_2", "heart 5", "osmFISH", "151510"]

SPLITS = 5
NEAR = 1  # domains: a number that is off by no more is right
BEFORE = "before"
Rule = Callable[[pd.DataFrame], int]


def some(adata: AnnData, rng: np.random.Generator, size: int) -> AnnData:
    """Take a window as it comes, be it of one label."""
    return window(adata, rng, size)


def region(adata: AnnData, rng: np.random.Generator, size: int) -> AnnData:
    """Take spots of one label, next to each other."""
    labels = known(adata)
    name = rng.choice(labels.value_counts().index[:3])
    return window(adata[(labels == name).to_numpy()], rng, size)


def shuffled(adata: AnnData, rng: np.random.Generator, size: int) -> AnnData:
    """Put the spots of a window in each other's places."""
    here = window(adata, rng, size)
    here.obsm["spatial"] = np.asarray(here.obsm["spatial"])[rng.permutation(len(here))]
    here.obs["label"] = "one"
    return here


def alike(adata: AnnData, rng: np.random.Generator, size: int) -> AnnData:
    """Draw all spots of a window from one profile, by their own depths."""
    here = window(adata, rng, size)
    share = np.asarray(here.X.sum(axis=0)).ravel()
    share = share / share.sum()
    depth = np.asarray(here.X.sum(axis=1)).ravel().astype(int)
    here.X = sparse.csr_matrix(np.vstack([rng.multinomial(total, share) for total in depth]), dtype=np.float32)
    here.obs["label"] = "one"
    return here


MORE: dict[str, tuple[Callable[..., AnnData], int, list[str]]] = {
    "window of 120": (some, 120, list(SLICES)),
    "window of 40": (some, 40, list(SLICES)),
    "of one region": (region, 150, HOMOGENEOUS),
    "shuffled": (shuffled, 600, HOMOGENEOUS),
    "of one profile": (alike, 600, HOMOGENEOUS),
}
ONE = ["of one region", "shuffled", "of one profile"]


def more(kinds: list[str], slices: list[str]) -> Iterator[tuple[str, str, str, Callable[[], AnnData]]]:
    """Give further slices as `generalisation.varied` does."""

    def made(name: str, kind: str) -> AnnData:
        change, size, _ = MORE[kind]
        whole = anndata.read_h5ad(DATA / SLICES[name][1])
        whole.X = sparse.csr_matrix(whole.X)
        whole = whole[np.asarray(whole.X.sum(axis=1)).ravel() > 0].copy()
        adata = change(whole, np.random.default_rng([SEED, list(SLICES).index(name), list(MORE).index(kind)]), size)
        share = known(adata).value_counts(normalize=True)
        labels = known(adata).where(known(adata).isin(share.index[share >= 0.05]))
        obs = pd.DataFrame({"label": labels}, index=adata.obs_names)
        return AnnData(
            sparse.csr_matrix(adata.X), obs=obs, var=adata.var[[]], obsm={"spatial": np.asarray(adata.obsm["spatial"])}
        )

    for kind in kinds:
        for name in (name for name in MORE[kind][2] if name in slices):
            yield f"{name}, {kind}", SLICES[name][0], kind, partial(made, name, kind)


def evidence(path: Path, adata: AnnData) -> pd.DataFrame:
    """Give the pipeline's curve of a slice."""
    if not path.exists():
        graph = sparse.csr_matrix(adata.obsp[GRAPH])
        views = _views.views(adata, adata.obsm[EMBEDDING], graph)
        logarithms, residuals = (adata.obsm.get(key) for key in (_views.LOGARITHMS, _views.RESIDUALS))
        table = _assign._curve(views, logarithms, residuals, graph, 1, domains.Settings())
        path.parent.mkdir(parents=True, exist_ok=True)
        table.to_csv(path, sep="\t", index=False)
    return pd.read_csv(path, sep="\t")


def best(worth: pd.Series, table: pd.DataFrame) -> int:
    """Give the number of domains of most worth."""
    return int(table["n_domains"][worth.idxmax()]) if worth.notna().any() else 1


def product(agreed: float, usual: float, pull: float) -> Rule:
    """Make a rule of the pipeline's kind."""
    settings = domains.Settings(agreed=agreed, usual=usual, pull=pull)

    def rule(table: pd.DataFrame) -> int:
        anything = table["worth"].max() > 0
        return _number.taken(table.assign(worth=_number.worth(table, settings) * anything))

    return rule


def smallest(column: str, less: float) -> Rule:
    """Take the smallest number from two on, or from three, that is worse than the best by no more."""

    def rule(table: pd.DataFrame) -> int:
        worth = table[column].where(table["n_domains"] > 2)
        return int(table["n_domains"][worth >= worth.max() - less].min()) if worth.notna().any() else 1

    return rule


def telling(share: float) -> Rule:
    """Take the smallest number that tells this share of what the best one tells."""
    return lambda table: int(table["n_domains"][table["told"] >= share * max(table["told"].max(), 0)].min())


def adding(share: float) -> Rule:
    """Take a further domain while it adds this share of all that is told."""
    return lambda table: best(table["told"] - share * max(table["told"].max(), 0) * table["n_domains"], table)


RULES: dict[str, Rule] = {
    "defaults": lambda table: int(table["n_domains"][table["chosen"] == 1].iloc[0]),
    **{
        f"told x agreement^{a:g}, drawn to {u:g} by {p:g}": product(a, u, p)
        for a in (1, 1.5, 2)
        for u in (3, 4)
        for p in (0, 0.2, 0.3, 0.5)
        if p or u == 3
    },
    "agreement, from three on": smallest("stability", 0),
    "agreement, smallest within .03": smallest("stability", 0.03),
    "agreement, smallest within .1": smallest("stability", 0.1),
    "told, smallest of .8": telling(0.8),
    "told, smallest of .9": telling(0.9),
    "told, each adds .06": adding(0.06),
    "told, each adds .1": adding(0.1),
    "BIC of the mixtures": lambda table: best(table["bic"], table),
    **{f"always {k}": (lambda table, k=k: min(k, int(table["n_domains"].max()))) for k in (3, 4, 5)},
}


def before(checkout: Path, path: Path) -> int:
    """Give the number that another version chooses, of the same prepared slice."""
    program = (
        "import sys, anndata; from spotfuse import domains; a = anndata.read_h5ad(sys.argv[1]);"
        f"print(domains.assign(a, a.obsm['{EMBEDDING}'], None).labels.max())"
    )
    environment = os.environ | {"PYTHONPATH": str(checkout.resolve() / "bin")}
    command = [sys.executable, "-W", "ignore", "-c", program, str(path)]
    return int(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)


def measured(slices: list[str], kinds: list[str], work: Path, checkout: Path | None) -> pd.DataFrame:
    """Give the number of domains of every slice, a row each, by every rule."""
    rows = []
    for kind in kinds:
        for name, family, _, make in varied(slices, [kind]) if kind in KINDS else more([kind], slices):
            path = work / "slices" / f"{name}.h5ad"
            adata = prepared(path, make)
            curve = evidence(work / "number" / f"{name}.tsv", adata)
            row = {"slice": name, "family": family, "kind": kind, "spots": adata.n_obs}
            row |= {"annotated": max(int(adata.uns["n_domains"]), 1), "said": _number.sure(curve)}
            kept = work / "number" / f"{name}.before"
            if checkout and kind == "whole" and not kept.exists():
                kept.write_text(str(before(checkout, path)))
            if kept.exists():
                row[BEFORE] = int(kept.read_text())
            rows.append(row | {rule: choose(curve) for rule, choose in RULES.items()})
    return pd.DataFrame(rows)


def right(numbers: pd.DataFrame, rules: list[str]) -> pd.DataFrame:
    """Say where a rule is right, a row a slice: within one of the annotated number; of one tissue, one."""
    off = numbers[rules].sub(numbers["annotated"], axis=0).abs()
    return off <= np.where(numbers["kind"].isin(ONE), 0, NEAR)[:, None]


def by_family(numbers: pd.DataFrame, rules: list[str]) -> pd.DataFrame:
    """Give the share of slices on which a rule is right, mean over kinds, a row a family."""
    return right(numbers, rules).groupby([numbers["family"], numbers["kind"]]).mean().groupby("family").mean()


def halves(families: pd.DataFrame) -> pd.DataFrame:
    """Choose a rule on one half of the families and score it on the other, a row each time."""
    rows = []
    for split in range(SPLITS):
        order = np.random.default_rng(split).permutation(len(families))
        for chosen, left in (
            (order[: len(order) // 2], order[len(order) // 2 :]),
            (order[len(order) // 2 :], order[: len(order) // 2]),
        ):
            on, off = families.iloc[chosen].mean(), families.iloc[left].mean()
            rule = on.drop("defaults").idxmax()
            row = {"rule chosen": rule, "on its half": on[rule], "left out": off[rule]}
            others = ("defaults", "agreement, from three on", "always 4")
            rows.append(row | {f"left out, {name}": off[name] for name in others})
    return pd.DataFrame(rows)


def report(numbers: pd.DataFrame) -> str:
    """Write down what was measured."""
    rules = list(RULES)
    some = numbers[~numbers["kind"].isin(ONE)]
    families, tissues = by_family(numbers, rules), by_family(some, rules)
    chosen, chosen_tissues = halves(families), halves(tissues)
    for frame in (chosen, chosen_tissues):
        frame.loc["mean"] = frame.mean(numeric_only=True)
    hit = right(numbers, rules)
    off = numbers[rules].sub(numbers["annotated"], axis=0).abs()
    kinds = hit.groupby(numbers["kind"], sort=False).mean().T
    means = [families.mean().rename("families"), tissues.mean().rename("families, without slices of one tissue")]
    means = pd.concat([*means, kinds, off.max().rename("most off")], axis=1)
    means["off by more than 3"] = (off > 3).sum()
    shown = [column for column in (BEFORE, "agreement, from three on", "defaults", "said") if column in numbers]
    whole = numbers[numbers["kind"] == "whole"].set_index("slice")[["spots", "annotated", *shown]]
    whole.index = whole.index.str.removesuffix(", whole")
    said = hit["defaults"].groupby(some["said"]).agg(["mean", "size"]).set_axis(["right", "slices"], axis=1)
    counts = ", ".join(f"{n} {kind}" for kind, n in numbers.groupby("kind", sort=False).size().items())
    sections = {
        "Whole slices": whole.fillna("–").rename(columns={"defaults": "chosen"}),
        "What is said of a choice, and how often it is right": said,
        "Chosen on one half of the families, scored on the other": chosen.fillna(""),
        "The same without slices of one tissue": chosen_tissues.fillna(""),
        "Share that is right": means,
    }
    text = [HEAD.format(n=len(numbers), counts=counts, families=len(families), splits=SPLITS)]
    for title, frame in sections.items():
        text += [f"## {title}", "", *table(frame), ""]
    return "\n".join(text)


HEAD = """# How many domains does `auto` find?

Written by `python benchmarks/domains/number.py`; {n} slices ({counts}), seed 1. Right is a number within one of the
annotated one (that of the labels that 3 % of the spots have, 5 % in windows of 120 and 40), and one where there is one
tissue. A family's figure is its mean over kinds; the {families} families are split in halves at random, {splits} times:
the best rule of one half is scored on the other. *Defaults* are the pipeline's, and stand beside for comparison, for
they were settled with all families in view; *agreement, from three on* is what `auto` did before, by fewer views.
*Told* is the share of a spot's variance that the domains of its neighbours tell; *agreement* that of the labellings.
Slice by slice: number.tsv.
"""


def main() -> None:
    """Measure, and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="three small slices, two kinds, nothing written")
    parser.add_argument("--kinds", default=";".join([*KINDS, *MORE]), help="some of the kinds, separated by ;")
    parser.add_argument(
        "--work", type=Path, default=ROOT / "work/generalisation", help="what was computed is kept there"
    )
    parser.add_argument("--before", type=Path, help="checkout of another version, that is asked of the whole slices")
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    slices = ["bulb", "heart 5", "H1"] if args.quick else list(SLICES)
    kinds = ["whole", "shuffled"] if args.quick else args.kinds.split(";")
    with threadpool_limits(1):
        numbers = measured(slices, kinds, args.work, args.before)
    text = report(numbers)
    print(text)
    if not args.quick:
        numbers.to_csv(HERE / "number.tsv", sep="\t", index=False)
        (HERE / "number.md").write_text(text)


if __name__ == "__main__":
    main()
