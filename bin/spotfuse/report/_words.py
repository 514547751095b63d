"""What the report of a slice says."""

import shlex
from typing import Any, NamedTuple

import numpy as np

from spotfuse import __version__
from spotfuse.cohort import SHEET, flatten
from spotfuse.report._page import duration, grouped, percent
from spotfuse.report._read import Slice

LOW_CONFIDENCE = 0.6
CLOSE = 0.1  # numbers of domains whose worth differs by a smaller share are as good as equal

_CLASSES = {
    "singlet": ("has one type", "have one type"),
    "doublet": ("has the genes of two types (doublet)", "have the genes of two types (doublets)"),
    "unsure": ("is unsure", "are unsure"),
    "no type": ("is like no type", "are like no type"),
}
_SCORES = {
    "domains.ari": ("Adjusted Rand index", "domains against the annotation; 1 is equal, 0 is chance"),
    "domains.nmi": ("Normalised mutual information", "domains against the annotation; 1 is equal"),
    "domains.n_annotated": (
        "Annotated spots",
        "all enter the two figures above; those that quality control dropped, as one domain more",
    ),
    "domains.n_scored": ("Annotated spots with a domain", "those that quality control kept"),
    "proportions.rmse": ("RMSE", "proportions against the known ones, mean over cell types; 0 is equal"),
    "proportions.pcc_per_type": ("Pearson r per type", "over spots, mean over cell types"),
    "proportions.pcc_per_spot": ("Pearson r per spot", "over cell types, mean over spots"),
    "proportions.js_distance": ("Jensen–Shannon distance", "mean over spots; 0 is equal"),
    "proportions.n_types_skipped": ("Types skipped", "constant in the known proportions"),
}


def scores(data: Slice) -> list[tuple[str, str, str]]:
    """Give each score's name, meaning and value."""
    known = [(key, data.metrics[key]) for key in _SCORES if data.metrics.get(key) is not None]
    return [(*_SCORES[key], f"{value:,}" if isinstance(value, int) else f"{value:.3f}") for key, value in known]


def summary(data: Slice) -> str:
    """Say in a few sentences what came out."""
    spots, names, shares = grouped(data.metrics.get("n_spots")), data.names, data.shares
    text = f"{spots} {data.unit}s passed quality control. "
    if len(names) > 1:
        largest = int(shares.argmax())
        genes = data.markers[names[largest]][:3]
        text = (
            f"{spots} {data.unit}s fall into {len(names)} domains; the largest, domain {names[largest]}, has "
            f"{percent(float(shares[largest]))} of them{f' and is marked by {_and(genes)}' if genes else ''}. "
        )
    if data.proportions is not None and np.isfinite(data.proportions).any():
        mean = np.nanmean(data.proportions, axis=0)
        top = [f"{data.types[j]} ({percent(float(mean[j]))})" for j in np.argsort(-mean, kind="stable")[:2]]
        text += f"Of {len(data.types)} cell types, the most abundant {'are' if len(top) > 1 else 'is'} {_and(top)}. "
    if data.metrics.get("domains.ari") is not None:
        text += f"Against the annotation, the adjusted Rand index is {data.metrics['domains.ari']:.2f}. "
    if data.metrics.get("proportions.rmse") is not None:
        text += f"Against the known proportions, the root mean square error is {data.metrics['proportions.rmse']:.3f}. "
    return text.strip()


def concerns(data: Slice) -> list[str]:
    """Say what a careful reader should look at first."""
    found = []
    status, qc = data.tables["status"], data.tables["qc"]
    if status is not None:
        refused = status[status["failure"].notna()]
        found += [f"{row.step} failed: {row.failure}" for row in refused.itertuples()]
    if not data.has_domains and not found:
        found.append("There are no domains, since a step was killed; the cohort report says which.")
    if qc is not None:
        dropped = qc.loc[~kept(data), "reason"]
        if len(dropped) > 0.2 * len(qc):
            reason = dropped.fillna("no reason given").mode()[0]
            found.append(
                f"Quality control dropped {percent(len(dropped) / len(qc))} of the {data.unit}s, mostly: {reason}."
            )
    if data.uns.get("unlike"):
        found.append(
            f"The slice seems to have {percent(data.uns['in_common'])} of its tissue in common with the rest of group "
            f"{data.uns['sample']['group']}: if its domains look wrong, learn it without a group."
        )
    unsure = float((data.confidence < LOW_CONFIDENCE).mean())
    if unsure > 0.15:
        found.append(
            f"{percent(unsure)} of the {data.unit}s lie between domains (confidence below {LOW_CONFIDENCE:g})."
        )
    if data.deconvolution.get("converged") is False:
        found.append("The deconvolution stopped before it converged; give it more iterations.")
    return found


