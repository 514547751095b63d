"""The report of one slice."""

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image
from scipy import sparse

from spotfuse import __version__, preparation
from spotfuse._core import keys
from spotfuse._core.colours import annotation_colours, palette
from spotfuse._core.order import natural
from spotfuse.cohort import metadata
from spotfuse.io import laid_out
from spotfuse.report import _figures, _quality, _words
from spotfuse.report._genes import pack_genes
from spotfuse.report._maps import Layers, bins_of, microns, two_components
from spotfuse.report._names import suggested
from spotfuse.report._page import VIRIDIS, Pack, render
from spotfuse.report._read import LISTED_GENES, Slice

Tables = dict[str, list[list[Any]]]  # what the page offers as TSV: the header, then the rows
Drawn = list[tuple[str, str, Any]]  # figures with their names and captions

MAX_POINTS = 40_000  # more spots than these are shown as square bins
PATTERNED = 12  # genes with a pattern in space that the page lists
DOT_GENES = 4  # markers of a domain in the dot plot
IMAGE_SIDE = 1400  # px
MOST_CLASSES = 40  # an annotation with more is not a map of regions
GREY = "#b0b0b0"
NEIGHBOURS = {
    "domain_contact": "Domains that touch: borders beside what their sizes give",
    "cell_type_contact": "Cell types in neighbouring spots",
}
CAPTIONS = {
    "told": "Told: the share of what a spot expresses that the domains of its neighbours tell",
    "worth": "Worth: told and stability together, drawn to few domains; the largest is chosen",
    "stability": "Stability: how well independent labellings agree (1: they are the same)",
    "bic": "BIC of the mixtures, mean over the labellings",
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
    return page(Slice.read(folder, sample))


def page(data: Slice) -> str:
    """Write the page that shows a slice: HTML that holds all it shows."""
    sample = data.sample
    pack, tables = Pack(), Tables()
    bins = bins_of(data.xy, MAX_POINTS)
    layers = Layers(pack, bins)
    n_points = len(data.xy) if bins is None else int(bins.max()) + 1
    x, y = (layers.means(column) for column in data.xy.T)

    layers.category("domain", "Domain", "Domains", data.codes, data.names, data.colours)
    layers.value("confidence", "Confidence of the domain", "Domains", data.confidence, lo=0, hi=1)
    agreement = _annotation(data, layers, tables)
    if data.attention is not None:
        layers.value("attention", "Attention on space", "Model", data.attention)
    _cell_types(data, layers)
    _measures(data, layers)
    listed = _listed(data)
    genes, packed_genes = pack_genes(data.adata, bins, n_points, listed, pack)

    lost = _quality.dropped(data, np.column_stack([x, y]), pack)
    works = _words.cite(data)
    image = _image(data.adata)
    markers = _marker_rows(data.tables["markers"])
    context = {
        "sample": sample,
        "spot": data.unit,
        "spots": f"{data.unit}s",
        "typed": data.typed,
        "summary": _words.summary(data),
        "concerns": _words.concerns(data),
        "tiles": _words.tiles(data),
        "metadata": metadata(data.uns.get("sample", {})),
        "n_genes": (len(genes["names"]), data.adata.n_vars),
        "n_binned": None if bins is None else (len(data.xy), n_points),
        "image": image and image["uri"],
        "has_domains": data.has_domains,
        "domains": [
            row | {"suggested": name, "given": data.uns.get("domain_names", {}).get(row["name"], "")}
            for row, name in zip(_words.domains(data), suggested(data), strict=True)
        ],
        "n_domains": _words.n_domains(data),
        "curves": _lines(data.tables["n_domains"], "n_domains", "number of domains", tables, len(data.names)),
        "has_attention": data.attention is not None,
        "has_markers": bool(markers),
        "unmarked": _words.unmarked(data),
        "dot_plot": _dot_plot(data, tables),
        "patterned": _patterned(data, tables),
        "neighbours": _neighbours(data, tables),
        "has_types": bool(data.types),
        "deconvolution": _words.deconvolution(data),
        "composition": _composition(data, tables),
        "scores": _words.scores(data),
        "agreement": agreement,
        "fate": _quality.fate(data, tables),
        "lost": lost and list(zip(lost["names"], lost["colours"], strict=True)),
        "notes": data.notes,
        "losses": _lines(data.tables["loss"], "loss", "epoch", tables),
        "steps": _words.steps(data),
        "made": _words.made(data),
        "methods": _words.methods(data),
        "cite": works,
        "version": __version__,
    }
    if data.has_domains:
        tables["domain_summary"] = _domain_table(context["domains"])
    header = {
        "sample": sample,
        "unit": data.unit,
        "typed": data.typed,
        "spots": list(map(str, data.adata.obs_names)) if bins is None else None,
        "inBin": None if bins is None else pack.codes(np.minimum(np.bincount(bins), 65535)),
        "n": n_points,
        "x": pack.numbers(x),
        "y": pack.numbers(y),
        "embedding": [pack.numbers(layers.means(column)) for column in two_components(data.adata).T],
        "spacing": preparation.spacing(np.column_stack([x, y])),
        "microns": microns(data.uns, data.adata.uns.get("spatial") or {}, data.xy),
        "image": image and {key: image[key] for key in ("width", "height")},
        "diameter": image and image["diameter"],
        "layers": layers.all,
        "genes": genes,
        "listed": listed,
        "markers": markers,
        "dropped": lost,
        "bibtex": "\n".join(work.bibtex for work in works),
        "tables": tables,
        "scale": VIRIDIS,
    }
    return render("slice.html", "slice.js", pack.text(header), genes=packed_genes, plotly=True, **context)


def _annotation(data: Slice, layers: Layers, tables: Tables) -> Any:
    """Map the known domains in the colours of the domains that they overlap most, and draw the overlap."""
    if not data.uns.get("sample", {}).get("annotation") or "annotation" not in data.adata.obs:
        return ""
    given = data.adata.obs["annotation"].astype(object)
    known = given.notna().to_numpy()
    text = given.where(known, "").astype(str).to_numpy()
    classes = sorted(set(text[known]), key=natural)
    if not 1 < len(classes) <= MOST_CLASSES:
        return ""
    codes = np.where(known, pd.Categorical(text, classes).codes, len(classes)).astype(int)
    overlap = np.zeros((len(classes), len(data.names)))
    np.add.at(overlap, (codes[known], data.codes[known]), 1)
    colours = annotation_colours(overlap, data.colours)
    layers.category("annotation", "Annotation (given)", "Domains", codes, [*classes, "not annotated"], [*colours, GREY])
    if not data.has_domains:
        return ""
    tables["agreement"] = [
        ["annotation", *(f"domain_{name}" for name in data.names)],
        *([name, *map(int, counts)] for name, counts in zip(classes, overlap, strict=True)),
    ]
    share = overlap / np.maximum(overlap.sum(axis=1, keepdims=True), 1)
    label = "Share of each annotated class that lies in each domain"
    return _figures.heat(share, classes, data.names, label, swatches=data.colours)


def _cell_types(data: Slice, layers: Layers) -> None:
    if data.proportions is None:
        return
    known = ~np.isnan(data.proportions).any(axis=1)
    best = np.where(known, np.nan_to_num(data.proportions).argmax(axis=1), len(data.types))
    names, colours = data.types, palette(len(data.types))
    if not known.all():
        names, colours = [*names, "no type" if data.typed else "not estimated"], [*colours, GREY]
    layers.category(
        "type", "Cell type" if data.typed else "Most abundant cell type", "Cell types", best, names, colours
    )
    if data.typed:
        classes = data.adata.obs[keys.CELL_CLASS].astype("category").cat
        found = list(map(str, classes.categories))
        layers.category(
            "class", "One cell or more", "Cell types", classes.codes.to_numpy(int), found, palette(len(found))
        )
    for name, column in zip(data.types, data.proportions.T, strict=True):
        layers.value(f"type:{name}", name, "Cell types", column)


def _measures(data: Slice, layers: Layers) -> None:
    obs, fit = data.adata.obs, data.tables["deconvolution_fit"]
    for key, label in (("n_counts", "Counts"), ("n_genes", "Genes found"), ("mt_share", "Mitochondrial share")):
        if key in obs and obs[key].max() > 0:
            layers.value(key, label, "Quality", obs[key].to_numpy(float))
    if fit is not None:
        fit = fit.set_index("spot").reindex(data.adata.obs_names)
        layers.value("residual", "Residual of the deconvolution", "Quality", fit["residual"].to_numpy(float))
        layers.value("explained", "Explained by the cell types", "Quality", fit["explained"].to_numpy(float))


def _marker_rows(table: pd.DataFrame | None) -> list[list[Any]]:
    """Give the rows that the page lists, each domain's best first."""
    if table is None:
        return []
    up = table[table["log_fold_change"] > 0]
    up = up.assign(rank=up.groupby("domain").cumcount())
    up = up[up["rank"] < LISTED_GENES].sort_values("rank", kind="stable")
    columns = ["domain", "gene", "log_fold_change", "auc", "p_adjusted", "share_in", "share_out"]
    return [list(row) for row in up[columns].itertuples(index=False, name=None)]


def _patterned(data: Slice, tables: Tables) -> list[tuple[Any, ...]]:
    """Give the genes with the strongest pattern in space."""
    table = data.tables["spatial_genes"]
    if table is None or not len(table):
        return []
    first = table.head(PATTERNED)
    tables["spatial_genes"] = [list(first), *first.to_numpy(object).tolist()]
    return list(first.itertuples(index=False))


def _neighbours(data: Slice, tables: Tables) -> Drawn:
    """Draw which domains touch and which types lie together."""
    table = data.tables["neighbourhoods"]
    if table is None:
        return []
    drawn: Drawn = []
    for kind, caption in NEIGHBOURS.items():
        part = table[table["kind"] == kind]
        if len(part):
            tables[kind] = [list(part), *part.to_numpy(object).tolist()]
            drawn.append((kind, caption, _figures.ratios(*_figures.symmetric(part), caption)))
    return drawn


def _listed(data: Slice) -> list[str]:
    """Give the genes that the page offers in its menu: markers, and those with a pattern in space."""
    genes = {gene for markers in data.markers.values() for gene in markers}
    table = data.tables["spatial_genes"]
    if table is not None:
        genes |= set(table["gene"].head(PATTERNED))
    return sorted(genes.intersection(data.adata.var_names), key=natural)


def _expression(data: Slice, genes: list[str]) -> sparse.csr_array:
    """Read normalised log expression, ln(1 + counts per 10,000), of some genes."""
    adata = data.adata
    columns = adata.var_names.get_indexer(genes)
    parts = []
    for start in range(0, adata.n_obs, 50_000):
        counts = sparse.csr_matrix(adata.X[start : start + 50_000], dtype=np.float32)
        totals = np.asarray(counts.sum(axis=1), dtype=np.float64).ravel()
        parts.append(preparation.log_normalise(counts[:, columns], totals))
    return sparse.csr_array(sparse.vstack(parts))


def _image(adata: Any) -> dict[str, Any] | None:
    """Find the best image, shrink it, and say where it lies in the units of the coordinates."""
    for library in laid_out(adata.uns.get("spatial") or {}, []).values():
        scales = library["scalefactors"]
        for name in ("hires", "lowres"):
            pixels = library["images"].get(name)
            if pixels is not None and pixels.min() < pixels.max():
                scale = scales[f"tissue_{name}_scalef"]
                picture = Image.fromarray(pixels)
                width, height = picture.width / scale, picture.height / scale
                picture.thumbnail((IMAGE_SIDE, IMAGE_SIDE))
                file = io.BytesIO()
                picture.save(file, "JPEG", quality=80)
                uri = "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()
                return {
                    "uri": uri,
                    "width": width,
                    "height": height,
                    "diameter": scales.get("spot_diameter_fullres"),
                }
    return None


def _dot_plot(data: Slice, tables: Tables) -> Any:
    firsts = (gene for markers in data.markers.values() for gene in markers[:DOT_GENES])
    chosen = list(dict.fromkeys(gene for gene in firsts if gene in data.adata.var_names))
    if not chosen:
        return ""
    some = _expression(data, chosen)
    of_domain = [some[data.codes == k] for k in range(len(data.names))]
    mean = np.stack([np.ravel(part.mean(axis=0)) for part in of_domain], axis=1)
    share = np.stack([np.ravel((part > 0).mean(axis=0)) for part in of_domain], axis=1)
    tables["dot_plot"] = [["gene", "domain", "share_of_spots", "mean_expression"]] + [
        [gene, name, round(float(share[i, k]), 5), round(float(mean[i, k]), 5)]
        for i, gene in enumerate(chosen)
        for k, name in enumerate(data.names)
    ]
    level = mean / np.maximum(mean.max(axis=1, keepdims=True), 1e-12)
    return _figures.dot_plot(share, level, chosen, data.names, data.colours, "Marker genes by domain", data.unit)


def _composition(data: Slice, tables: Tables) -> Any:
    composition = data.composition
    if composition is None:
        return ""
    tables["composition"] = [
        ["cell_type", *(f"domain_{name}" for name in data.names)],
        *([name, *(round(float(v), 5) for v in composition[:, j])] for j, name in enumerate(data.types)),
    ]
    label = f"{'Cells' if data.typed else 'Mean proportion'} of each cell type in each domain, in percent"
    return _figures.heat(composition.T, data.types, data.names, label, swatches=data.colours)


def _lines(table: pd.DataFrame | None, name: str, x_title: str, tables: Tables, chosen: int | None = None) -> Drawn:
    """Draw each column of a table over its first."""
    if table is None or len(table) < 2:
        return []
    tables[name] = [list(table.columns), *table.to_numpy(float).tolist()]
    x = table.iloc[:, 0].to_numpy(float)
    drawn = []
    for column in table.columns[1:].drop("chosen", errors="ignore"):
        title = column.replace("_", " ")
        figure = _figures.curve(x, table[column].to_numpy(float), x_title, f"{title} by {x_title}", chosen=chosen)
        drawn.append((f"{name}_{column}", CAPTIONS.get(column, title.capitalize()), figure))
    return drawn


def _domain_table(rows: list[dict[str, Any]]) -> list[list[Any]]:
    keys = ("spots", "share", "confidence", "attention")
    return [
        ["domain", "spots", "share", "mean_confidence", "mean_attention_spatial", "markers"],
        *([row["name"], *(row[key] and round(row[key], 5) for key in keys), " ".join(row["genes"])] for row in rows),
    ]
