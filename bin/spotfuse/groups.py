"""Slices of one group, learned together: joined before the encoder, taken apart after the domains."""

import json
import logging
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from anndata import AnnData
from scipy import sparse
from sklearn.metrics import adjusted_rand_score
from sklearn.neighbors import NearestNeighbors

from spotfuse import batches, cli, placement, preparation, tables
from spotfuse.errors import InputError

log = logging.getLogger(__name__)

LEAST_GENES, LEAST_SHARED = 20, 0.25  # that slices must share, the latter of the smaller one's
# of its tissue that a slice should have in common with the others. Measured: .93 of neighbouring DLPFC slices, .84
# where one lacks the white matter; .83 of two mice's cortex, .75 to .80 where one of them lacks a sixth of it or less,
# .57 to .66 where it lacks a quarter or more, .37 to .52 where it is about half or more
LEAST_IN_COMMON = 0.7
_GAP = 0.1  # of a slice's width, between it and the next
_PERPLEXITY = 30
_QUERIES = 10_000  # spots whose neighbours tell how slices mix

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Common:
    """What slices of a group have in common.

    Attributes
    ----------
    group
        Its name, for messages.
    prepared
        Prepared file of each slice, by its name. One after the other is read.
    names
        Slices that share enough genes, sorted.
    left_out
        What is to be said of the others.
    genes, variable
        Genes that all have, and which of them are variable in most.
    n_components
        As the slices were prepared.
    """

    group: str
    prepared: Mapping[str, Path]
    names: list[str]
    left_out: dict[str, str]
    genes: list[str]
    variable: npt.NDArray[np.int64]
    n_components: int

    @classmethod
    def of(cls, group: str, prepared: Mapping[str, Path]) -> "Common":
        """Look into the prepared slices of a group, in any order; `InputError` when no two share enough genes."""
        genes = {name: tables.read_prepared(prepared[name], counts=False).var_names for name in sorted(prepared)}
        names, left_out = _fitting(group, genes)
        common = sorted(set.intersection(*(set(genes[name]) for name in names)))
        settings = tables.read_prepared(prepared[names[0]], counts=False).uns["spotfuse"]["prepare"]
        n_top_genes = int(settings["n_top_genes"])
        ranks = np.stack([_ranks(_slice(prepared[name], common), n_top_genes) for name in names])
        variable = _most_variable(ranks, n_top_genes)
        return cls(group, prepared, names, left_out, common, variable, int(settings["n_components"]))

    def read(self, name: str) -> AnnData:
        """Give a prepared slice with the common genes."""
        return _slice(self.prepared[name], self.genes)

    def part(self, adata: AnnData) -> preparation.Part:
        """Give the counts of the variable ones of a slice's common genes, and its spots' totals."""
        return adata.X[:, self.variable], np.asarray(adata.X.sum(axis=1), dtype=np.float32)