def kept(data: Slice) -> Any:
    """Say which rows of the qc table are spots that were kept."""
    table = data.tables["qc"]
    return table is not None and table["kept"].astype(str).str.lower().isin(["true", "1"]).to_numpy()


def tiles(data: Slice) -> list[tuple[str, str]]:
    """Give the few numbers that stand first."""
    metrics = data.metrics
    found = [(f"{data.unit}s", grouped(metrics.get("n_spots"))), ("genes", grouped(metrics.get("n_genes")))]
    if data.has_domains:
        found.append(("domains", str(len(data.names))))
        found.append(("mean confidence", f"{data.confidence.mean():.2f}"))
    if data.types:
        found.append(("cell types", str(len(data.types))))
    if metrics.get("domains.ari") is not None:
        found.append(("ARI", f"{metrics['domains.ari']:.3f}"))
    if metrics.get("proportions.rmse") is not None:
        found.append(("RMSE", f"{metrics['proportions.rmse']:.3f}"))
    seconds = sum(value for _, value in _of_steps(data, "seconds"))
    return [*found, ("computing time", duration(seconds))] if seconds else found


def n_domains(data: Slice) -> str:
    """Say where the number of domains comes from, how clear the choice was, and what slices the numbers hold for."""
    return _where_from(data) + _of_what(data) + _how_far(data)


def _of_what(data: Slice) -> str:
    if data.uns.get("domains_from") != "composition":
        return ""
    return f" {data.unit.capitalize()}s were divided by the cell types around them, not by their expression."


def _how_far(data: Slice) -> str:
    status = data.tables["status"]
    if status is None or "split_group" not in set(status["step"]):
        return ""
    group = data.uns.get("sample", {}).get("group")
    return (
        f" They were learned together with the other slices of group {group}: equal numbers and colours are the same "
        "domain in all of them, and a slice may lack some."
    )


def _where_from(data: Slice) -> str:
    curve = data.tables["n_domains"]
    if curve is None or not len(curve):
        return f"The number of domains, {len(data.names)}, was given."
    taken = curve["chosen"] == 1
    if not taken.any():
        return f"There are {len(data.names)} domains."
    chosen, told, stability, worth = curve.loc[taken, ["n_domains", "told", "stability", "worth"]].to_numpy(float)[0]
    if len(curve) == 1:
        return f"The number of domains, {chosen:.0f}, is the only one found: it could be compared with no other."
    if chosen == 1:
        return (
            "The slice is one domain: however it is divided, the domains of its neighbours tell nothing of what a "
            f"{data.unit} expresses. Give a number of domains to divide it nonetheless."
        )
    text = (
        f"The number of domains, {chosen:.0f}, was chosen without labels: the domains of a {data.unit}'s neighbours "
        f"tell {percent(told)} of what it expresses, and independent labellings of the slice agree by {stability:.2f} "
        "of 1"
    )
    others = curve[~taken].sort_values("worth", ascending=False, kind="stable")
    second, at_second = others[["n_domains", "worth"]].to_numpy(float)[0]
    if at_second > 0:
        text += f"; next comes {second:.0f}, worth {percent(at_second / worth)} of that"
        if at_second > (1 - CLOSE) * worth:
            text += ", so close that it deserves a look too"
    text += "."
    if chosen == curve["n_domains"].max():
        text += " It is the largest number tried: more domains may be as right."
    return text


