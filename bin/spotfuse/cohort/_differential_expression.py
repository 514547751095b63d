"""Which genes of a domain differ between conditions, donor by donor."""

import os
import warnings
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from spotfuse._core.types import Floats
from spotfuse.cohort._design import Design, compared_columns, donors, ordered_levels, sheet_metadata
from spotfuse.cohort._settings import SETTINGS, Settings
from spotfuse.cohort._sheet import Row

DIFFERENTIAL_EXPRESSION = [
    *("domain", "gene", "column", "level", "reference_level", "n", "n_reference"),
    *("mean_count", "log2_fold_change", "low", "high", "p", "p_adjusted", "note"),
]


def differential_expression(
    sheet: Sequence[Row],
    counts: Mapping[str, pd.DataFrame],
    matched: pd.DataFrame,
    settings: Settings = SETTINGS,
) -> pd.DataFrame:
    """Compare the expression of each matched domain between the levels of the sheet's columns.

    Counts are summed over a domain's spots in all slices of a donor ("pseudobulk"), which makes donors, not spots,
    what is counted (Squair et al. 2021, Nat Commun 12:5692), and compared by DESeq2's model (Love et al. 2014, Genome
    Biol 15:550; PyDESeq2: Muzellec et al. 2023, Bioinformatics 39:btad547) with Wald's test. Where every donor stands
    on both sides, donors are terms of the model. With fewer than three donors on a side nothing is tested: fold
    changes stand alone.

    Parameters
    ----------
    sheet
        The sample sheet, a mapping a row; which columns are compared, and who a donor is, `spotfuse.cohort` says.
    counts
        Genes × domains of each slice, by sample, as `spotfuse.cohort.read_counts` gives them.
    matched
        From `spotfuse.cohort`: only domains that are the same in several slices are compared.
    settings
        Which genes are compared, and with how many donors.

    Returns
    -------
    DataFrame, domain by domain, smallest p first: ``domain`` (its matched number), ``gene``, ``column``, ``level``,
    ``reference_level``, ``n`` and ``n_reference`` (donors), ``mean_count`` (per donor, normalised),
    ``log2_fold_change`` with ``low`` and ``high`` (its 95 % interval), ``p``, ``p_adjusted`` (Benjamini & Hochberg,
    over the genes of a domain and level; empty where DESeq2 leaves a gene out as an outlier or as too low to tell),
    ``note``.
    """
    samples = sorted(counts)
    of = sheet_metadata(sheet, samples)
    columns = compared_columns(of)
    numbers = sorted(set(matched["matched"].dropna()))
    if not columns or not numbers:
        return pd.DataFrame(columns=DIFFERENTIAL_EXPRESSION)
    own = matched.dropna(subset=["matched"]).set_index(["matched", "sample"])["domain"].astype(str)
    frames = []
    for number in numbers:
        there = [name for name in samples if (number, name) in own.index]
        table = pd.DataFrame({name: counts[name][own[number, name]] for name in there}).T
        table = table.loc[:, table.notna().mean() >= settings.least_share].fillna(0)
        for column in columns:
            frames += [
                frame.assign(domain=str(number), column=column)
                for frame in _compared(table, of.loc[there], column, settings)
            ]
    if not frames:
        return pd.DataFrame(columns=DIFFERENTIAL_EXPRESSION)
    return pd.concat(frames, ignore_index=True)[DIFFERENTIAL_EXPRESSION]