def join(common: Common, alignment: pd.DataFrame | None = None) -> AnnData:
    """Join prepared slices into one that the encoder and the domains take for a slice.

    Slices meet in the genes that they share, of which those are taken that are among the most variable ones of most
    slices. Expression is standardised in each slice by itself, which takes out what differs between slices as wholes;
    components are those of all slices together, and slices that hold tissue in different shares are moved until the
    same tissue lies together (`spotfuse.batches.moved`). The spatial graph has no edge between slices unless they lie
    in one frame (`spotfuse.graphs.between_slices`); the feature graph may.

    Parameters
    ----------
    common
        The slices, and what they have in common.
    alignment
        Where the slices lie in one frame, if they do (`spotfuse.alignment.align`).

    Returns
    -------
    The joined slice, of shape (n_spots of all slices, n variable genes): spots are called ``slice/spot``;
    ``obs['slice']``; ``obsm['spatial']`` with the slices side by side, and with `alignment`
    ``obsm['spatial_aligned']``; components and graphs as `spotfuse.preparation.prepare` adds them.
    ``uns['spotfuse']`` has ``group`` and, as JSON, ``left_out``: why a slice is not among them, by its name, and
    ``in_common``: the share of its tissue that a slice has in common with the others.
    """
    parts: list[preparation.Part] = []
    obs: list[pd.DataFrame] = []
    places: dict[str, Floats] = {}
    graphs, platforms = [], set()
    before = 0
    for name in common.names:
        adata = common.read(name)
        parts.append(common.part(adata))
        row = np.argsort(tables.in_input_order(adata)) + before
        before += adata.n_obs
        obs.append(
            pd.DataFrame({"slice": name, "input_row": row}, index=[f"{name}/{spot}" for spot in adata.obs_names])
        )
        places[name] = np.asarray(adata.obsm["spatial"], dtype=float)[:, :2]
        graphs.append(adata.obsp["spatial_connectivities"])
        platforms.add(str(adata.uns["spotfuse"]["platform"]))
    var = pd.DataFrame({"highly_variable": True}, index=np.array(common.genes, dtype=object)[common.variable])
    joined = AnnData(sparse.vstack([counts for counts, _ in parts], format="csr"), obs=pd.concat(obs), var=var)
    joined.obs["slice"] = joined.obs["slice"].astype("category")
    joined.obsm["spatial"] = _side_by_side(places)
    joined.obsp["spatial_connectivities"] = sparse.block_diag(graphs, format="csr", dtype=np.float32)
    if alignment is not None:
        placement.join(joined, places, alignment)
    preparation.add_components(joined, parts, common.n_components)
    joined.uns["spotfuse"] = {
        "group": common.group,
        "platform": platforms.pop() if len(platforms) == 1 else "other",
        "n_genes_shared": len(common.genes),
        "left_out": json.dumps(common.left_out),
        "in_common": json.dumps(_in_common(common.group, joined)),
    }
    log.info(
        "%d slices, %d spots, %d of %d shared genes",
        *(len(common.names), joined.n_obs, joined.n_vars, len(common.genes)),
    )
    return joined


def split(joined: AnnData, learned: Path, folder: Path) -> None:
    """Write of each slice what train and assign_domains would have written of it alone, and in_common.json.

    Parameters
    ----------
    joined
        From `join`.
    learned
        Folder with what these steps wrote of it.
    folder
        Where the slices' folders are made. That of a slice that was left out holds the note of its failure.
    """
    slices = joined.obs["slice"].astype(str).to_numpy()
    spots = np.array([name.partition("/")[2] for name in joined.obs_names])
    domains = tables.read_back(learned / "domains.tsv")
    domains["slice"], domains["spot"] = zip(*domains["spot"].str.split("/", n=1), strict=True)
    common = json.loads(joined.uns["spotfuse"]["in_common"])
    files = {}
    for name in ("embedding.npz", "domains.npz"):
        with np.load(learned / name) as file:
            files[name] = dict(file)
    for name, part in domains.groupby("slice"):
        own = folder / str(name)
        own.mkdir(parents=True)
        rows = slices == name
        tables.write(part.drop(columns="slice"), own / "domains.tsv")
        told = {"in_common": common[name], "unlike": common[name] < LEAST_IN_COMMON}
        (own / "in_common.json").write_text(json.dumps(told) + "\n")
        for file, arrays in files.items():
            mine = {key: values[rows] for key, values in arrays.items()}
            np.savez(own / file, **(mine | {"spot": spots[rows]}))  # type: ignore[arg-type]
        for file in ("loss.tsv", "n_domains.tsv"):
            shutil.copyfile(learned / file, own / file)
    for name, why in json.loads(joined.uns["spotfuse"]["left_out"]).items():
        (folder / name).mkdir()
        cli.write_status(folder / name / f"{name}.split_group.status.json", name, "split_group", 0, why)


