"""The report of one slice."""

import base64
import io
import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image
from scipy import sparse
from scipy.optimize import linear_sum_assignment

from spotfuse import __version__
from spotfuse.cohort import STEPS, duration, flatten, metadata, natural, read
from spotfuse.report import _figures as figures
from spotfuse.report._maps import Layers, bins_of, spacing
from spotfuse.report._page import VIRIDIS, Pack, grouped, palette, percent, render

Array = npt.NDArray[Any]

MAX_POINTS = 40_000  # more spots than these are shown as square bins
GENE_BYTES = 2_500_000  # of the page for the maps of genes, before compression
TABLE_GENES = 60  # markers a domain that the page lists
DOT_GENES = 4  # markers a domain in the dot plot
IMAGE_SIDE = 1400  # px
LOW_CONFIDENCE = 0.6

_TABLES = ("domains", "proportions", "markers", "qc", "loss", "n_domains", "deconvolution_fit", "status")
_SHEET = (
    *("sample", "data", "group", "n_domains", "reference", "cell_type_key", "annotation", "proportions", "platform"),
)
_SCORES = {
    "domains.ari": ("Adjusted Rand index", "domains against the annotation; 1 is equal, 0 is chance"),
    "domains.nmi": ("Normalised mutual information", "domains against the annotation; 1 is equal"),
    "domains.n_scored": ("Spots scored", "annotated spots that entered the two figures above"),
    "domains.n_annotated": ("Spots annotated", "those that quality control dropped count as one class more"),
    "proportions.rmse": ("RMSE", "proportions against the known ones, mean over cell types; 0 is equal"),
    "proportions.pcc_per_type": ("Pearson r per type", "over spots, mean over cell types"),
    "proportions.pcc_per_spot": ("Pearson r per spot", "over cell types, mean over spots"),
    "proportions.js_distance": ("Jensen–Shannon distance", "mean over spots; 0 is equal"),
    "proportions.n_types_skipped": ("Types skipped", "constant in the known proportions"),
}


