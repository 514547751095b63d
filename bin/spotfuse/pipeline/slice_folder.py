"""Bringing the parts that the steps wrote together as one slice."""

import json
import platform
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from spotfuse import __version__, io, metrics, patterns, preparation, proportions
from spotfuse._core import colours, keys, tables
from spotfuse._core.errors import InputError
from spotfuse._core.order import natural
from spotfuse.pipeline.steps import RESULTS, STEPS

_SPOT = {"visium": 0.55, "st": 0.5}  # width of a spot beside the distance to the next; elsewhere they touch


def write_genes(parts: Path, folder: Path, adata: AnnData, n_markers: int) -> None:
    """Write which genes mark the domains, which have a pattern in space, and each domain's counts.

    Parameters
    ----------
    parts
        Folder with what the steps wrote; without domains.tsv nothing is written.
    folder
        Where to.
    adata
        The prepared slice, as it was written.
    n_markers
        Most genes of a domain.
    """
    if not (parts / "domains.tsv").exists():
        return
    domains = tables.read_column(parts / "domains.tsv", "domain")
    tables.write(patterns.markers(adata, domains, n_genes=n_markers), folder / "markers.tsv")
    tables.write(patterns.spatial_genes(adata), folder / "spatial_genes.tsv")
    tables.write(patterns.pseudobulk_counts(adata, domains), folder / "domain_counts.tsv")


def assemble(
    parts: Path,
    folder: Path,
    adata: AnnData,
    meta: dict[str, Any],
    parameters: dict[str, Any],
    scores: dict[str, Any],
    annotation: str | None = None,
    domain_names: dict[str, str] | None = None,
) -> dict[str, Any]:
    """Add whatever parts of a slice exist to it.

    Parameters
    ----------
    parts
        Folder with what the steps wrote.
    folder
        That of the slice, where `write_genes` has been.
    adata
        The prepared slice in the input's order. It gets ``obs`` with ``domain``, ``domain_confidence``, of single cells
        ``cell_type`` and ``cell_type_class``, and, where domains are known or have names, ``annotation`` and
        ``domain_name`` (columns of these names in the input become ``input_…``); ``obsm`` with ``X_spotfuse``,
        ``attention`` (spatial, feature), ``domain_probabilities`` and ``proportions`` (a DataFrame, its columns also in
        ``uns['spotfuse']['cell_types']``); how it came about in ``uns['spotfuse']``; and what scanpy and squidpy look
        for: ``layers['logcounts']``, ``uns['spatial']`` with the sample's name, ``uns['domain_colors']`` and
        ``['annotation_colors']``, ``uns['rank_genes_groups']``.
    meta
        The slice's row of the sample sheet.
    parameters
        The run's parameters.
    scores
        As `spotfuse.pipeline.scores.of_slice` gives them.
    annotation
        Known domains, as for `spotfuse.io.read_annotation`.
    domain_names
        What domains are called, by their number.

    Returns
    -------
    What metrics.json says; None for what cannot be computed.
    """
    known = _known(adata, annotation) if annotation else None
    del adata.obs["input_row"]
    # the slice's own columns of these names, an annotation perhaps, make room
    typed = (parts / "cell_types.tsv").exists()
    ours = [keys.DOMAIN, keys.CONFIDENCE, *(["annotation"] if known is not None else [])]
    ours += [keys.DOMAIN_NAME] if domain_names else []
    ours += [keys.CELL_TYPE, keys.CELL_CLASS] if typed else []
    adata.obs = tables.make_room(adata.obs, ours)
    if known is not None:
        adata.obs["annotation"] = known
    prepared = adata.uns[keys.NOTE]
    note = {
        **prepared,
        "sample": _plain(meta),
        "parameters": _plain(parameters),
        "versions": _versions(parts),
    }
    if (parts / "in_common.json").exists():  # of a slice of a group
        note |= json.loads((parts / "in_common.json").read_text())
    if "seed" in parameters:
        note["seed"] = parameters["seed"]
    n_domains = None
    if (parts / "domains.tsv").exists():
        domains = tables.read_spots(parts / "domains.tsv").loc[adata.obs_names]
        found = domains["domain"]
        n_domains = found.nunique()  # a slice of a group may lack some of the group's
        names = [str(domain) for domain in range(1, found.max() + 1)]
        adata.obs[keys.DOMAIN] = pd.Categorical(found.astype(str), categories=names)
        adata.obs[keys.CONFIDENCE] = domains["confidence"].astype(np.float32)
        if domain_names:
            called = [domain_names.get(name, name) for name in names]
            note["domain_names"] = json.dumps({name: domain_names[name] for name in names if name in domain_names})
            adata.obs[keys.DOMAIN_NAME] = pd.Categorical(
                [called[domain - 1] for domain in found], categories=list(dict.fromkeys(called))
            )
    if (parts / "embedding.npz").exists():
        adata.obsm[keys.X_SPOTFUSE] = _aligned(parts / "embedding.npz", "embedding", adata)
        adata.obsm[keys.ATTENTION] = _aligned(parts / "embedding.npz", "attention", adata)
    if (parts / "domains.npz").exists():
        adata.obsm[keys.PROBABILITIES] = _aligned(parts / "domains.npz", "probabilities", adata)
        with np.load(parts / "domains.npz") as file:
            note[keys.DOMAINS_FROM] = str(file.get("source", "expression"))
    if (parts / "proportions.tsv").exists():
        mixture = tables.read_spots(parts / "proportions.tsv").reindex(adata.obs_names)
        adata.obsm[keys.PROPORTIONS] = mixture.astype(np.float32)
        note[keys.CELL_TYPES] = list(mixture.columns)
    if typed:
        cells = tables.read_spots(parts / "cell_types.tsv").loc[adata.obs_names]
        for name, values in proportions.obs_of(cells).items():
            adata.obs[name] = values
    status = _status(parts)
    note["scores"] = {
        kind: {name: value for name, value in values.items() if value is not None}
        for kind, values in scores.items()
        if values
    }
    adata.uns[keys.NOTE] = note
    _for_others(adata, str(meta["sample"]), folder)
    return {
        "n_spots": adata.n_obs,
        "n_genes": adata.n_vars,
        "n_domains": n_domains,
        **scores,
        "seconds": dict(zip(status["step"], status["seconds"].tolist(), strict=True)),
        "peak_rss_mb": dict(zip(status["step"], status["peak_rss_mb"].tolist(), strict=True)),
    }


