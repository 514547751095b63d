#!/usr/bin/env python3
"""Divide slices by cell types and by expression: which is better, and can that be told? Writes composition.md.

Run from the repository with the environment of `make setup`: `python benchmarks/domains/composition.py` takes labelled
slices that have a reference of other cells, whole, in coarse spots and with 5 % of their counts, divides each by
expression and by its estimated proportions. Families (a tissue by a platform) are split in
halves at random: what is best on one half is scored on the other. SPOTFUSE_DATA names the folder with the slices; what
was computed is kept under work/composition. Truth is read here for scores alone.
"""

import argparse
import warnings
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from generalisation import (
    DATA,
    EMBEDDING,
    GRAPH,
    HERE,
    ROOT,
    SEED,
    SLICES,
    Change,
    by_family,
    known,
    pooled,
    score,
    table,
    thinned,
)

# isort: split
import anndata
import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse
from spotfuse import domains, embedding, preparation, proportions
from spotfuse.domains import _assign, _consensus, _number, _views
from threadpoolctl import threadpool_limits

BREAST, BULB, CORTEX = (
    "breast_tnbc_scref/cid4465.h5ad",
    "seqfishplus_olfactory_bulb/odd_reference.h5ad",
    "seqfishplus_cortex_svz/cells.h5ad",
)
KINDS: dict[str, tuple[Change, int, int]] = {  # kind -> (change, least spots, least genes)
    "whole": (lambda adata, rng: adata, 0, 0),
    "250 pooled spots": (partial(pooled, size=250), 600, 0),
    "5 % of counts": (partial(thinned, share=0.05), 0, 10_000),
}


def left(adata: AnnData, *, other: bool = False) -> AnnData:
    """Take the left half of a slice, or the other one."""
    x = np.asarray(adata.obsm["spatial"], float)[:, 0]
    return adata[(x >= np.median(x)) if other else (x < np.median(x))].copy()


@dataclass(frozen=True)
class Case:
    """A slice and a reference of other cells."""

    slice: str
    reference: str
    fit: str  # how the reference fits
    side: bool | None = None  # of the slice: False left, True right; the reference is the other one


CASES = {
    **{name: Case(name, BREAST, "another patient") for name in ("E1", "H1", "A1", "B1", "G2", "IDC")},
    "bulb": Case("bulb", BULB, "another platform"),
    "BZ5": Case("BZ5", SLICES["BZ9"][1], "another animal"),
    "BZ9": Case("BZ9", SLICES["BZ5"][1], "another animal"),
    **{
        f"{name} {side}": Case(name, SLICES[name][1], "the other half", side == "right")
        for name in ("visual cortex", "osmFISH")
        for side in ("left", "right")
    },
    **{name: Case(name, BREAST, "another tissue") for name in ("RA2_1", "RA2_4", "RA3_2", "RA3_4")},
    **{name: Case(name, CORTEX, "another species") for name in ("151673", "151674", "151510")},
}
WHAT = {
    "expression": "the default",
    "composition": "square roots of the averages of shares: `--domains_from composition`",
    "averages of roots": "shares become square roots first, and are then averaged",
    "both vote": "all views of expression and composition in one consensus",
    "told": "the one whose domains tell more of a spot's logarithms, from its neighbours' domains",
    "told of residuals": "the same of residuals",
    "told of types": "the same of square roots of shares",
    "agreement": "the one whose labellings agree more",
    "worth": "told times agreement, as `auto` has it: `--domains_from both`",
}


def read(file: str) -> AnnData:
    """Read counts."""
    adata = anndata.read_h5ad(DATA / file)
    adata.X = sparse.csr_matrix(adata.X)
    return adata


def prepared(path: Path, case: Case, kind: str, place: int) -> AnnData:
    """Prepare, embed and deconvolve a slice with the defaults; its spots in the order of the pipeline."""
    if not path.exists():
        whole, cells = read(SLICES[case.slice][1]), read(case.reference)
        if case.side is not None:
            whole, cells = left(whole, other=case.side), left(cells, other=not case.side)
        if case.reference in (BULB, CORTEX):  # symbols there are in lower case; those of humans are in capitals
            cells.var_names = cells.var_names.str.upper() if case.reference == CORTEX else cells.var_names.str.title()
            cells.var_names_make_unique()
        adata = KINDS[kind][0](whole, np.random.default_rng([SEED, place]))
        adata = adata[np.asarray(adata.X.sum(axis=1)).ravel() > 0].copy()
        labels = known(adata)
        share = labels.value_counts(normalize=True)
        labels = labels.where(labels.isin(share.index[share >= 0.03]))
        bare = AnnData(adata.X, obs=pd.DataFrame(index=adata.obs_names), var=adata.var[[]])
        bare.obsm["spatial"] = np.asarray(adata.obsm["spatial"])
        bare.uns["spotfuse"] = {}
        adata, _ = preparation.clean_and_prepare(bare)
        cells = AnnData(cells.X, obs=cells.obs[["cell_type"]], var=cells.var[[]])
        found = proportions.estimate(adata, proportions.as_reference(cells), device="cpu")
        adata.obsm[EMBEDDING] = embedding.train(adata, device="cpu").values
        kept = AnnData(obs=pd.DataFrame({"label": labels[adata.obs_names].fillna("").astype(str)}))
        kept.obsm = {key: np.asarray(adata.obsm[key]) for key in (EMBEDDING, *_views.PLAIN)}
        kept.obsm["proportions"] = found.proportions.to_numpy(float)
        kept.obsp[GRAPH] = sparse.csr_matrix(adata.obsp[GRAPH])
        kept.uns["dropped"] = labels.drop(adata.obs_names).dropna().astype(str).to_numpy(str)
        kept.uns["n_domains"] = labels.nunique()
        path.parent.mkdir(parents=True, exist_ok=True)
        kept.write_h5ad(path)
    return anndata.read_h5ad(path)


