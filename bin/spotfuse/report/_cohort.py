"""The report of all slices of a run."""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd

from spotfuse import __version__, cohort, preparation
from spotfuse._core import guard
from spotfuse._core.colours import domain_colours, palette
from spotfuse._core.order import natural
from spotfuse._core.tables import NAMES, read_spots
from spotfuse.cohort import DIFFERENCES, FEWEST, MIXING, NEIGHBOURHOODS, RECURRING_MARKERS, Row, flatten, metadata
from spotfuse.report import _figures
from spotfuse.report._maps import Layers, bins_of, microns
from spotfuse.report._multiqc import MEASURES
from spotfuse.report._page import VIRIDIS, Pack, duration, grouped, render

POINTS = 1_000_000  # of all thumbnails together
MOST_POINTS, LEAST_POINTS = 6_000, 500  # of one thumbnail
NUMBERED = 40  # rows; a longer table of shares has no numbers in its cells
MOST_COMPARISONS, MOST_EFFECTS = 12, 20  # drawn, and rows of each
MOST_DIFFERENCES, MOST_SAVED = 100, 2_000  # rows of them on the page, and in the table that it saves
ACCENT = "var(--accent)"

_COMPARED = {
    "composition": ["sample", "group", "kind", "name", "share"],
    "matched_domains": ["sample", "domain", "matched", "score"],
    "mixing": MIXING,
    "differences": DIFFERENCES,
    "neighbourhoods": NEIGHBOURHOODS,
    "markers": RECURRING_MARKERS,
    "differential_expression": cohort.DIFFERENTIAL_EXPRESSION,
}
_NEIGHBOURS = {
    "domain_contact": "Domains that touch",
    "cell_type_contact": "Cell types in neighbouring spots",
    "cell_type_in_domain": "Cell types in domains",
}
_COLUMNS = {**MEASURES, "seconds": ("Time", ""), "memory": ("Peak memory", "{:.1f} GB")}