def of_slice(folder: Path, sample: str) -> str:
    """Write the report of one slice.

    Parameters
    ----------
    folder
        What `collect_slice` wrote: ``<sample>.h5ad``, tables, metrics.json, check.json.
    sample
        Name of the slice.

    Returns
    -------
    The page: HTML that holds all it shows.
    """
    adata = ad.read_h5ad(folder / f"{sample}.h5ad", backed="r")
    table = {name: read(folder / f"{name}.tsv") if (folder / f"{name}.tsv").exists() else None for name in _TABLES}
    metrics = _json(folder / "metrics.json")
    flat = flatten(metrics)
    uns = _plain(adata.uns.get("spotfuse", {}))

    pack = Pack()
    xy = np.asarray(adata.obsm["spatial"], float)[:, :2]
    bins = bins_of(xy, MAX_POINTS)
    layers = Layers(pack, bins)
    n_points = len(xy) if bins is None else int(bins.max()) + 1
    has_domains = "domain" in adata.obs
    labels = (adata.obs["domain"].astype(str) if has_domains else pd.Series("none", adata.obs_names)).to_numpy()
    names = sorted(set(labels), key=natural)
    codes = pd.Categorical(labels, names).codes.astype(int)
    colours = palette(len(names))
    confidence = np.asarray(adata.obs["domain_confidence"] if has_domains else np.full(len(xy), np.nan), float)

    tables: dict[str, Any] = {}  # what the page offers as TSV
    layers.category("domain", "Domain", "Domains", codes, names, colours)
    layers.value("confidence", "Confidence of the domain", "Domains", confidence, lo=0, hi=1)
    annotation = _annotation(adata, uns, layers, codes, names, tables)
    attention = _attention(adata, layers)
    types, proportions = _cell_types(adata, uns, layers)
    _quality(adata, table["deconvolution_fit"], layers)
    markers, listed = _markers(table["markers"], names)
    expression, genes = _expression(adata, listed, n_points)
    for j, gene in enumerate(genes):
        layers.value(f"gene:{gene}", gene, "Marker genes", expression[:, j].toarray().ravel(), width=1, clip=True)

    image = _image(adata)
    header = {
        "sample": sample,
        "spots": [str(name) for name in adata.obs_names] if bins is None else None,
        "n": n_points,
        "x": pack.numbers(layers.means(xy[:, 0])),
        "y": pack.numbers(layers.means(xy[:, 1])),
        "embedding": [pack.numbers(layers.means(column)) for column in _two_components(adata).T],
        "inBin": None if bins is None else pack.codes(np.minimum(np.bincount(bins), 65535)),
        "spacing": spacing(layers.means(xy[:, 0]), layers.means(xy[:, 1])),
        "diameter": image["diameter"] if image else None,
        "image": {key: image[key] for key in ("width", "height")} if image else None,
        "layers": layers.all,
        "markers": markers,
        "tables": tables,
        "scale": VIRIDIS,
    }

    shares = np.bincount(codes, minlength=len(names)) / max(len(codes), 1)
    by_domain = _mean_by(codes, len(names), proportions) if proportions is not None else None
    drawn, composed = _figures(tables, names, colours, codes, expression, genes, listed, types, by_domain)
    fate = _fate(table["qc"], tables)
    deconvolution = _json(folder / "deconvolution.json")
    notes = [*(_json(folder / "check.json").get("notes") or uns.get("notes", [])), *deconvolution.get("notes", [])]
    context = {
        "sample": sample,
        "summary": _summary(flat, names if has_domains else [], shares, listed, types, proportions),
        "concerns": _concerns(table["status"], has_domains, confidence, fate, deconvolution),
        "tiles": _tiles(flat, confidence, types),
        "facts": {key: str(value) for key, value in metadata(uns.get("sample", {})).items()},
        "n_binned": None if bins is None else (len(xy), n_points),
        "has_image": image is not None,
        "image": image["uri"] if image else "",
        "has_domains": has_domains,
        "domains": _domain_rows(names, colours, codes, shares, confidence, attention, listed, types, by_domain),
        "has_attention": attention is not None,
        "has_types": bool(types),
        "deconvolution": _deconvolution(deconvolution),
        "dot_plot": drawn,
        "composition": composed,
        "has_markers": bool(markers),
        "scores": [(*_SCORES[key], flat[key]) for key in _SCORES if flat.get(key) is not None],
        "annotation": annotation,
        "fate": fate,
        "notes": list(dict.fromkeys(map(str, notes))),
        "curves": _curves(table["n_domains"], flat, tables),
        "n_domains_reason": _reason(table["n_domains"], flat),
        "losses": _losses(table["loss"], tables),
        "steps": _steps(metrics),
        "made": _made(uns),
        "cite": _cite(bool(types)),
        "version": __version__,
    }
    if has_domains:
        _domain_table(context["domains"], tables)
    return render("slice.html", "slice.js", pack.text(header), plotly=True, **context)