def domains(data: Slice) -> list[dict[str, Any]]:
    """Describe each domain."""
    rows = []
    shares, composition = data.shares, data.composition
    for k, name in enumerate(data.names):
        here = data.codes == k
        types: list[tuple[str, float]] = []
        if composition is not None:
            best = np.argsort(-composition[k], kind="stable")[:3]
            types = [(data.types[j], float(composition[k, j])) for j in best if composition[k, j] >= 0.05]
        rows.append(
            {
                "name": name,
                "colour": data.colours[k],
                "spots": int(here.sum()),
                "share": float(shares[k]),
                "confidence": float(data.confidence[here].mean()),
                "attention": None if data.attention is None else float(data.attention[here].mean()),
                "genes": data.markers[name][:5],
                "types": types,
            }
        )
    return rows


def unmarked(data: Slice) -> str:
    """Name the domains that no gene marks."""
    bare = [name for name in data.names if not data.markers[name]]
    return f"domain{'s' if len(bare) > 1 else ''} {_and(bare)}" if bare else ""


def deconvolution(data: Slice) -> str:
    """Say how the cell types were found."""
    note = data.deconvolution
    text = f"Shares are of {note['output']}. " if note.get("output") else ""
    classes = note.get("cell_types", {}).get("classes")
    if classes:
        some = [f"{grouped(n)} {_CLASSES[name][n != 1]}" for name, n in classes.items() if n]
        text += f"Of the cells {_and(some)}; cell_types.tsv has each. "
    if note.get("n_cells") is not None:
        text += (
            f"The reference has {note['n_cells']:,} cells of {note['n_types']} types and shares "
            f"{note['n_genes_shared']:,} genes with the slice, of which {note['n_genes_used']:,} were used. "
        )
    if note.get("explained") is not None:
        text += (
            f"The types explain {percent(note['explained'])} of a {data.unit}'s expression in the median; on "
            "five slices made of known cells that the reference did not hold it was 67 to 95 %, and the quarter of the "
            "spots explained worst erred 1.2 to 1.4 times as much as the one explained best. Little is explained where "
            f"{data.unit}s have few counts, or hold what the reference lacks: look whether the residual is high in one "
            "domain alone, and try another reference. "
        )
    for own in note.get("classes", []):
        text += (
            f"The genes do not tell {_and(own)} apart: trust their sum rather than the share of each "
            "(proportions_classes.tsv has that of classes). "
        )
    if note.get("converged"):
        text += f"The fit converged after {note['sweeps']} sweeps. "
    if note.get("proportions"):
        text += f"Proportions are {note['proportions']}."
    return text


def steps(data: Slice) -> list[dict[str, Any]]:
    """Give the time and memory of each step, in the steps' order."""
    seconds, memory = _of_steps(data, "seconds"), dict(_of_steps(data, "peak_rss_mb"))
    longest = max((value for _, value in seconds), default=0) or 1
    return [
        {
            "name": step,
            "time": duration(value),
            "share": value / longest,
            "memory": f"{memory[step] / 1024:.1f} GB" if step in memory else "–",
        }
        for step, value in seconds
    ]


def made(data: Slice) -> dict[str, Any]:
    """Give what makes the slice again: a command that writes its sheet and runs, parameters, versions and the seed."""
    parameters = data.uns.get("parameters", {})
    row = data.uns.get("sample", {})
    given = {key: row[key] for key in sorted(row, key=_place_in_sheet) if row[key] not in (None, "")}
    sheet = [",".join(given), ",".join(_cell(str(value)) for value in given.values())]
    words = ['nextflow run "${SPOTFUSE:-.}"', "--input samplesheet.csv", "--outdir results"] + [
        f"--{key} {shlex.quote(str(value).lower() if isinstance(value, bool) else str(value))}"
        for key, value in parameters.items()
        if value not in (None, "") and isinstance(value, str | int | float)
    ]
    return {
        "parameters": flatten(parameters),
        "versions": dict(sorted(data.uns.get("versions", {}).items(), key=lambda pair: pair[0].lower())),
        "seed": data.uns.get("seed"),
        "command": "\n".join(["cat > samplesheet.csv <<'EOF'", *sheet, "EOF", " \\\n    ".join(words)])
        if given
        else "",
    }