def _for_others(adata: AnnData, sample: str, folder: Path) -> None:
    """Add what scanpy, squidpy and their like look for under names of their own."""
    adata.layers["logcounts"] = preparation.log_normalised(adata)
    libraries = dict(adata.uns.get("spatial", {}))
    own = libraries.pop(next(iter(libraries))) if len(libraries) == 1 else {}
    place = np.asarray(adata.obsm[keys.SPATIAL], float)[:, :2]
    spot = _SPOT.get(adata.uns[keys.NOTE].get("platform"), 1.0) * preparation.spacing(place)
    images, factors = own.get("images", {}), {"spot_diameter_fullres": spot} | own.get("scalefactors", {})
    if not images:  # scanpy draws on an image or not at all: a white one
        factors["tissue_hires_scalef"] = scale = 100 / max(float(place.max()), 1e-9)
        side = np.maximum(np.ceil(place.max(axis=0) * scale), 1).astype(int)
        images = {"hires": np.full((side[1], side[0], 3), 255, np.uint8)}
    adata.uns["spatial"] = libraries | {sample: {**own, "images": images, "scalefactors": factors}}
    if keys.DOMAIN not in adata.obs:
        return
    names = adata.obs[keys.DOMAIN].cat.categories
    adata.uns["domain_colors"] = colours.domain_colours(list(names))
    if "annotation" in adata.obs:
        overlap = pd.crosstab(adata.obs["annotation"], adata.obs[keys.DOMAIN], dropna=False).loc[
            adata.obs["annotation"].cat.categories, names
        ]
        adata.uns["annotation_colors"] = colours.annotation_colours(overlap.to_numpy(float), adata.uns["domain_colors"])
    if (folder / "markers.tsv").exists():
        table = tables.read_back(folder / "markers.tsv")
        if len(table):
            adata.uns["rank_genes_groups"] = _ranked(table)


def _ranked(markers: pd.DataFrame) -> dict[str, Any]:
    """Lay markers out as scanpy's ``rank_genes_groups`` does: of each domain as many as the one with the fewest has."""
    groups = {str(name): part for name, part in markers.groupby("domain", sort=False)}
    n_genes = min(map(len, groups.values()))
    markers = markers.assign(score=patterns.marker_score(markers["log_fold_change"], markers["auc"]))
    columns = {
        "names": ("gene", object),
        "scores": ("score", np.float32),
        "logfoldchanges": ("log_fold_change", np.float32),
        "pvals": ("p_adjusted", np.float64),  # no less than the plain ones, which the table leaves out
        "pvals_adj": ("p_adjusted", np.float64),
    }
    of = {name: markers.loc[part.index[:n_genes]] for name, part in groups.items()}
    found: dict[str, Any] = {
        key: np.rec.fromarrays(
            [part[column].to_numpy(dtype) for part in of.values()], dtype=[(name, dtype) for name in of]
        )
        for key, (column, dtype) in columns.items()
    }
    how = {"method": "wilcoxon", "reference": "rest", "corr_method": "benjamini-hochberg"}
    found["params"] = {"groupby": keys.DOMAIN, "use_raw": False, "layer": "logcounts", **how}
    return found