def of_cohort(
    sheet: Sequence[Row],
    slices: Mapping[str, Path],
    metrics: pd.DataFrame,
    failures: pd.DataFrame,
    parameters: Mapping[str, Any],
    compared: Mapping[str, pd.DataFrame],
) -> str:
    """Write the report of the cohort.

    Parameters
    ----------
    sheet
        The sample sheet, a mapping a row.
    slices
        Folder of each finished slice, by sample.
    metrics, failures
        From `spotfuse.cohort`.
    parameters
        The run's.
    compared
        The tables of `compare_slices`, by name; where it failed, ``composition`` alone.

    Returns
    -------
    The page: HTML that holds all it shows and links to ``../<sample>/report.html``.
    """
    tables_of = {name: _as_said(compared.get(name), columns) for name, columns in _COMPARED.items()}
    composition, matched, differences = (tables_of[name] for name in ("composition", "matched_domains", "differences"))
    matched = matched.astype({"matched": "Int64"})
    of_shares = differences["kind"].isin(["domain", "cell_type"])
    facts = {row["sample"]: metadata(row) for row in sheet}
    done = [row["sample"] for row in sheet if row["sample"] in slices]
    called = cohort.cohort_names(matched)
    composition, called = _owned(composition, called, done)
    owned = {name for names in called.values() for name in names.values() if ": " in name}
    domains = sorted(_names(composition, "domain") - owned, key=natural)
    n_shared, shared = len(domains), domain_colours(domains)
    domains += [name for name in dict.fromkeys(composition["name"]) if name in owned]
    colours = dict(zip(domains, shared + _own_colours(n_shared, len(domains) - n_shared), strict=True))
    types = sorted(_names(composition, "cell_type"))
    matching = bool(n_shared and cohort.cohort_names(matched))
    pack = Pack()
    tables: dict[str, list[list[Any]]] = {}  # what the page offers as TSV
    shown = [_thumbnail(slices[name], name, len(done), domains, types, pack, called.get(name, {})) for name in done]
    header = {
        "tables": tables,
        "slices": shown,
        "called": [
            Counter(one["names"][name] for one in shown if name in one["names"]).most_common(1) for name in domains
        ],
        "domains": [domains, list(colours.values())],
        "shared": n_shared,
        "types": [types, palette(len(types))],
        "scale": VIRIDIS,
    }
    whole = metrics.assign(seconds=_total(metrics, "seconds."), memory=_peak(metrics))
    failed = set(failures["sample"])
    columns = [key for key in _COLUMNS if key in whole and whole[key].notna().any()]
    extra = list(dict.fromkeys(key for name in done for key in facts[name]))
    context = {
        "version": __version__,
        "n_slices": len(facts),
        "n_done": len(done),
        "summary": _summary(list(facts), slices, failed, whole),
        "failures": [(*row, _remedy(*row[1:])) for row in failures.itertuples(index=False, name=None)],
        "columns": [_COLUMNS[key][0] for key in columns],
        "extra": extra,
        "rows": [
            {
                "sample": row["sample"],
                "incomplete": row["sample"] in failed,
                "facts": [str(facts[row["sample"]].get(key, "")) for key in extra],
                "cells": [_cell(key, row[key]) for key in columns],
            }
            for row in whole.to_dict("records")
        ],
        "domain_colours": list(colours.items())[:n_shared],
        "n_owned": len(owned),
        "domain_figures": _shares(composition, "domain", colours, facts if matching else {}, done, tables),
        "type_figures": _type_shares(sheet, composition, facts, done, tables),
        "agreement": _agreement(metrics, tables),
        "groups": _groups(tables_of["mixing"], tables),
        "matching": _matching_note(matched, list(tables_of["mixing"]["group"])),
        "matched": _matched(matched, done, tables) if matching else None,
        "effects": _effects(sheet, tables_of["composition"], matched, differences[of_shares], tables),
        "differences": _differences("differences", differences[of_shares], tables),
        "beside": _differences("neighbourhood_differences", differences[~of_shares], tables),
        "neighbours": _neighbours(tables_of["neighbourhoods"], tables),
        "markers": _markers(tables_of["markers"], tables),
        "expression": _differences("differential_expression", tables_of["differential_expression"], tables),
        "times": _times(metrics, tables),
        "steps": _steps(metrics, tables),
        "parameters": flatten(parameters),
    }
    return render("cohort.html", "cohort.js", pack.text(header), **context)


def _owned(
    composition: pd.DataFrame, called: dict[str, dict[str, str]], done: list[str]
) -> tuple[pd.DataFrame, dict[str, dict[str, str]]]:
    """Call domains that are like none of another slice by their slice too: ``A: 3``; of a slice alone by number."""
    domain = composition["kind"] == "domain"
    of = composition[domain].astype({"sample": str, "name": str})
    alone = ~of["sample"].isin(called) & (of["sample"].nunique() > 1)
    own_names = {s: {name: f"own {name}" for name in part["name"]} for s, part in of[alone].groupby("sample")}
    called = {**called, **own_names}
    of.loc[alone, "name"] = "own " + of["name"]
    told = {
        sample: {
            domain: f"{sample}: {name.removeprefix('own ')}" if name.startswith("own ") else name
            for domain, name in names.items()
        }
        for sample, names in called.items()
        if sample in done
    }
    own = of["name"].str.startswith("own ")
    of.loc[own, "name"] = of["sample"] + ": " + of["name"].str.removeprefix("own ")
    return pd.concat([of, composition[~domain]], ignore_index=True), told


def _own_colours(n_shared: int, n: int) -> list[str]:
    """Give colours that no shared domain has, over and over where they run out."""
    free = palette(max(40, n_shared + 10))[n_shared:]
    return [free[k % len(free)] for k in range(n)]