def _compared(counts: pd.DataFrame, facts: pd.DataFrame, column: str, settings: Settings) -> list[pd.DataFrame]:
    """Compare slices × genes between each level of a column and the reference."""
    known = facts[column].notna()
    level, donor = facts.loc[known, column], donors(facts)[known]
    units = counts[known].groupby([level, donor]).sum()
    levels = ordered_levels(level)
    of_unit = units.index.get_level_values(0)
    frames = []
    for name in levels[1:]:
        both = units[(of_unit == name) | (of_unit == levels[0])]
        both = both[both.sum(axis=1) > 0]
        if set(both.index.get_level_values(0)) != {name, levels[0]}:
            continue
        design = Design.of(both.index, [levels[0], name])
        n, n_reference = design.n[name], design.n[levels[0]]
        both = both.loc[:, (both >= settings.least_count).sum() >= min(n, n_reference)]
        if not both.shape[1]:
            continue
        values = both.to_numpy()
        scale = _size_factors(values)
        if min(n, n_reference) < settings.fewest:
            found = _fold_changes(values / scale[:, None], both.index.get_level_values(0) == name)
        else:
            found = _tested(both, design.matrix)
        found = found.assign(gene=list(both.columns), level=name, reference_level=levels[0], n=n)
        found = found.assign(n_reference=n_reference, note=design.note(name, levels[0], settings.fewest))
        found["size"] = -found["log2_fold_change"].abs()
        frames.append(found.sort_values(["p", "size", "gene"], kind="stable"))
    return frames


def _size_factors(counts: npt.NDArray[np.int32]) -> Floats:
    """Give each unit's depth beside the others: the median ratio to the genes' means, over genes that it has."""
    means = counts.mean(axis=0)
    ratios = [np.median(row[row > 0] / means[row > 0]) for row in counts]
    return np.asarray(ratios / np.exp(np.mean(np.log(ratios))))


def _fold_changes(values: Floats, is_level: npt.NDArray[np.bool_]) -> pd.DataFrame:
    """Give fold changes of normalised counts, half a count added, and nothing of chance."""
    sides = np.log2(values[is_level].mean(axis=0) + 0.5), np.log2(values[~is_level].mean(axis=0) + 0.5)
    empty = dict.fromkeys(("low", "high", "p", "p_adjusted"), np.nan)
    return pd.DataFrame({"mean_count": values.mean(axis=0), "log2_fold_change": sides[0] - sides[1], **empty})


def _tested(units: pd.DataFrame, design: pd.DataFrame) -> pd.DataFrame:
    """Fit DESeq2's model to units × genes and test its first term."""
    os.environ.setdefault("TQDM_DISABLE", "1")
    from pydeseq2.dds import DeseqDataSet  # type: ignore[import-untyped]
    from pydeseq2.default_inference import DefaultInference  # type: ignore[import-untyped]
    from pydeseq2.ds import DeseqStats  # type: ignore[import-untyped]

    names = [str(i) for i in range(len(units))]
    contrast = np.eye(design.shape[1])[0]
    inference = DefaultInference(n_cpus=1)
    inference.lin_reg_mu = _linear_means  # its own, gene by gene, took a fifth of the time
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of genes whose dispersion does not converge: they keep the trend's
        data = DeseqDataSet(
            counts=units.set_axis(names),
            metadata=design.set_axis(names),
            design=design.set_axis(names),
            size_factors_fit_type="poscounts",  # some genes have no count in a small domain
            inference=inference,
            quiet=True,
        )
        data.deseq2()
        test = DeseqStats(data, contrast=contrast, inference=inference, quiet=True)
        test.summary()
    found = test.results_df.loc[list(units.columns)].reset_index(drop=True)
    half = 1.96 * found["lfcSE"]
    return pd.DataFrame(
        {
            "mean_count": found["baseMean"],
            "log2_fold_change": found["log2FoldChange"],
            "low": found["log2FoldChange"] - half,
            "high": found["log2FoldChange"] + half,
            "p": found["pvalue"],
            "p_adjusted": found["padj"],
        }
    )


def _linear_means(counts: Floats, size_factors: Floats, design_matrix: Floats, min_mu: float) -> Floats:
    """Fit units × genes by least squares, all genes at once; the arguments are PyDESeq2's."""
    size = size_factors[:, None]
    fitted = design_matrix @ np.linalg.lstsq(design_matrix, counts / size)[0]
    return np.maximum(size * fitted, min_mu)