def members(path: Path, views: list[tuple[str, np.ndarray]], n_domains: int) -> list[_consensus.Member]:
    """Find the labellings among which the product lets vote."""
    if not path.exists():
        found = _assign._members(views, n_domains, 1, len(views[0][1]) >= domains.Settings().many)
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, of=[of for of, _ in found], z=np.array([z for _, z in found], dtype=np.float16))
    with np.load(path) as file:
        return list(zip(map(str, file["of"]), file["z"].astype(np.float32), strict=True))


def scores(adata: AnnData, work: Path, name: str) -> dict[str, float]:
    """ARI by every candidate."""
    graph, n_domains = sparse.csr_matrix(adata.obsp[GRAPH]), int(adata.uns["n_domains"])
    shares = np.clip(adata.obsm["proportions"], 0, None)
    roots = np.sqrt(shares)
    told = _views.telling(adata, graph)
    views = {
        "expression": _views.views(adata, adata.obsm[EMBEDDING], graph),
        "composition": _views.of_composition(shares, graph),
        "averages of roots": _views._at_scales(_views.COMPOSITION, roots, 0, graph, domains.Settings()),
    }
    many = adata.n_obs >= domains.Settings().many
    voters = {
        source: _consensus.voting(members(work / source / f"{name}.npz", of, n_domains), told, many)
        for source, of in views.items()
    }
    voters["both vote"] = voters["expression"] + voters["composition"]
    labels = {source: _consensus.occupied(_consensus.consensus(of, graph)) for source, of in voters.items()}
    found = {source: score(adata, of) for source, of in labels.items()}
    missed = {
        "told": _views.missing(adata.obsm[_views.LOGARITHMS], graph),
        "told of residuals": _views.missing(adata.obsm[_views.RESIDUALS], graph),
        "told of types": _views.missing(roots, graph),
    }
    sources = ["expression", "composition"]
    criteria = {name: [_number.told(of(labels[source])) for source in sources] for name, of in missed.items()}
    criteria["agreement"] = [_consensus.stability(voters[source]) for source in sources]
    compared = pd.DataFrame({"n_domains": n_domains, "told": criteria["told"], "stability": criteria["agreement"]})
    criteria["worth"] = list(_number.worth(compared))
    return found | {name: found[sources[of[1] >= of[0]]] for name, of in criteria.items()}


def measured(work: Path) -> pd.DataFrame:
    """ARI of every slice, a row each."""
    rows = []
    for kind, (_, spots, genes) in KINDS.items():
        for name, case in CASES.items():
            file = anndata.read_h5ad(DATA / SLICES[case.slice][1], backed="r")
            if (file.n_obs if case.reference != BREAST else 0) < spots or file.n_vars < genes:
                continue
            adata = prepared(work / "slices" / f"{name}, {kind}.h5ad", case, kind, len(rows))
            about = {"slice": name, "family": SLICES[case.slice][0], "kind": kind, "reference": case.fit}
            about |= {"spots": adata.n_obs, "domains": int(adata.uns["n_domains"])}
            rows.append(about | scores(adata, work, f"{name}, {kind}"))
            print(name, kind, {key: round(rows[-1][key], 3) for key in WHAT}, flush=True)
    return pd.DataFrame(rows)


def halves(families: pd.DataFrame, splits: int) -> pd.DataFrame:
    """Choose on one half of the families and score on the other, a row each time."""
    rows = []
    for split in range(splits):
        order = np.random.default_rng(split).permutation(len(families))
        middle = len(order) // 2
        for chosen, out in ((order[:middle], order[middle:]), (order[middle:], order[:middle])):
            on, off = families.iloc[chosen].mean(), families.iloc[out].mean()
            best = str(on.idxmax())
            row = {"chosen": best, "on its half": on[best], "left out": off[best]}
            rows.append(row | {f"left out, {name}": off[name] for name in ("expression", "composition", "worth")})
    return pd.DataFrame(rows)


HEAD = """# Domains from cell types instead of expression

Written by `python benchmarks/domains/composition.py`; adjusted Rand index on {n} slices with a reference, K that of the
labels that 3 % of the spots have, seed 1, one setting for all. A family's figure is its mean over kinds, the mean that
over families. The {families} families are split in halves at random, {splits} times: the best candidate of one half is
scored on the other.

"""


def report(found: pd.DataFrame, splits: int) -> str:
    """Write down what was measured."""
    families = by_family(found)
    chosen = halves(families, splits)
    chosen.loc["mean"] = chosen.mean(numeric_only=True)
    means = families.T.assign(mean=families.mean())
    about = means.index.map(WHAT).rename("what")
    each = found.set_index(found["slice"] + ", " + found["kind"]).drop(columns=["slice", "kind"])
    return "\n".join(
        [
            HEAD.format(n=len(found), families=len(families), splits=splits),
            *table(pd.concat([pd.Series(about, means.index, name="what"), means], axis=1)),
            "\n## Chosen on one half of the families, scored on the other\n",
            *table(chosen.fillna("")),
            "\n## Slice by slice\n",
            *table(each),
            "",
        ]
    )


def main() -> None:
    """Measure, and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--splits", type=int, default=5, help="random splits of families in halves (default 5)")
    parser.add_argument("--work", type=Path, default=ROOT / "work/composition", help="what was computed is kept there")
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    with threadpool_limits(1):
        found = measured(args.work)
    text = report(found, args.splits)
    print(text)
    (HERE / "composition.md").write_text(text)


if __name__ == "__main__":
    main()