def _remedy(step: str, reason: str) -> str:
    """Say what to do about a failure."""
    if "unexpected error" in reason or "defect in" in reason:
        return "A defect of Spotfuse: run again with -resume --debug, and report what it shows."
    if "killed" in reason or "memory" in reason:
        return "Give it more memory (process.resourceLimits, or the executor's limits), then run again with -resume."
    if step in ("compare_slices", "report_cohort"):
        return "The slices' own reports are complete; mend what the reason names, then run again with -resume."
    return (
        "Mend what the reason names, in the file or in the sheet, then run again with -resume: other slices are kept."
    )


def _names(composition: pd.DataFrame, kind: str) -> set[str]:
    return set(composition.loc[composition["kind"] == kind, "name"].astype(str))


def _thumbnail(
    folder: Path,
    sample: str,
    n_slices: int,
    domains: list[str],
    types: list[str],
    pack: Pack,
    called: Mapping[str, str],
) -> dict[str, Any]:
    """Pack the spots of one slice, without opening its counts."""
    with guard.hdf5(folder / f"{sample}.h5ad") as file:
        spots = np.asarray(ad.io.read_elem(file["obs"][file["obs"].attrs["_index"]]), str)
        xy = np.asarray(file["obsm/spatial"][:, :2], float)
        note, libraries = file.get("uns/spotfuse", {}), file.get("uns/spatial", {})
        told = {key: ad.io.read_elem(note[key]) for key in ("platform", "unit", "domain_names") if key in note}
        factors = {
            name: {"scalefactors": ad.io.read_elem(library["scalefactors"])}
            for name, library in libraries.items()
            if "scalefactors" in library
        }
    layers = Layers(pack, bins_of(xy, int(np.clip(POINTS // max(n_slices, 1), LEAST_POINTS, MOST_POINTS))))
    x, y = layers.means(xy[:, 0]), layers.means(xy[:, 1])
    found = {
        "sample": sample,
        "n": len(x),
        "spacing": preparation.spacing(np.column_stack([x, y])),
        "x": pack.numbers(x),
        "y": pack.numbers(y),
        "microns": microns(told, factors, xy),
        "names": {
            called.get(domain, domain): name for domain, name in json.loads(told.get("domain_names", "{}")).items()
        },
    }
    if (folder / "domains.tsv").exists():
        table = read_spots(folder / "domains.tsv").loc[spots]
        names = table["domain"].astype(str).map(lambda name: called.get(name, name))
        codes = pd.Categorical(names, domains).codes.astype(int)
        found["domain"] = pack.codes(layers.most(codes, len(domains)))
        found["confidence"] = pack.numbers(layers.means(table["confidence"].to_numpy(float)), 1)
    if (folder / "proportions.tsv").exists():
        shares = read_spots(folder / "proportions.tsv").loc[spots].fillna(0)
        best = np.array([types.index(name) for name in shares])[shares.to_numpy(float).argmax(axis=1)]
        found["type"] = pack.codes(layers.most(best, len(types)))
    return found


def _total(metrics: pd.DataFrame, prefix: str) -> pd.Series:
    return metrics[[name for name in metrics if name.startswith(prefix)]].sum(axis=1, min_count=1)


def _peak(metrics: pd.DataFrame) -> pd.Series:
    return metrics[[name for name in metrics if name.startswith("peak_rss_mb.")]].max(axis=1) / 1024


def _cell(key: str, value: Any) -> tuple[str, str]:
    """Give what a cell shows, and what it is sorted by."""
    if value is None or pd.isna(value):
        return "–", ""
    text = duration(value) if key == "seconds" else _COLUMNS[key][1].format(value)
    return text, repr(float(value))


def _summary(names: list[str], slices: Mapping[str, Path], failed: set[str], whole: pd.DataFrame) -> str:
    if not names:
        return "The sample sheet names no slice."
    lost = sum(name not in slices for name in names)
    parted = sum(name in slices and name in failed for name in names)
    well = len(names) - lost - parted
    if well == len(names):
        text = f"All {well} slices are finished. " if well > 1 else "The slice is finished. "
    else:
        text = f"{well} of {len(names)} slice{'s' * (len(names) != 1)} {'is' if well == 1 else 'are'} finished"
        text += f", {parted} {'is' if parted == 1 else 'are'} incomplete" if parted else ""
        text += f", {lost} failed. " if lost else ". "
    if "n_spots" in whole and len(whole):
        text += f"Together they have {grouped(whole['n_spots'].sum())} spots. " if len(whole) > 1 else ""
    for key, name in (("domains.ari", "adjusted Rand index"), ("proportions.rmse", "root mean square error")):
        if key in whole and whole[key].notna().any():
            values = whole[key].dropna()
            over = f", the median over {len(values)} slices" if len(values) > 1 else ""
            text += f"The {name} against what is known is {values.median():.3f}{over}. "
    return text.strip()


def _shares(
    composition: pd.DataFrame,
    kind: str,
    colour_of: Mapping[str, str],
    facts: Mapping[str, Row],
    done: list[str],
    tables: dict[str, list[list[Any]]],
    among: str = "",
) -> list[tuple[str, Any]]:
    """Draw the shares of each slice, and their means over the slices that share a value of the metadata."""
    names = list(colour_of)
    part = composition[composition["kind"] == kind]
    if not len(part):
        return []
    table = part.assign(name=part["name"].astype(str)).pivot(index="sample", columns="name", values="share")
    table = table.reindex(index=[name for name in done if name in table.index], columns=names)
    views = {"slice": table}
    for key in dict.fromkeys(key for name in done for key in facts.get(name, ())):
        values = pd.Series([str(facts[name].get(key, "")) for name in table.index], index=table.index)
        if 1 < values.nunique() < len(values):
            means = table.fillna(0).groupby(values, sort=True).mean()
            views["sheet.slice" if key == "slice" else key] = means.rename(
                index={name: f"{name} (n={(values == name).sum()})" for name in means.index}
            )
    drawn = []
    for key, view in views.items():
        said = f"{key}, {among}" if among else key
        rows = [str(name) for name in view.index]
        shown, colours = names, list(colour_of.values())
        if kind == "domain" and key != "slice":
            view, shown, colours = _own_joined(view, colours)
        tables[f"{kind}s_{said}"] = [[key, *shown]] + [
            [row, *(None if np.isnan(value) else round(value, 6) for value in values)]
            for row, values in zip(rows, view.to_numpy(float).tolist(), strict=True)
        ]
        if kind == "domain":
            figure = _figures.stacked(
                view.to_numpy(float), rows, [f"domain {n}" for n in shown], colours, f"Domains by {key}"
            )
        else:
            # the longer list goes down the page
            shares, down, across = (view.to_numpy(float), rows, names)
            if len(across) > len(down):
                shares, down, across = shares.T, across, down
            numbered = len(down) <= NUMBERED
            label = f"Mean proportion of each cell type by {said}"
            figure = _figures.heat(shares, down, across, label, numbers=numbered)
        drawn.append((said, figure))
    return drawn


def _type_shares(
    sheet: Sequence[Row],
    composition: pd.DataFrame,
    facts: Mapping[str, Row],
    done: list[str],
    tables: dict[str, list[list[Any]]],
) -> list[tuple[str, Any]]:
    """Draw cell types by slice and by metadata, apart for slices whose references have other types."""
    reference = {row["sample"]: PurePath(str(row.get("reference") or "")).name for row in sheet}
    of_types: dict[tuple[str, ...], list[str]] = {}
    for sample in done:
        if known := _names(composition[composition["sample"] == sample], "cell_type"):
            of_types.setdefault(tuple(sorted(known)), []).append(sample)
    drawn = []
    for types, samples in of_types.items():
        among = ", ".join(dict.fromkeys(reference[sample] for sample in samples)) if len(of_types) > 1 else ""
        some = composition[composition["sample"].isin(samples)]
        drawn += _shares(some, "cell_type", dict.fromkeys(types, ""), facts, samples, tables, among)
    return drawn


def _own_joined(view: pd.DataFrame, colours: list[str]) -> tuple[pd.DataFrame, list[str], list[str]]:
    """Take domains that are like none of another slice as one: their numbers mean nothing beyond their slice."""
    kept = [(name, colour) for name, colour in zip(view, colours, strict=True) if ": " not in name]
    joined = view[[name for name, _ in kept]]
    if len(kept) < view.shape[1]:
        joined = joined.assign(own=view.drop(columns=joined.columns).sum(axis=1))
    return joined, list(joined), [*(colour for _, colour in kept), "var(--line)"][: joined.shape[1]]


def _groups(mixing: pd.DataFrame, tables: dict[str, list[list[Any]]]) -> dict[str, Any] | None:
    if not len(mixing):
        return None
    rows = mixing.astype(object).to_numpy().tolist()
    tables["mixing"] = [list(mixing), *rows]
    unlike = mixing.loc[mixing["unlike"] != "", ["group", "unlike"]].itertuples(index=False)
    return {"columns": list(mixing), "rows": rows, "unlike": [tuple(pair) for pair in unlike]}


def _matching_note(matched: pd.DataFrame, groups: list[str]) -> str:
    """Say what equal numbers in two slices mean."""
    n_slices, n_sets = matched["sample"].nunique(), matched["matched"].nunique()
    if n_slices < 2:
        return ""
    if groups:
        text = (
            f"Slices of group {', '.join(groups)} were learned together: a domain has one number and one colour in all "
            f"slices of {'its' if len(groups) > 1 else 'the'} group. "
        )
        if len(groups) == 1 and (matched["matched"] == matched["domain"].astype(int)).fillna(False).all():
            return text
        text += "Others were learned alone; "
    else:
        text = "Slices were learned alone"
        if not n_sets:
            return (
                text + ", and no domain of one expresses what a domain of another does: numbers and colours are each "
                "slice’s own, told below its map, and equal numbers in two slices are not the same tissue."
            )
        text += "; "
    text += (
        f"domains {'of different groups or of slices alone ' if groups else ''}whose genes differ from the rest of "
        f"their slices alike (correlation {cohort.LEAST_SCORE:g} or more) were {'then ' if not groups else ''}"
        "matched and have one number and one colour in all slices of this page. "
    )
    if matched["matched"].isna().any():
        text += (
            "A domain that is like none of another slice keeps its own number, told below its map, and a colour of its "
            "own. "
        )
    return text + "In a slice’s own report domains keep their own numbers and colours."


def _matched(matched: pd.DataFrame, done: list[str], tables: dict[str, list[list[Any]]]) -> dict[str, Any]:
    """Lay out which domain of each slice is which of the cohort."""
    tables["matched_domains"] = [
        list(matched),
        *([None if pd.isna(value) else value for value in row] for row in matched.to_numpy(object).tolist()),
    ]
    numbers = [str(number) for number in range(1, int(matched["matched"].max()) + 1)]
    rows = []
    for sample in done:
        part = matched[matched["sample"] == sample]
        said = {row.domain: f"{row.domain} ({row.score:.2f})".replace(" (nan)", "") for row in part.itertuples()}
        cells = {str(row.matched): said[row.domain] for row in part.itertuples() if pd.notna(row.matched)}
        own = ", ".join(said[domain] for domain in part.loc[part["matched"].isna(), "domain"])
        rows.append((sample, [cells.get(number, "–") for number in numbers], own or "–"))
    return {"columns": list(zip(numbers, domain_colours(numbers), strict=True)), "rows": rows}


def _agreement(metrics: pd.DataFrame, tables: dict[str, list[list[Any]]]) -> list[tuple[str, Any]]:
    """Draw each score of the slices that have it, when several have."""
    drawn = []
    for key, (title, form) in MEASURES.items():
        if "." not in key or key not in metrics or metrics[key].notna().sum() < 2:
            continue
        known = metrics.loc[metrics[key].notna(), ["sample", key]]
        samples, values = list(known["sample"]), known[key].to_numpy(float)
        tables[f"agreement_{title}"] = [["sample", title], *map(list, zip(samples, values.tolist(), strict=True))]
        ends = [form.format(value) for value in values]
        bars = np.maximum(values, 0)[:, None]
        longest = None if title == "RMSE" else 1.0
        figure = _figures.stacked(
            bars, samples, [title], [ACCENT], f"{title} by slice", form=form, ends=ends, longest=longest
        )
        drawn.append((title, figure))
    return drawn


def _as_said(table: pd.DataFrame | None, columns: Sequence[str]) -> pd.DataFrame:
    """Give a table with its names as text; an empty one for none."""
    if table is None:
        return pd.DataFrame(columns=columns)
    return table.assign(**{key: table[key].fillna("").astype(str) for key in NAMES & set(table)})


def _differences(name: str, found: pd.DataFrame, tables: dict[str, list[list[Any]]]) -> dict[str, Any] | None:
    """Show the first rows: the smallest p and, of genes without one, the largest changes."""
    if not len(found):
        return None
    if "gene" in found:  # stands domain by domain
        size = -found["log2_fold_change"].abs()
        found = found.assign(size=size).sort_values(["p", "size"], kind="stable").drop(columns="size")
    first = found.head(MOST_SAVED)
    rows = first.astype(object).where(first.notna(), None).to_numpy().tolist()
    tables[name] = [list(found), *rows]
    few = found[(found[["n", "n_reference"]].astype(int) < FEWEST).any(axis=1)]
    if not len(few):
        warning = ""
    elif len(few) == len(found):
        warning = f"Fewer than {FEWEST} donors or slices stand on a side: nothing here can be told from chance."
    else:
        sides = dict.fromkeys(f"{row.level} against {row.reference_level}" for row in few.itertuples())
        warning = f"Fewer than {FEWEST} donors or slices stand on a side of {', '.join(sides)}: too few to tell chance."
    return {"columns": list(found), "rows": rows[:MOST_DIFFERENCES], "n": len(found), "warning": warning}


def _effects(
    sheet: Sequence[Row],
    composition: pd.DataFrame,
    matched: pd.DataFrame,
    found: pd.DataFrame,
    tables: dict[str, list[list[Any]]],
) -> list[tuple[str, Any]]:
    """Draw how shares differ between two levels: effect, interval and donors, the smallest p first."""
    if not len(found):
        return []
    values = cohort.donor_values(sheet, composition.astype({"sample": str}), matched)
    drawn = []
    comparisons = found.groupby(["column", "level", "reference_level"], sort=False)
    for (column, level, reference), part in list(comparisons)[:MOST_COMPARISONS]:
        part = part.head(MOST_EFFECTS)
        names = [f"domain {row.name_}" if row.kind == "domain" else row.name_ for row in _rows(part)]
        points, saved = [], []
        for row in _rows(part):
            of = values[(values["kind"] == row.kind) & (values["name"] == row.name_) & (values["column"] == column)]
            sides = [of[of["level"].astype(str) == str(one)] for one in (level, reference)]
            middle = sides[1]["value"].mean()
            points.append(tuple((side["value"] - middle).tolist() for side in sides))
            saved += [
                [row.kind, row.name_, str(one.level), str(one.donor), round(one.value - middle, 6)]
                for side in sides
                for one in side.itertuples()
            ]
        key = f"{column}: {level} against {reference}"
        tables[f"effects_{key}"] = [["kind", "name", "level", "donor", "log_ratio_from_reference"], *saved]
        figures = [(row.effect, row.low, row.high) for row in _rows(part)]
        title = "difference of the centred log-ratio, base e"
        drawn.append((key, _figures.effects(names, figures, points, title, f"Differences of shares, {key}")))
    return drawn


def _rows(part: pd.DataFrame) -> list[Any]:
    return list(part.rename(columns={"name": "name_"}).itertuples(index=False))


def _neighbours(
    found: pd.DataFrame, tables: dict[str, list[list[Any]]]
) -> list[tuple[str, str, list[tuple[str, Any]]]]:
    """Draw what lies beside what, over all slices and for each level of the sheet's columns."""
    kinds = []
    for kind, caption in _NEIGHBOURS.items():
        drawn = []
        for (column, level), part in found[found["kind"] == kind].groupby(["column", "level"], sort=False):
            key = f"{column} {level}" if column else "all slices"
            tables[f"{kind}_{key}"] = [list(part), *part.astype(object).where(part.notna(), None).to_numpy().tolist()]
            if kind == "cell_type_in_domain":
                table = part.pivot(index="name", columns="neighbour", values="log2_ratio")
                table = table[sorted(table, key=natural)]
                laid = table.to_numpy(float), list(table.index), list(table)
            else:
                laid = _figures.symmetric(part)
            drawn.append((key, _figures.ratios(*laid, f"{caption}: {key}")))
        if drawn:
            kinds.append((kind, caption, drawn))
    return kinds


def _markers(found: pd.DataFrame, tables: dict[str, list[list[Any]]]) -> list[tuple[str, str, list[tuple[str, str]]]]:
    """Give the first markers of each domain that slices share, and in how many of them they are."""
    if not len(found):
        return []
    tables["markers"] = [list(found), *found.to_numpy(object).tolist()]
    names = list(dict.fromkeys(found["domain"]))
    colours = dict(zip(names, domain_colours(names), strict=True))
    return [
        (name, colours[name], [(row.gene, f"{row.n_marker} of {row.n_slices}") for row in part.head(12).itertuples()])
        for name, part in found.groupby("domain", sort=False)
    ]


def _steps(metrics: pd.DataFrame, tables: dict[str, list[list[Any]]]) -> list[list[str]]:
    """Say of each step how long it takes and what memory, in the middle and at most."""
    rows, every = [], []
    for name in (name.removeprefix("seconds.") for name in metrics if name.startswith("seconds.")):
        of = metrics.reindex(columns=["sample", f"seconds.{name}", f"peak_rss_mb.{name}"])
        of.columns = pd.Index(["sample", "time", "memory"])
        every += [[sample, name, time, memory] for sample, time, memory in of.dropna().itertuples(index=False)]
        row = [name, duration(of["time"].median()), *_most(of, "time", duration)]
        rows.append([*row, *_most(of, "memory", lambda megabytes: f"{megabytes / 1024:.1f} GB")])
    tables["steps"] = [["sample", "step", "seconds", "peak_rss_mb"], *every]
    return rows


def _most(of: pd.DataFrame, column: str, said: Callable[[float], str]) -> list[str]:
    if of[column].isna().all():
        return ["–", ""]
    at = of[column].idxmax()
    return [said(float(of.loc[at, column])), str(of.loc[at, "sample"])]


def _times(metrics: pd.DataFrame, tables: dict[str, list[list[Any]]]) -> Any:
    names = [name for name in metrics if name.startswith("seconds.")]
    if not names:
        return ""
    values = metrics[names].to_numpy(float)
    steps = [name.removeprefix("seconds.") for name in names]
    samples = list(metrics["sample"])
    tables["times"] = [["sample", *steps]] + [
        [sample, *(None if np.isnan(value) else value for value in row)]
        for sample, row in zip(samples, values.tolist(), strict=True)
    ]
    ends = [duration(total) for total in np.nansum(values, axis=1)]
    colours = palette(len(steps))
    label = "Seconds of each step by slice"
    figure = _figures.stacked(values, samples, steps, colours, label, form="{:.1f} s", ends=ends)
    return figure, list(zip(steps, colours, strict=True))