def learned(joined: AnnData, folder: Path) -> AnnData:
    """Give what a group's slices learned together, without their counts.

    Parameters
    ----------
    joined
        From `join`.
    folder
        Folder with what train and assign_domains wrote of it.

    Returns
    -------
    Of shape (n_spots, 0): ``obs`` with ``slice``, ``spot``, ``domain`` and ``domain_confidence``; ``obsm`` with
    ``X_spotfuse``, ``domain_probabilities``, ``spatial`` (slices side by side) and, where `joined` has it,
    ``spatial_aligned``; ``uns['spotfuse']``.
    """
    found = AnnData(obs=joined.obs[["slice"]].copy(), obsm={"spatial": joined.obsm["spatial"]})
    found.obs["spot"] = [name.partition("/")[2] for name in joined.obs_names]
    domains = tables.read_spots(folder / "domains.tsv").loc[joined.obs_names]
    with np.load(folder / "embedding.npz") as file:
        found.obsm["X_spotfuse"] = file["embedding"]
    with np.load(folder / "domains.npz") as file:
        found.obsm["domain_probabilities"] = file["probabilities"]
    names = [str(number + 1) for number in range(found.obsm["domain_probabilities"].shape[1])]
    found.obs["domain"] = pd.Categorical(domains["domain"].astype(str), categories=names)
    found.obs["domain_confidence"] = domains["confidence"].astype(np.float32)
    if "spatial_aligned" in joined.obsm:
        found.obsm["spatial_aligned"] = joined.obsm["spatial_aligned"]
    found.uns["spotfuse"] = {key: joined.uns["spotfuse"][key] for key in ("group", "n_genes_shared", "in_common")}
    return found


def mixing(found: AnnData) -> pd.DataFrame:
    """Tell how the slices of a group mix.

    Parameters
    ----------
    found
        From `learned`.

    Returns
    -------
    DataFrame of one row: ``group``, ``n_slices``, ``n_spots``, ``n_genes_shared``, ``n_domains``; ``ilisi``, the mean
    over spots of the effective number of slices among a spot's neighbours in the embedding (`lisi`), and
    ``ilisi_at_random``, what it is where slices mix at random; ``ari``, the adjusted Rand index of slices against
    domains: 0 where a spot's domain tells nothing of its slice, as it should be; ``in_common``, the smallest share of
    tissue that a slice has in common with the others, and ``unlike``, the slices (and theirs) for which it is too small
    to trust domains learned together.
    """
    codes = found.obs["slice"].cat.codes.to_numpy()
    shares = np.bincount(codes) / len(codes)
    common = json.loads(found.uns["spotfuse"]["in_common"])
    row = {
        "group": found.uns["spotfuse"]["group"],
        "n_slices": len(shares),
        "n_spots": found.n_obs,
        "n_genes_shared": found.uns["spotfuse"]["n_genes_shared"],
        "n_domains": found.obsm["domain_probabilities"].shape[1],
        "ilisi": lisi(found.obsm["X_spotfuse"], codes).mean(),
        "ilisi_at_random": 1 / np.square(shares).sum(),
        "ari": adjusted_rand_score(codes, found.obs["domain"]),
        "in_common": min(common.values()),
        "unlike": ", ".join(f"{name} ({share:g})" for name, share in common.items() if share < LEAST_IN_COMMON),
    }
    return pd.DataFrame([row])


def lisi(points: npt.NDArray[np.floating], codes: npt.NDArray[np.integer], perplexity: float = _PERPLEXITY) -> Floats:
    """Give the effective number of categories around points: the local inverse Simpson's index.

    Neighbours (three times the perplexity) are weighted by a Gaussian whose width gives their weights the perplexity
    (Korsunsky et al. 2019, Nat Methods 16:1289).

    Parameters
    ----------
    points
        Of shape (n, d).
    codes
        Category of each point, 0…C-1.
    perplexity
        Effective number of neighbours.

    Returns
    -------
    Inverse Simpson's index, 1 to C, of every point; of 10,000 evenly chosen ones where there are more.
    """
    asked = batches.even(np.arange(len(points)), _QUERIES)
    width = min(int(3 * perplexity), len(points) - 1)
    distances, nearest = NearestNeighbors(n_neighbors=width + 1).fit(points).kneighbors(points[asked])
    # the point itself goes by its number: others may lie on the same place
    own = nearest == asked[:, None]
    own[~own.any(axis=1), -1] = True
    square = np.square(distances[~own].reshape(len(asked), width))
    square -= square.min(axis=1, keepdims=True)
    target = np.log(min(perplexity, width / 3 if width >= 3 else width))
    low, high = np.full(len(asked), -30.0), np.full(len(asked), 30.0)
    scale = np.maximum(square.mean(axis=1), np.finfo(float).tiny)
    for _ in range(50):  # bisect the precision, on a logarithmic scale
        middle = (low + high) / 2
        weights = np.exp(-square * (np.exp(middle) / scale)[:, None])
        weights /= weights.sum(axis=1, keepdims=True)
        entropy = -(weights * np.log(np.maximum(weights, 1e-300))).sum(axis=1)
        low, high = np.where(entropy > target, middle, low), np.where(entropy > target, high, middle)
    found = codes[nearest[~own].reshape(len(asked), width)]
    shares = np.stack([(weights * (found == code)).sum(axis=1) for code in range(codes.max() + 1)])
    return np.asarray(1 / np.square(shares).sum(axis=0))