def write(parts: Path, folder: Path, adata: AnnData, figures: dict[str, Any]) -> None:
    """Write a slice's folder: the h5ad, metrics.json, status.tsv, what lies beside what, and the tables as they are.

    Parameters
    ----------
    parts
        Folder with what the steps wrote.
    folder
        Where to; the h5ad is called as it is.
    adata, figures
        From `assemble`.
    """
    io.write(adata, folder / f"{folder.name}.h5ad")
    (folder / "metrics.json").write_text(json.dumps(figures, indent=2) + "\n")
    tables.write(_status(parts), folder / "status.tsv")
    if keys.DOMAIN in adata.obs or keys.PROPORTIONS in adata.obsm:
        tables.write(patterns.neighbourhoods(adata), folder / "neighbourhoods.tsv")
    for name in RESULTS:
        if (parts / name).exists():
            shutil.copyfile(parts / name, folder / name)
    if keys.DOMAIN_NAME in adata.obs:
        domains = tables.read_spots(folder / "domains.tsv")
        named = domains.assign(name=adata.obs[keys.DOMAIN_NAME].astype(str)[domains.index])
        tables.write(named, folder / "domains.tsv", index="spot")
    _for_viewers(adata, folder)


def _for_viewers(adata: AnnData, folder: Path) -> None:
    """Write domains and leading cell types as Loupe Browser and Xenium Explorer import them."""
    obs, platform = adata.obs, adata.uns[keys.NOTE].get("platform")
    if keys.DOMAIN not in obs:
        return
    domain = "domain " + obs[keys.DOMAIN].astype(str)
    if keys.DOMAIN_NAME in obs:
        name = obs[keys.DOMAIN_NAME].astype(str)
        domain = domain.where(obs[keys.DOMAIN].astype(str) == name, domain + ": " + name)
    if platform in ("visium", "visium_hd", "visium_hd_cells"):
        categories = {"Barcode": adata.obs_names, "Spotfuse domain": domain.to_numpy()}
        if keys.PROPORTIONS in adata.obsm:
            shares = keys.proportions_of(adata)
            categories["Spotfuse cell type"] = shares.fillna(0).idxmax(axis=1).where(shares.notna().all(axis=1), "")
        pd.DataFrame(categories).to_csv(folder / "domains_loupe.csv", index=False, lineterminator="\n")
    if platform == "xenium":
        groups = pd.DataFrame({"cell_id": adata.obs_names, "group": domain.to_numpy()})
        groups.to_csv(folder / "domains_xenium_explorer.csv", index=False, lineterminator="\n")


def _known(adata: AnnData, annotation: str) -> pd.Series | None:
    """Give the known domain of each spot; None when quality control left no spot that has one."""
    column = annotation if io.is_table(annotation) else io.column_name(annotation)
    if column in (*preparation.QC_COLUMNS, "input_row"):  # made room for ours
        column = f"input_{column}"
    try:
        known = metrics.labelled(io.read_annotation("prepared.h5ad", column, obs=adata.obs), adata.obs_names)
    except InputError:
        return None
    known = known.reindex(adata.obs_names)
    return known.astype(pd.CategoricalDtype(sorted(set(known.dropna()), key=natural)))


def _aligned(path: Path, name: str, adata: AnnData) -> np.ndarray:
    with np.load(path, allow_pickle=False) as part:
        rows = pd.Index(part["spot"].astype(str)).get_indexer(adata.obs_names)
        return np.asarray(part[name][rows], dtype=np.float32)


def _status(parts: Path) -> pd.DataFrame:
    columns = ["step", "seconds", "peak_rss_mb", "failure"]
    notes = _notes(parts)
    notes.sort(key=lambda note: STEPS.index(note["step"]) if note["step"] in STEPS else len(STEPS))
    return pd.DataFrame([{column: note.get(column) for column in columns} for note in notes], columns=columns)


def _notes(parts: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(parts.glob("*.status.json"))]


def _versions(parts: Path) -> dict[str, str]:
    versions = {"python": platform.python_version(), "spotfuse": __version__}
    for note in _notes(parts):
        versions = note.get("versions", {}) | versions
    return versions


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """Give what h5ad can keep: numbers, truth values and text; the rest as JSON, and nothing for None."""
    return {
        key.replace("/", "_"): value if isinstance(value, bool | int | float | str) else json.dumps(value)
        for key, value in values.items()
        if value is not None
    }