def methods(data: Slice) -> str:
    """Write the paragraph that a paper's methods need."""
    given, prepared = data.uns.get("parameters", {}), data.uns.get("prepare", {})
    encoder = given.get("encoder", "spotfuse")
    text = f"The slice was analysed with Spotfuse {__version__}. "
    if {"min_counts", "min_genes", "max_mt_share"} <= set(prepared):
        most = prepared["max_mt_share"]
        mitochondrial = f" and at most {percent(most)} mitochondrial counts" if most < 1 else ""
        text += (
            f"{data.unit.capitalize()}s with at least {_counted(prepared['min_counts'], 'count')} and "
            f"{_counted(prepared['min_genes'], 'gene')}{mitochondrial} were kept: "
            f"{grouped(data.metrics.get('n_spots'))} {data.unit}s and {grouped(data.metrics.get('n_genes'))} genes. "
        )
    if {"n_top_genes", "n_components"} <= set(prepared):
        text += (
            f"Of at most {prepared['n_top_genes']:,} variable genes, up to {prepared['n_components']} principal "
            "components each of log-normalised counts and of Pearson residuals were taken. "
        )
    if data.has_domains:
        how = (
            "SpatialFusion's encoder with its published equations"
            if encoder == "published"
            else "a dual graph encoder with attention and contrast, after GraphST (Long et al. 2023)"
        )
        curve = data.tables["n_domains"]
        number = (
            "a number that was given"
            if curve is None or not len(curve)
            else "the number whose domains best tell what neighbours express and on which labellings agree"
        )
        group = data.uns.get("sample", {}).get("group")
        composed = " by the cell types around them" if data.uns.get("domains_from") == "composition" else ""
        together = f", together with the other slices of group {group}," if group else ""
        text += (
            f"{data.unit.capitalize()}s were embedded{together} by {how}, and divided{composed} into {len(data.names)} "
            f"domains, {number}, by a vote over Gaussian mixtures (mclust; Scrucca et al. 2016) at several scales of "
            "smoothing. "
        )
    if data.tables["markers"] is not None:
        text += (
            "Marker genes of a domain have a Benjamini–Hochberg adjusted p below 0.05 (Benjamini and Hochberg 1995) in "
            "Wilcoxon's rank-sum test against the rest of the slice and are at least 1.5 times as high. "
        )
    if data.tables["spatial_genes"] is not None:
        text += "Spatial patterns of genes were ranked by Moran's I (Moran 1950) with exact moments under permutation. "
    if data.types:
        cells = data.deconvolution.get("n_cells")
        reference = (
            f"a reference of {cells:,} cells of {len(data.types)}" if cells else f"a reference of {len(data.types)}"
        )
        text += f"Proportions of cell types were estimated from {reference} types"
        text += (
            f" by SpatialFusion's cell mapping: each {data.unit} is a mixture of the reference's cells. "
            if given.get("deconvolution") == "cell_mapping"
            else " as the mean of four estimates by one spatially regularised regression, after CARD (Ma and Zhou "
            "2022): its solution, the mean of draws from its posterior, and its solutions with each type in up to six "
            "and in up to twelve parts. "
        )
        if data.typed:
            text += (
                "Each cell was given the likeliest type, or pair of types, by linear discriminants of the square roots "
                "and of the logarithms of its genes' shares. "
            )
    versions = {name: version for name, version in data.uns.get("versions", {}).items() if name != "spotfuse"}
    told = [f"{name} {version}" for name, version in sorted(versions.items(), key=lambda pair: pair[0].lower())]
    seed = data.uns.get("seed")
    text += f"All randomness comes from seed {seed}. " if seed is not None else ""
    return text + (f"Versions: {', '.join(told)}." if told else "")


