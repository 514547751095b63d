#!/usr/bin/env python3
"""Which rules of the domains hold on tissue that had no part in choosing them? Writes generalisation.md and .tsv.

Run from the repository with the environment of `make setup`: `python benchmarks/domains/generalisation.py` takes the
labelled slices whole and varied (small sections, few genes, shallow counts, coarse spots) and divides each by every
candidate, one setting for all. Families (a tissue by a platform) are split in halves at random: what is best on one
half is scored on the other. `--before CHECKOUT` scores another version's defaults as well; `--quick` takes three small
slices and prints. SPOTFUSE_DATA names the folder with the slices; what was computed is kept under
work/generalisation. Truth is read here for scores alone.
"""

import argparse
import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(ROOT / "bin"))

import anndata
import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse
from sklearn.metrics import adjusted_rand_score
from spotfuse import domains, embedding, preparation
from spotfuse.domains import _consensus, _mixtures, _views
from threadpoolctl import threadpool_limits

DATA = Path(os.environ.get("SPOTFUSE_DATA", ROOT.parent / "shared/data"))
SLICES = {  # name -> (family, file)
    "151673": ("DLPFC donor 1", "dlpfc/151673.h5ad"),
    "151674": ("DLPFC donor 1", "dlpfc/151674.h5ad"),
    "151510": ("DLPFC donor 2", "dlpfc_500genes/151510.h5ad"),
    "visual cortex": ("visual cortex", "starmap_visual_cortex/BY3_1k.h5ad"),
    "BZ5": ("mPFC", "starmap_mpfc/BZ5.h5ad"),
    "BZ9": ("mPFC", "starmap_mpfc/BZ9.h5ad"),
    "osmFISH": ("osmFISH", "osmfish_ssp/osmfish.h5ad"),
    "H1": ("her2st", "her2st/H1.h5ad"),
    "A1": ("her2st", "her2st/A1.h5ad"),
    "E1": ("her2st", "her2st/E1.h5ad"),
    "B1": ("her2st", "her2st/B1.h5ad"),
    "G2": ("her2st", "her2st/G2.h5ad"),
    "bulb": ("olfactory bulb", "mouse_olfactory_bulb/mob_rep11.h5ad"),
    "heart 3": ("heart", "heart_dev/3_CN73_D2.h5ad"),
    "heart 5": ("heart", "heart_dev/5_CN74_E1.h5ad"),
    "heart 8": ("heart", "heart_dev/8_CN74_D2.h5ad"),
    "RA2_1": ("synovium", "ra_synovium/RA2_1.h5ad"),
    "RA2_4": ("synovium", "ra_synovium/RA2_4.h5ad"),
    "RA3_2": ("synovium", "ra_synovium/RA3_2.h5ad"),
    "RA3_4": ("synovium", "ra_synovium/RA3_4.h5ad"),
    "IDC": ("Xenium breast", "xenium_breast_bins/IDC.h5ad"),
}
UNKNOWN = ["", "NA", "nan", "undetermined"]
GRAPH, EMBEDDING = "spatial_connectivities", "X_spotfuse"
SEED = 7  # of what varies
BEFORE = "before"
Change = Callable[[AnnData, np.random.Generator], AnnData]


def known(adata: AnnData) -> pd.Series:
    """Labels that count; missing where there is none."""
    labels = adata.obs["label"].astype(object)
    return labels.where(labels.notna() & ~labels.isin(UNKNOWN))


def window(adata: AnnData, rng: np.random.Generator, size: int) -> AnnData:
    """Take the spots of a square around a random one."""
    place = np.asarray(adata.obsm["spatial"], float)[:, :2]
    away = np.abs(place - place[rng.integers(len(place))]).max(axis=1)
    return adata[np.sort(np.argsort(away, kind="stable")[:size])].copy()


def panel(adata: AnnData, rng: np.random.Generator, size: int) -> AnnData:
    """Take some genes."""
    return adata[:, np.sort(rng.choice(adata.n_vars, size, replace=False))].copy()


def thinned(adata: AnnData, rng: np.random.Generator, share: float) -> AnnData:
    """Keep a share of the counts."""
    thin = adata.copy()
    thin.X = thin.X.astype(np.float32)
    thin.X.data = rng.binomial(thin.X.data.astype(int), share).astype(np.float32)
    thin.X.eliminate_zeros()
    return thin