def _json(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return found


def _plain(value: Any) -> Any:
    """Turn what h5ad gives back into plain Python; text that is JSON is read."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return [_plain(item) for item in value.tolist()]
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, str) and value[:1] in ("{", "["):
        try:
            return json.loads(value)
        except json.JSONDecodeError:
            return value
    return value


def _two_components(adata: Any) -> Array:
    x = np.asarray(adata.obsm["X_spotfuse" if "X_spotfuse" in adata.obsm else "X_pca"], float)
    x = x - x.mean(axis=0)
    _, axes = np.linalg.eigh(x.T @ x)
    axes = axes[:, ::-1][:, :2]
    axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), range(axes.shape[1])])
    two: Array = x @ axes
    return two if two.shape[1] == 2 else np.column_stack([two, np.zeros(len(two))])


def _annotation(
    adata: Any, uns: Any, layers: Layers, codes: Array, names: list[str], tables: dict[str, Any]
) -> dict[str, Any] | None:
    """Show the known domains in the colours of the domains that they overlap most."""
    column = (uns.get("sample") or {}).get("annotation")
    if not column or column not in adata.obs or column in ("domain", "domain_confidence"):
        return None
    given = adata.obs[column].astype(object)
    known = given.notna().to_numpy()
    text = given.where(known, "not annotated").astype(str).to_numpy()
    classes = sorted(set(text[known]), key=natural)
    if not 1 < len(classes) <= 40:
        return None
    which = pd.Categorical(text, [*classes, "not annotated"]).codes.astype(int)
    table = np.zeros((len(classes), len(names)))
    np.add.at(table, (which[known], codes[known]), 1)
    row, column_of = linear_sum_assignment(-table)
    spare = iter(palette(len(names) + len(classes))[len(names) :])
    base = palette(len(names))
    match = dict(zip(row, column_of, strict=True))
    colours = [base[match[i]] if i in match else next(spare) for i in range(len(classes))]
    layers.category(
        "annotation", "Annotation (given)", "Domains", which, [*classes, "not annotated"], [*colours, "#b0b0b0"]
    )
    share = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    tables["agreement"] = [["annotation", *(f"domain_{name}" for name in names)]] + [
        [name, *map(int, counts)] for name, counts in zip(classes, table, strict=True)
    ]
    return {
        "figure": figures.heat(
            share,
            classes,
            names,
            "Share of each annotated class that lies in each domain",
            swatches=palette(len(names)),
        ),
        "column": column,
    }


def _attention(adata: Any, layers: Layers) -> Array | None:
    key = next((key for key in adata.obsm if "attention" in key), None)
    if key is None:
        return None
    spatial = np.asarray(adata.obsm[key], float)[:, 0]
    layers.value("attention", "Attention on the spatial graph", "Model", spatial)
    return spatial


def _cell_types(adata: Any, uns: Any, layers: Layers) -> tuple[list[str], Array | None]:
    if "proportions" not in adata.obsm:
        return [], None
    values = np.asarray(adata.obsm["proportions"], float)
    types = [str(name) for name in uns.get("cell_types", range(values.shape[1]))]
    if len(types) > 1:
        known = ~np.isnan(values).any(axis=1)
        best = np.where(known, np.nan_to_num(values).argmax(axis=1), len(types))
        names, colours = types, palette(len(types))
        if not known.all():
            names, colours = [*types, "not estimated"], [*colours, "#b0b0b0"]
        layers.category("type", "Most abundant cell type", "Cell types", best, names, colours)
    for name, column in zip(types, values.T, strict=True):
        layers.value(f"type:{name}", name, "Cell types", column)
    return types, values


def _quality(adata: Any, fit: pd.DataFrame | None, layers: Layers) -> None:
    for key, label in (("n_counts", "Counts"), ("n_genes", "Genes found"), ("mt_share", "Mitochondrial share")):
        if key in adata.obs:
            values = np.asarray(adata.obs[key], float)
            if np.nanmax(values, initial=0) > 0:
                layers.value(key, label, "Quality", values)
    if fit is not None:
        fit = fit.set_index(fit.columns[0]).reindex(adata.obs_names)
        for key, label in (("residual", "Residual of the deconvolution"), ("explained", "Explained by the cell types")):
            if key in fit:
                layers.value(key, label, "Quality", fit[key].to_numpy(float))


def _markers(table: pd.DataFrame | None, names: list[str]) -> tuple[list[list[Any]], dict[str, list[str]]]:
    """Give the rows the page lists, and each domain's markers in their order."""
    if table is None or not len(table):
        return [], {name: [] for name in names}
    table = table.assign(domain=table["domain"].astype(str))
    up = table[table["log_fold_change"] > 0]
    top = up.groupby("domain", sort=False).head(TABLE_GENES)
    columns = ["domain", "gene", "log_fold_change", "p_adjusted", "share_in", "share_out"]
    best_first = top.assign(rank=top.groupby("domain").cumcount()).sort_values("rank", kind="stable")
    rows = [
        [None if isinstance(cell, float) and not np.isfinite(cell) else cell for cell in row]
        for row in best_first[columns].itertuples(index=False, name=None)
    ]
    listed = {name: [str(gene) for gene in top.loc[top["domain"] == name, "gene"]] for name in names}
    return rows, listed


def _expression(adata: Any, listed: dict[str, list[str]], points: int) -> tuple[sparse.csc_array, list[str]]:
    """Read normalised log expression, ln(1 + counts per 10,000), of the genes that the page maps."""
    room = max(GENE_BYTES // max(points, 1), DOT_GENES * len(listed))
    genes: dict[str, None] = {}
    for rank in range(TABLE_GENES):
        for of_domain in listed.values():
            if rank < len(of_domain) and len(genes) < room and of_domain[rank] in adata.var_names:
                genes[of_domain[rank]] = None
    order = sorted(genes, key=str.lower)
    columns = adata.var_names.get_indexer(order)
    parts = []
    for start in range(0, adata.n_obs, 50_000):
        counts = sparse.csr_array(adata.X[start : start + 50_000])
        some = counts[:, columns].multiply((1e4 / np.maximum(counts.sum(axis=1), 1))[:, None])
        parts.append(sparse.csr_array(some).log1p())
    return sparse.vstack(parts).tocsc(), order


def _image(adata: Any) -> dict[str, Any] | None:
    """Find the best image, shrink it, and say where it lies in the units of the coordinates."""
    for library in (adata.uns.get("spatial") or {}).values():
        images = library.get("images") or {}
        scales = library.get("scalefactors") or {}
        for name in ("hires", "lowres"):
            scale = scales.get(f"tissue_{name}_scalef")
            if name in images and scale:
                pixels = np.asarray(images[name])
                if pixels.dtype != np.uint8:
                    whole = pixels.max()
                    pixels = np.clip(pixels * (255 / (1 if whole <= 1 else 255 if whole < 256 else whole)), 0, 255)
                    pixels = pixels.astype(np.uint8)
                if pixels.ndim == 3 and pixels.shape[2] == 1:
                    pixels = pixels[:, :, 0]
                picture = Image.fromarray(pixels).convert("RGB")
                width, height = picture.width / float(scale), picture.height / float(scale)
                picture.thumbnail((IMAGE_SIDE, IMAGE_SIDE))
                file = io.BytesIO()
                picture.save(file, "JPEG", quality=80)
                uri = "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()
                diameter = scales.get("spot_diameter_fullres")
                return {
                    "uri": uri,
                    "width": width,
                    "height": height,
                    "diameter": float(diameter) if diameter else None,
                }
    return None


def _mean_by(codes: Array, n: int, values: Array) -> Array:
    known = ~np.isnan(values).any(axis=1)
    empty = np.full(values.shape[1], np.nan)
    of = [values[known & (codes == k)] for k in range(n)]
    return np.stack([some.mean(axis=0) if len(some) else empty for some in of])


def _figures(
    tables: dict[str, Any],
    names: list[str],
    colours: list[str],
    codes: Array,
    expression: sparse.csc_array,
    genes: list[str],
    listed: dict[str, list[str]],
    types: list[str],
    by_domain: Array | None,
) -> tuple[Any, Any]:
    dots = composed = ""
    chosen = list(dict.fromkeys(gene for of in listed.values() for gene in of[:DOT_GENES] if gene in set(genes)))
    if chosen:
        some = expression[:, [genes.index(gene) for gene in chosen]].tocsr()
        mean = np.stack([some[codes == k].mean(axis=0) for k in range(len(names))], axis=1)
        share = np.stack([(some[codes == k] > 0).mean(axis=0) for k in range(len(names))], axis=1)
        level = mean / np.maximum(mean.max(axis=1, keepdims=True), 1e-12)
        dots = figures.dot_plot(share, level, chosen, names, colours, "Marker genes by domain")
        tables["dot_plot"] = [["gene", "domain", "share_of_spots", "mean_expression"]] + [
            [gene, name, round(float(share[i, k]), 5), round(float(mean[i, k]), 5)]
            for i, gene in enumerate(chosen)
            for k, name in enumerate(names)
        ]
    if by_domain is not None:
        composed = figures.heat(
            by_domain.T, types, names, "Mean proportion of each cell type in each domain, in percent", swatches=colours
        )
        tables["composition"] = [["cell_type", *(f"domain_{name}" for name in names)]] + [
            [name, *(round(float(v), 5) for v in by_domain[:, j])] for j, name in enumerate(types)
        ]
    return dots, composed


def _fate(qc: pd.DataFrame | None, tables: dict[str, Any]) -> dict[str, Any] | None:
    """Say how many spots quality control dropped, and why."""
    if qc is None:
        return None
    kept = qc["kept"].astype(str).str.lower().isin(["true", "1"]).to_numpy()
    reasons = qc.loc[~kept, "reason"].fillna("no reason given").astype(str).value_counts()
    drawn = []
    for column, title in (("n_counts", "counts in a spot"), ("n_genes", "genes found in a spot")):
        if column in qc:
            values = qc[column].fillna(0).to_numpy(float)
            label = f"Histogram of {title}: kept and dropped spots"
            edges = figures.log_edges(values)
            bars = [np.histogram(values[which], edges)[0] for which in (kept, ~kept)]
            drawn.append((f"qc_{column}", figures.histogram(edges, bars[0], bars[1], title, label)))
            tables[f"qc_{column}"] = [["from", "below", "kept", "dropped"]] + [
                [round(float(edges[i]), 3), round(float(edges[i + 1]), 3), int(bars[0][i]), int(bars[1][i])]
                for i in range(len(bars[0]))
            ]
    tables["dropped"] = [["reason", "spots"], *([reason, int(count)] for reason, count in reasons.items())]
    return {"total": len(qc), "dropped": int((~kept).sum()), "reasons": list(reasons.items()), "figures": drawn}


def _curves(table: pd.DataFrame | None, flat: dict[str, Any], tables: dict[str, Any]) -> list[tuple[str, Any]]:
    return _lines(table, "n_domains", "number of domains", tables, chosen=flat.get("n_domains"))


def _losses(table: pd.DataFrame | None, tables: dict[str, Any]) -> list[tuple[str, Any]]:
    return _lines(table, "loss", "epoch", tables)


def _lines(
    table: pd.DataFrame | None, name: str, x_title: str, tables: dict[str, Any], *, chosen: Any = None
) -> list[tuple[str, Any]]:
    if table is None or len(table) < 2:
        return []
    tables[name] = [list(table.columns), *table.astype(object).where(table.notna(), None).to_numpy().tolist()]
    x = table.iloc[:, 0].to_numpy(float)
    drawn = []
    for column in table.columns[1:]:
        y = pd.to_numeric(table[column], errors="coerce").to_numpy(float)
        if np.isfinite(y).sum() > 1 and not set(y[np.isfinite(y)]) <= {0.0, 1.0}:
            title = column.replace("_", " ")
            figure = figures.curve(x, y, x_title, title, f"{title} by {x_title}", chosen=chosen)
            drawn.append((f"{name}_{column}", figure))
    return drawn


def _reason(curve: pd.DataFrame | None, flat: dict[str, Any]) -> str:
    k = flat.get("n_domains")
    if curve is None or len(curve) < 2 or "stability" not in curve:
        return f"The number of domains, {k}, was given."
    ranked = curve.sort_values("stability", ascending=False, kind="stable")
    (best, at_best), (second, at_second) = ranked[["n_domains", "stability"]].head(2).to_numpy(float)
    return (
        f"The number of domains was chosen: independent labellings of the slice agree most on {best:.0f} domains "
        f"(stability {at_best:.2f}), next on {second:.0f} ({at_second:.2f})."
    )


def _deconvolution(note: dict[str, Any]) -> str:
    text = ""
    if note.get("n_cells") is not None:
        text = (
            f"The reference has {note['n_cells']:,} cells of {note['n_types']} types and shares "
            f"{note['n_genes_shared']:,} genes with the slice, of which {note['n_genes_used']:,} were used. "
        )
    if note.get("explained") is not None:
        text += f"The types explain {percent(note['explained'])} of a spot's expression in the median. "
    if note.get("converged"):
        text += f"The fit converged after {note['sweeps']} sweeps."
    return text


def _steps(metrics: dict[str, Any]) -> list[dict[str, Any]]:
    seconds = metrics.get("seconds") or {}
    memory = metrics.get("peak_rss_mb") or {}
    longest = max((value or 0 for value in seconds.values()), default=0) or 1
    return [
        {
            "name": step,
            "time": duration(value) if value is not None else "–",
            "share": (value or 0) / longest,
            "memory": f"{memory[step] / 1024:.1f} GB" if memory.get(step) else "–",
        }
        for step, value in sorted(seconds.items(), key=lambda pair: STEPS.index(pair[0]) if pair[0] in STEPS else 99)
    ]


def _made(uns: Any) -> dict[str, Any]:
    parameters = uns.get("parameters") or {}
    versions: dict[str, str] = {}
    for key, value in (uns.get("versions") or {}).items():
        versions |= {k: str(v) for k, v in value.items()} if isinstance(value, Mapping) else {key: str(value)}
    row = uns.get("sample") or {}
    meta = {key: row[key] for key in sorted(row, key=_sheet_order) if row[key] not in (None, "", [])}
    words = ["nextflow run spotfuse", "--input samplesheet.csv", "--outdir results"] + [
        f"--{key} {_shell(value)}" for key, value in parameters.items() if value not in (None, "") and _simple(value)
    ]
    return {
        "parameters": flatten(parameters),
        "versions": dict(sorted(versions.items(), key=lambda pair: pair[0].lower())),
        "seed": uns.get("seed"),
        "sheet": [",".join(meta), ",".join(_cell(value) for value in meta.values())] if meta else [],
        "command": " \\\n    ".join(words),
    }


def _simple(value: Any) -> bool:
    return isinstance(value, (str, int, float))


def _shell(value: Any) -> str:
    return shlex.quote(str(value).lower() if isinstance(value, bool) else str(value))


def _sheet_order(name: str) -> int:
    return _SHEET.index(name) if name in _SHEET else len(_SHEET)


def _cell(value: Any) -> str:
    text = str(value)
    return '"' + text.replace('"', '""') + '"' if any(c in text for c in ',"\n') else text


def _summary(
    flat: dict[str, Any],
    names: list[str],
    shares: Array,
    listed: dict[str, list[str]],
    types: list[str],
    proportions: Array | None,
) -> str:
    text = f"{grouped(flat.get('n_spots'))} spots passed quality control. "
    if len(names) > 1:
        largest = int(shares.argmax())
        text = (
            f"{grouped(flat.get('n_spots'))} spots fall into {len(names)} domains; the largest, domain "
            f"{names[largest]}, has {percent(float(shares[largest]))} of them"
        )
        genes = listed.get(names[largest], [])[:3]
        text += f" and is marked by {_and(genes)}. " if genes else ". "
    if proportions is not None and np.isfinite(proportions).any():
        mean = np.nanmean(proportions, axis=0)
        top = [f"{types[j]} ({percent(float(mean[j]))})" for j in np.argsort(-mean, kind="stable")[:2]]
        text += f"Of {len(types)} cell types, the most abundant {'are' if len(top) > 1 else 'is'} {_and(top)}. "
    if flat.get("domains.ari") is not None:
        text += f"Against the annotation, the adjusted Rand index is {flat['domains.ari']:.2f}. "
    if flat.get("proportions.rmse") is not None:
        text += f"Against the known proportions, the root mean square error is {flat['proportions.rmse']:.3f}. "
    return text.strip()


def _and(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _concerns(
    status: pd.DataFrame | None,
    has_domains: bool,
    confidence: Array,
    fate: dict[str, Any] | None,
    deconvolution: dict[str, Any],
) -> list[str]:
    """Say what a careful reader should look at first."""
    concerns = []
    if status is not None:
        refused = status[status["failure"].notna()]
        concerns += [f"{row.step} failed: {row.failure}" for row in refused.itertuples()]
    if not has_domains and not concerns:
        concerns.append("There are no domains, since a step was killed; the cohort report says which.")
    if fate and fate["dropped"] > 0.2 * fate["total"]:
        reason = f", mostly: {fate['reasons'][0][0]}" if fate["reasons"] else ""
        concerns.append(f"Quality control dropped {percent(fate['dropped'] / fate['total'])} of the spots{reason}.")
    unsure = float((confidence < LOW_CONFIDENCE).mean())
    if unsure > 0.15:
        concerns.append(f"{percent(unsure)} of the spots lie between domains (confidence below {LOW_CONFIDENCE:g}).")
    if deconvolution.get("converged") is False:
        concerns.append("The deconvolution stopped before it converged; give it more iterations.")
    return concerns


def _tiles(flat: dict[str, Any], confidence: Array, types: list[str]) -> list[tuple[str, str]]:
    tiles = [
        ("spots", grouped(flat.get("n_spots"))),
        ("genes", grouped(flat.get("n_genes"))),
    ]
    if flat.get("n_domains") is not None:
        tiles.append(("domains", grouped(flat["n_domains"])))
        tiles.append(("mean confidence", f"{float(np.nanmean(confidence)):.2f}"))
    if types:
        tiles.append(("cell types", str(len(types))))
    if flat.get("domains.ari") is not None:
        tiles.append(("ARI", f"{flat['domains.ari']:.3f}"))
    if flat.get("proportions.rmse") is not None:
        tiles.append(("RMSE", f"{flat['proportions.rmse']:.3f}"))
    seconds = sum(v for k, v in flat.items() if k.startswith("seconds.") and v is not None)
    if seconds:
        tiles.append(("computing time", duration(seconds)))
    return tiles


def _domain_rows(
    names: list[str],
    colours: list[str],
    codes: Array,
    shares: Array,
    confidence: Array,
    attention: Array | None,
    listed: dict[str, list[str]],
    types: list[str],
    by_domain: Array | None,
) -> list[dict[str, Any]]:
    rows = []
    for k, name in enumerate(names):
        here = codes == k
        row: dict[str, Any] = {
            "name": name,
            "colour": colours[k],
            "spots": int(here.sum()),
            "share": float(shares[k]),
            "confidence": float(confidence[here].mean()),
            "attention": None if attention is None else float(attention[here].mean()),
            "genes": listed.get(name, [])[:5],
            "types": [],
        }
        if by_domain is not None:
            best = np.argsort(-by_domain[k], kind="stable")[:3]
            row["types"] = [(types[j], float(by_domain[k, j])) for j in best if by_domain[k, j] >= 0.05]
        rows.append(row)
    return rows


def _domain_table(rows: list[dict[str, Any]], tables: dict[str, Any]) -> None:
    tables["domain_summary"] = [
        ["domain", "spots", "share", "mean_confidence", "mean_attention_spatial", "markers"]
    ] + [
        [
            row["name"],
            row["spots"],
            round(row["share"], 5),
            round(row["confidence"], 5),
            None if row["attention"] is None else round(row["attention"], 5),
            " ".join(row["genes"]),
        ]
        for row in rows
    ]


def _cite(deconvolved: bool) -> list[tuple[str, str, str]]:
    works = [
        ("Pipeline", f"Spotfuse {__version__}; please cite the works that it builds on.", ""),
        (
            "Domains (mclust)",
            "Scrucca L, Fop M, Murphy TB, Raftery AE. mclust 5: clustering, classification and density estimation "
            "using Gaussian finite mixture models. The R Journal 2016; 8: 289–317.",
            "10.32614/RJ-2016-021",
        ),
        (
            "Data handling and marker genes (scanpy)",
            "Wolf FA, Angerer P, Theis FJ. SCANPY: large-scale single-cell gene expression data analysis. "
            "Genome Biology 2018; 19: 15.",
            "10.1186/s13059-017-1382-0",
        ),
        (
            "Colours",
            "Petroff MA. Accessible color sequences for data visualization. arXiv 2021.",
            "10.48550/arXiv.2107.02270",
        ),
    ]
    if deconvolved:
        works.insert(
            2,
            (
                "Cell types (spatially informed deconvolution)",
                "Ma Y, Zhou X. Spatially informed cell-type deconvolution for spatial transcriptomics. "
                "Nature Biotechnology 2022; 40: 1349–1359.",
                "10.1038/s41587-022-01273-7",
            ),
        )
    return works