class Work(NamedTuple):
    """A work to cite, and what for."""

    what: str
    key: str
    authors: str
    title: str
    journal: str
    year: int
    place: str
    doi: str

    @property
    def text(self) -> str:
        """Give it as a list of references has it."""
        return f"{self.authors}. {self.title}. {self.journal} {self.year}{f'; {self.place}' if self.place else ''}."

    @property
    def bibtex(self) -> str:
        """Give it as BibTeX has it."""
        volume, _, pages = self.place.partition(": ")
        names = [name.split(" ") for name in self.authors.removesuffix(", et al").split(", ")]
        authors = [f"{' '.join(words[:-1])}, {' '.join(words[-1])}" for words in names]
        authors += ["others"] if self.authors.endswith("et al") else []
        fields = {
            "author": " and ".join(authors),
            "title": f"{{{self.title}}}",
            "journal": self.journal,
            "year": str(self.year),
            "volume": volume,
            "pages": pages.replace("–", "--"),
            "doi": self.doi,
        }
        return "\n".join([f"@article{{{self.key},", *(f"  {k} = {{{v}}}," for k, v in fields.items() if v), "}", ""])


def cite(data: Slice) -> list[Work]:
    """Give the works that the slice rests on."""
    works = []
    if data.has_domains:
        works += [
            Work(
                "Domains (dual encoder, after GraphST)",
                "long2023graphst",
                "Long Y, Ang KS, Li M, et al",
                "Spatially informed clustering, integration, and deconvolution of spatial transcriptomics with GraphST",
                "Nature Communications",
                2023,
                "14: 1155",
                "10.1038/s41467-023-36796-3",
            ),
            Work(
                "Domains (mclust)",
                "scrucca2016mclust",
                "Scrucca L, Fop M, Murphy TB, Raftery AE",
                "mclust 5: clustering, classification and density estimation using Gaussian finite mixture models",
                "The R Journal",
                2016,
                "8: 289–317",
                "10.32614/RJ-2016-021",
            ),
        ]
    if data.types:
        works.append(
            Work(
                "Cell types (spatially informed deconvolution)",
                "ma2022card",
                "Ma Y, Zhou X",
                "Spatially informed cell-type deconvolution for spatial transcriptomics",
                "Nature Biotechnology",
                2022,
                "40: 1349–1359",
                "10.1038/s41587-022-01273-7",
            )
        )
    if data.tables["markers"] is not None:
        works.append(
            Work(
                "Marker genes (adjusted p)",
                "benjamini1995fdr",
                "Benjamini Y, Hochberg Y",
                "Controlling the false discovery rate: a practical and powerful approach to multiple testing",
                "Journal of the Royal Statistical Society B",
                1995,
                "57: 289–300",
                "10.1111/j.2517-6161.1995.tb02031.x",
            )
        )
    if data.tables["spatial_genes"] is not None:
        works.append(
            Work(
                "Genes with a pattern in space",
                "moran1950notes",
                "Moran PAP",
                "Notes on continuous stochastic phenomena",
                "Biometrika",
                1950,
                "37: 17–23",
                "10.1093/biomet/37.1-2.17",
            )
        )
    return [
        *works,
        Work(
            "Data handling (anndata)",
            "virshup2024anndata",
            "Virshup I, Rybakov S, Theis FJ, Angerer P, Wolf FA",
            "anndata: Access and store annotated data matrices",
            "Journal of Open Source Software",
            2024,
            "9: 4371",
            "10.21105/joss.04371",
        ),
        Work(
            "Colours",
            "petroff2021colours",
            "Petroff MA",
            "Accessible color sequences for data visualization",
            "arXiv",
            2021,
            "",
            "10.48550/arXiv.2107.02270",
        ),
    ]


def _of_steps(data: Slice, kind: str) -> list[tuple[str, float]]:
    found = [(key.removeprefix(f"{kind}."), value) for key, value in data.metrics.items() if key.startswith(f"{kind}.")]
    return [(step, float(value)) for step, value in found if value is not None]


def _place_in_sheet(name: str) -> int:
    return SHEET.index(name) if name in SHEET else len(SHEET)


def _cell(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if any(c in text for c in ',"\n') else text


def _counted(number: float, what: str) -> str:
    return f"{number:,g} {what}{'' if number == 1 else 's'}"


def _and(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