def pooled(adata: AnnData, rng: np.random.Generator, size: int) -> AnnData:
    """Sum spots in squares; a square has the label of two thirds of its spots, or none."""
    place = np.asarray(adata.obsm["spatial"], float)[:, :2]
    side = np.sqrt(np.ptp(place[:, 0]) * np.ptp(place[:, 1]) / size)
    square = np.unique(np.floor((place - place.min(axis=0)) / side), axis=0, return_inverse=True)[1].ravel()
    gather = sparse.csr_matrix((np.ones(len(square)), (square, np.arange(len(square)))))
    shares = [known(adata)[square == i].value_counts(normalize=True, dropna=False) for i in range(gather.shape[0])]
    labels = [share.index[0] if share.iloc[0] >= 2 / 3 else np.nan for share in shares]
    obs = pd.DataFrame({"label": labels}, index=[f"s{i}" for i in range(len(shares))])
    together = AnnData(sparse.csr_matrix(gather @ adata.X, dtype=np.float32), obs=obs, var=adata.var[[]])
    together.obsm["spatial"] = np.asarray(gather @ place) / np.asarray(gather.sum(axis=1))
    return together


def damaged(adata: AnnData, rng: np.random.Generator) -> AnnData:
    """Do several of these at once: half of the genes, a third of the counts, a window of 600."""
    return thinned(panel(window(adata, rng, 600), rng, adata.n_vars // 2), rng, 1 / 3)


def turned(adata: AnnData, rng: np.random.Generator) -> AnnData:
    """Turn and mirror a slice, and mix its spots."""
    turn = np.linalg.qr(rng.normal(size=(2, 2)))[0]
    mixed = adata[rng.permutation(adata.n_obs)].copy()
    mixed.obsm["spatial"] = np.asarray(mixed.obsm["spatial"], float)[:, :2] @ turn
    return mixed


def beside(adata: AnnData, rng: np.random.Generator) -> AnnData:
    """Put a window next to one of another family's; the label is the tissue, and tissues share 100 genes or more."""
    for other in rng.permutation([name for name, (family, _) in SLICES.items() if family != adata.uns["family"]]):
        pair = [adata, anndata.read_h5ad(DATA / SLICES[other][1])]
        for part in pair:
            part.var_names = part.var_names.str.upper()
        genes = sorted(set(pair[0].var_names[~pair[0].var_names.duplicated()]).intersection(pair[1].var_names))
        if len(genes) >= 100:
            break
    counts, places, labels = [], [], []
    for part in pair:
        part.X = sparse.csr_matrix(part.X)
        here = window(part, rng, 300)
        place = np.asarray(here.obsm["spatial"], float)[:, :2]
        place = (place - place.min(axis=0)) / preparation.spacing(place)
        counts.append(here[:, ~here.var_names.duplicated()][:, genes].X)
        places.append(place + np.array([places[0][:, 0].max() + 1 if places else 0, 0]))
        labels += [f"tissue {len(places)}"] * here.n_obs
    obs = pd.DataFrame({"label": labels}, index=[f"s{i}" for i in range(len(labels))])
    both = AnnData(sparse.vstack(counts, format="csr"), obs=obs, var=pd.DataFrame(index=genes))
    both.obsm["spatial"] = np.vstack(places)
    return both


KINDS: dict[str, tuple[Change, int, int, int]] = {  # kind -> (change, how many a slice, least spots, least genes)
    "whole": (lambda adata, rng: adata.copy(), 1, 0, 0),
    "window of 300": (partial(window, size=300), 2, 600, 0),
    "250 pooled spots": (partial(pooled, size=250), 1, 1000, 0),
    "200 genes": (partial(panel, size=200), 1, 0, 900),
    "5 % of counts": (partial(thinned, share=0.05), 1, 0, 900),
    "50 genes": (partial(panel, size=50), 1, 0, 100),
    "window of 1,000": (partial(window, size=1000), 1, 2000, 0),
    "600 pooled spots": (partial(pooled, size=600), 1, 2000, 0),
    "20 % of counts": (partial(thinned, share=0.2), 1, 0, 0),
    "500 genes": (partial(panel, size=500), 1, 0, 900),
}
FURTHER: dict[str, tuple[Change, int, int, int]] = {  # came later; the draws of the others stay as they are
    "several damages": (damaged, 1, 0, 900),
    "turned": (turned, 1, 0, 0),
    "two tissues": (beside, 1, 0, 0),
}


def varied(
    slices: list[str], kinds: list[str], seed: int = SEED
) -> Iterator[tuple[str, str, str, Callable[[], AnnData]]]:
    """Give a slice's name, its family, its kind, and what makes it; small ones first."""
    files = {name: DATA / SLICES[name][1] for name in slices}
    sizes = {name: anndata.read_h5ad(file, backed="r").shape for name, file in files.items()}

    def made(name: str, kind: str, i: int) -> AnnData:
        change = (KINDS | FURTHER)[kind][0]
        whole = anndata.read_h5ad(files[name])
        whole.X, whole.uns["family"] = sparse.csr_matrix(whole.X), SLICES[name][0]
        rng = np.random.default_rng([seed, list(SLICES).index(name), [*sorted(KINDS), *FURTHER].index(kind), i])
        for _ in range(20):  # until two labels have 5 % of the spots
            adata = change(whole, rng)
            adata = adata[np.asarray(adata.X.sum(axis=1)).ravel() > 0].copy()
            share = known(adata).value_counts(normalize=True)
            if (share >= 0.05).sum() >= 2:
                break
        labels = known(adata).where(known(adata).isin(share.index[share >= 0.03]))
        obs = pd.DataFrame({"label": labels}, index=adata.obs_names)
        return AnnData(adata.X, obs=obs, var=adata.var[[]], obsm={"spatial": np.asarray(adata.obsm["spatial"])})

    for kind in kinds:
        _, times, spots, genes = (KINDS | FURTHER)[kind]
        for name in sorted(slices, key=lambda name: sizes[name][0]):
            for i in range(times if sizes[name][0] >= spots and sizes[name][1] >= genes else 0):
                yield (
                    f"{name}, {kind}" + f" ({i + 1})" * (times > 1),
                    SLICES[name][0],
                    kind,
                    partial(made, name, kind, i),
                )


def prepared(path: Path, make: Callable[[], AnnData]) -> AnnData:
    """Prepare and embed a slice with the defaults; its spots in the order of the pipeline, without counts."""
    if not path.exists():
        adata = make()
        labels = known(adata)
        adata.uns["spotfuse"] = {}
        adata, _ = preparation.clean_and_prepare(adata)
        adata.obsm[EMBEDDING] = embedding.train(adata, device="cpu").values
        bare = AnnData(obs=pd.DataFrame({"label": labels[adata.obs_names].fillna("").astype(str)}))
        bare.obsm = {key: np.asarray(adata.obsm[key]) for key in (EMBEDDING, *_views.PLAIN)}
        bare.obsp[GRAPH] = sparse.csr_matrix(adata.obsp[GRAPH])
        bare.uns["dropped"] = labels.drop(adata.obs_names).dropna().astype(str).to_numpy(str)
        bare.uns["n_domains"] = labels.nunique()
        path.parent.mkdir(parents=True, exist_ok=True)
        bare.write_h5ad(path)
    return anndata.read_h5ad(path)


def score(adata: AnnData, labels: np.ndarray) -> float:
    """Compare with the annotation; annotated spots that quality control dropped are a class of their own."""
    truth, dropped = known(adata), np.asarray(adata.uns["dropped"], dtype=object)
    counts = truth.notna().to_numpy()
    found = np.concatenate([labels[counts], np.full(len(dropped), -1)])
    return float(adjusted_rand_score(np.concatenate([truth[counts], dropped]).astype(str), found))


def mixtures(path: Path, adata: AnnData) -> list[tuple[np.ndarray | None, np.ndarray | None]]:
    """Every view's mixtures by one covariance and by own ones: what the candidates choose among."""
    if not path.exists():
        views = _views.views(adata, adata.obsm[EMBEDDING], sparse.csr_matrix(adata.obsp[GRAPH]))
        found = [_mixtures.mixture(view, int(adata.uns["n_domains"]), 1, own=True) for _, view in views]
        path.parent.mkdir(parents=True, exist_ok=True)
        none = np.zeros((0, 0), np.float16)
        arrays = {
            f"{i}_{j}": none if z is None else z.astype(np.float16)
            for i, pair in enumerate(found)
            for j, z in enumerate(pair)
        }
        np.savez(path, **arrays)
    with np.load(path) as file:
        both = [[file[f"{i}_{j}"].astype(float) for j in range(2)] for i in range(len(file.files) // 2)]
    return [(tied if tied.size else None, own if own.size else None) for tied, own in both]


@dataclass(frozen=True)
class Rule:
    """Which mixtures vote, and how: one setting for all slices."""

    few: str = "logarithms, residuals told as well"  # what votes below `many` spots
    many: float = 2000  # spots: from here on all vote, and by own covariances
    own: float | None = (
        0.78  # of the agreement by one covariance: own ones that agree less have no vote; None: both vote
    )
    told: float = -np.inf  # of what the best labelling tells: one that tells less has no vote
    power: float = 2  # of a labelling's agreement with all, which is its weight
    least: int = 3  # spots of a domain
    strength: float = 2.0  # of the refinement


RULES = {
    "defaults": Rule(),
    "weights: agreement": Rule(power=1),
    "weights: agreement to the fourth": Rule(power=4),
    "screened at .5": Rule(told=0.5),
    "screened at .7": Rule(told=0.7),
    "screened at .7, weights: agreement": Rule(told=0.7, power=1),
    "screened at .8, weights: agreement": Rule(told=0.8, power=1),
    "one rule: logarithms, one covariance": Rule(many=np.inf, few="logarithms"),
    "one rule: components, one covariance": Rule(many=np.inf, few="components"),
    "one rule: all, one covariance": Rule(many=np.inf, few="all"),
    "one rule: all, own covariances": Rule(many=0, own=0),
    "one rule: all, both covariances": Rule(many=0, own=None),
    "one rule: all, one covariance, screened at .8": Rule(many=np.inf, few="all", told=0.8),
    "few spots: logarithms": Rule(few="logarithms"),
    "few spots: components": Rule(few="components"),
    "few spots: all": Rule(few="all"),
    "few spots: all, screened at .8": Rule(few="all", told=0.8),
    "few is below 1,000": Rule(many=1000),
    "few is below 4,000": Rule(many=4000),
    "many spots: own covariances always": Rule(own=0),
    "many spots: one covariance": Rule(own=np.inf),
    "many spots: both covariances": Rule(own=None),
    "own covariances from .65": Rule(own=0.65),
    "own covariances from .9": Rule(own=0.9),
    "a domain may have one spot": Rule(least=1),
    "not refined": Rule(strength=0),
    "refined at 1": Rule(strength=1),
    "refined at 3": Rule(strength=3),
}
STEPS = (0, 1, 2, 4, 8, 16)
FIXED = [f"fixed: {t} steps" for t in STEPS]
PICKED = ["t by what it tells", "t by agreement", "t by the evenest sizes"]


class Ballot:
    """A slice with all its mixtures, and what can be known of each without labels."""

    def __init__(self, adata: AnnData, found: list[tuple[np.ndarray | None, np.ndarray | None]]) -> None:
        self.graph = sparse.csr_matrix(adata.obsp[GRAPH])
        views = _views.views(adata, adata.obsm[EMBEDDING], self.graph)
        told = _views.telling(adata, self.graph)
        self.members, rows = [], []
        count = dict.fromkeys((of for of, _ in views), -1)
        for (of, view), pair in zip(views, found, strict=True):
            count[of] += view.shape[1] == min(domains.Settings().dimensions)
            for own, member in enumerate(pair):
                if member is None:
                    continue
                labels = member.argmax(axis=1)
                size = np.bincount(labels, minlength=member.shape[1])
                steps = STEPS[count[of] + (0 if of else STEPS.index(domains.Settings().encoder_steps))]
                self.members.append(member)
                rows.append(
                    (of, steps, view.shape[1], own, told(labels, "X_pca_log"), told(labels, "X_pca"), size.min())
                )
        self.table = pd.DataFrame(rows, columns=["of", "steps", "dimensions", "own", "told", "residuals", "least"])
        self.agreement = _consensus.agreement(self.members)

    def voters(self, rule: Rule) -> np.ndarray:
        """Rows of the members that vote."""
        table, many = self.table, self.graph.shape[0] >= rule.many
        one, own = (np.flatnonzero(table["own"] == i) for i in (0, 1))
        if not many:
            logarithms, residuals = (table["of"] == key for key in ("X_pca_log", "X_pca"))
            told = table.loc[logarithms & (table["own"] == 0), "told"].max()
            of = {
                "all": np.ones(len(table), bool),
                "components": table["of"] != "",
                "logarithms": logarithms,
                "logarithms, residuals told as well": logarithms
                | (residuals & (table.loc[residuals & (table["own"] == 0), "residuals"].max() >= told))
                | (told <= 0),
            }[rule.few]
            votes = one[np.asarray(of)[one]]
        else:
            if rule.own is None:
                own = np.arange(len(table))
            agreed = [self.agreement[np.ix_(rows, rows)].mean() if len(rows) else 0 for rows in (one, own)]
            votes = own if len(own) and agreed[1] >= (rule.own or 0) * agreed[0] else one
        best = table["told"].iloc[votes].max()
        if best > 0:
            votes = votes[table["told"].iloc[votes] >= rule.told * best]
        large = votes[table["least"].iloc[votes] >= min(rule.least, len(self.members[0]) // self.members[0].shape[1])]
        return large if len(large) else votes

    def labels(self, rule: Rule) -> np.ndarray:
        """Domains by a rule."""
        members = [self.members[i] for i in self.voters(rule)]
        settings = domains.Settings(least=rule.least, power=rule.power, strength=rule.strength)
        return _consensus.occupied(_consensus.consensus(members, self.graph, settings), settings)

    def baselines(self) -> dict[str, np.ndarray]:
        """Labels by one mixture of logarithms after t steps of averaging, and with t chosen without labels."""
        table = self.table
        rows = table[(table["of"] == "X_pca_log") & (table["own"] == 0)].drop_duplicates("steps", keep="last")
        labels = {f"fixed: {row.steps} steps": self.members[i].argmax(axis=1) for i, row in rows.iterrows()}
        agreed = self.agreement[np.ix_(rows.index, rows.index)].mean(axis=0)
        for name, worth in zip(PICKED, (rows["told"], agreed, rows["least"]), strict=True):
            labels[name] = self.members[rows.index[np.argmax(worth)]].argmax(axis=1)
        return labels


def before(checkout: Path, path: Path, n_domains: int) -> np.ndarray:
    """Labels by another version's defaults, of the same prepared slice."""
    program = (
        "import sys, anndata; from spotfuse import domains; a = anndata.read_h5ad(sys.argv[1]);"
        f"print(*domains.assign(a, a.obsm['{EMBEDDING}'], int(sys.argv[2])).labels)"
    )
    environment = os.environ | {"PYTHONPATH": str(checkout.resolve() / "bin")}
    command = [sys.executable, "-W", "ignore", "-c", program, str(path), str(n_domains)]
    said = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    return np.array(said.split(), dtype=int)


def measured(slices: list[str], kinds: list[str], work: Path, checkout: Path | None, draw: int) -> pd.DataFrame:
    """ARI of every slice, a row each, by every rule and baseline."""
    rows = []
    for name, family, kind, make in varied(slices, kinds, draw):
        path = work / "slices" / f"{name}.h5ad"
        adata = prepared(path, make)
        ballot = Ballot(adata, mixtures(work / "mixtures" / f"{name}.npz", adata))
        labels = {rule: ballot.labels(how) for rule, how in RULES.items()} | ballot.baselines()
        kept = work / "before" / f"{name}.npy"
        if checkout and kind == "whole" and not kept.exists():
            kept.parent.mkdir(parents=True, exist_ok=True)
            np.save(kept, before(checkout, path, adata.uns["n_domains"]))
        if kept.exists():
            labels = {BEFORE: np.load(kept)} | labels
        about = {"slice": name, "family": family, "kind": kind, "spots": adata.n_obs, "domains": adata.uns["n_domains"]}
        rows.append(about | {rule: score(adata, found) for rule, found in labels.items()})
        print(name, round(rows[-1]["defaults"], 3), flush=True)
    return pd.DataFrame(rows)


def by_family(scores: pd.DataFrame) -> pd.DataFrame:
    """Give the mean of each family over kinds, a row each."""
    rules = scores.columns[scores.columns.get_loc("domains") + 1 :]
    return scores.groupby(["family", "kind"])[rules].mean().groupby("family").mean()


def halves(families: pd.DataFrame, splits: int) -> pd.DataFrame:
    """Choose on one half of the families and score on the other, a row each time.

    Chosen are the best rule, and, for comparison, the best fixed number of steps; all others stand as they are.
    """
    rows = []
    rules = [rule for rule in families if rule in RULES]
    for split in range(splits):
        order = np.random.default_rng(split).permutation(len(families))
        for chosen, left in (
            (order[: len(order) // 2], order[len(order) // 2 :]),
            (order[len(order) // 2 :], order[: len(order) // 2]),
        ):
            on, off = families.iloc[chosen].mean(), families.iloc[left].mean()
            best, fixed = on[rules].idxmax(), on[FIXED].idxmax()
            row = {"rule chosen": best, "on its half": on[best], "left out": off[best]}
            row |= {"steps chosen": fixed, "left out, these steps": off[fixed], "left out, defaults": off["defaults"]}
            rows.append(row)
    return pd.DataFrame(rows)


def table(frame: pd.DataFrame) -> list[str]:
    """Lines of a table."""
    cells = frame.map(lambda value: f"{value:.3f}" if isinstance(value, float) else str(value))
    lines = [["", *cells.columns], ["---"] * (len(cells.columns) + 1)]
    return [
        "| " + " | ".join(line) + " |"
        for line in lines + [[str(i), *row] for i, row in zip(cells.index, cells.to_numpy(), strict=True)]
    ]


def report(scores: pd.DataFrame, splits: int) -> str:
    """Write down what was measured."""
    families = by_family(scores)
    rules = families.columns.drop(BEFORE, errors="ignore")
    chosen = halves(families[rules], splits)
    chosen.loc["mean"] = chosen.mean(numeric_only=True)
    kinds = scores.groupby("kind", sort=False)[rules].mean().T
    whole = scores[scores["kind"] == "whole"].set_index("slice")
    whole.index = whole.index.str.removesuffix(", whole")
    sections = {
        "Chosen on one half of the families, scored on the other": chosen.fillna(""),
        "Means": pd.concat(
            [families[rules].mean().rename("families"), scores[rules].mean().rename("slices"), kinds], axis=1
        ),
        "By family": families[rules].T,
        "Whole slices": whole[[*scores.columns.intersection([BEFORE]), *rules]].T,
    }
    text = [HEAD.format(n=len(scores), families=len(families), splits=splits)]
    for title, frame in sections.items():
        text += [f"## {title}", "", *table(frame), ""]
    return "\n".join(text)


HEAD = """# Which rules of the domains hold on tissue that had no part in choosing them?

Written by `python benchmarks/domains/generalisation.py`; adjusted Rand index on {n} slices, K that of the labels
that 3 % of the spots have, seed 1, one setting for all. A family's figure is its mean over kinds. The {families}
families are split in halves at random, {splits} times; on each half the best rule is chosen and scored on the other, as
is the best number of steps of the training-free baseline, one mixture of logarithms with one covariance ("fixed: t
steps"; "t by …" chooses t without labels for each slice). *Defaults* are the pipeline's; every other rule differs from
them in what it says. *Left out, defaults* stands beside for comparison: the defaults were settled with all families in
view. *Before* is another version, of commit 24da4a9. Slice by slice: generalisation.tsv.
"""


def main() -> None:
    """Measure, and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="three small slices, two kinds, nothing written")
    parser.add_argument("--kinds", default=";".join(KINDS | FURTHER), help="some of the kinds, separated by ;")
    parser.add_argument("--draw", type=int, default=SEED, help=f"seed of what varies (default {SEED})")
    parser.add_argument("--splits", type=int, default=5, help="random splits of families in halves (default 5)")
    parser.add_argument(
        "--work", type=Path, default=ROOT / "work/generalisation", help="what was computed is kept there"
    )
    parser.add_argument(
        "--before", type=Path, help="checkout of another version, whose defaults divide the whole slices"
    )
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    slices = ["bulb", "heart 3", "A1"] if args.quick else list(SLICES)
    kinds = (
        ["whole", "200 genes"] if args.quick else [kind for kind in KINDS | FURTHER if kind in args.kinds.split(";")]
    )
    work = args.work if args.draw == SEED else args.work / f"draw {args.draw}"
    with threadpool_limits(1):
        scores = measured(slices, kinds, work, args.before, args.draw)
    text = report(scores, args.splits)
    print(text)
    if not args.quick:
        scores.to_csv(HERE / "generalisation.tsv", sep="\t", index=False, float_format="%.4f")
        (HERE / "generalisation.md").write_text(text)


if __name__ == "__main__":
    main()