def _side_by_side(places: Mapping[str, Floats]) -> Floats:
    """Put slices in a row from left to right, with a gap between them."""
    row, edge = [], 0.0
    for place in places.values():
        moved = place - place.min(axis=0) + [edge, 0]
        edge = moved[:, 0].max() + _GAP * np.ptp(moved[:, 0])
        row.append(moved)
    return np.vstack(row)


def _in_common(group: str, joined: AnnData) -> dict[str, float]:
    """Give the share of its tissue that each slice has in common with the others, and warn where it is small."""
    slices = joined.obs["slice"].cat
    shares = batches.in_common(preparation.smoothed(joined, joined.obsm["X_pca"]), slices.codes.to_numpy(np.int64))
    found = {str(name): round(float(share), 3) for name, share in zip(slices.categories, shares, strict=True)}
    for name, share in found.items():
        if share < LEAST_IN_COMMON:
            log.warning(
                "slice %s seems to have %.0f %% of its tissue in common with the rest of group %s: if its domains look "
                "wrong, learn it without a group",
                name,
                100 * share,
                group,
            )
    return found


def _slice(path: Path, genes: list[str]) -> AnnData:
    adata = tables.read_prepared(path)[:, genes].copy()
    adata.X = sparse.csr_matrix(adata.X, dtype=np.float32)
    return adata


def _fitting(group: str, genes: Mapping[str, pd.Index]) -> tuple[list[str], dict[str, str]]:
    """Give the slices that share enough genes, sorted, and what is to be said of the others."""
    number = pd.Series(np.concatenate([names.to_numpy(str) for names in genes.values()])).value_counts()
    usual = set(number.index[number > len(genes) / 2])
    order = sorted(genes, key=lambda name: (-len(usual.intersection(genes[name])), name))
    kept, common, left_out = [order[0]], set(genes[order[0]]), {}
    for name in order[1:]:
        shared = common.intersection(genes[name])
        least = max(LEAST_GENES, int(np.ceil(LEAST_SHARED * min(len(common), len(genes[name])))))
        if len(shared) >= least:
            kept.append(name)
            common = shared
        else:
            left_out[name] = (
                f"shares {len(shared)} of its {len(genes[name])} genes with {', '.join(sorted(kept)[:3])}"
                f"{' …' if len(kept) > 3 else ''} of group {group}, {least} are needed to learn them together: name "
                "genes alike in all slices, or give it another group"
            )
    if len(kept) < 2:
        name, why = min(left_out.items())
        raise InputError(f"{name} {why}")
    return sorted(kept), left_out


def _ranks(adata: AnnData, n_top_genes: int) -> npt.NDArray[np.int64]:
    """Give the place of each gene among the most variable ones of a slice; all others are last."""
    ranks = np.full(adata.n_vars, n_top_genes)
    best = preparation.most_variable(adata, n_top_genes)
    ranks[best] = np.arange(len(best))
    return ranks


def _most_variable(ranks: npt.NDArray[np.int64], n_top_genes: int) -> npt.NDArray[np.int64]:
    """Choose genes that are variable in most slices, of those the ones that are it most; columns in their order."""
    n_slices = (ranks < n_top_genes).sum(axis=0)
    return np.sort(np.lexsort((ranks.mean(axis=0), -n_slices))[:n_top_genes])
