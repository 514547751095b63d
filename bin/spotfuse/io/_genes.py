"""What genes are called: by symbol or id, and with the genome's name before it."""

import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from anndata import AnnData

from spotfuse._core import naming
from spotfuse._core.errors import InputError
from spotfuse._core.notes import Notes, listed

# columns of var by the letters of their names in lower case, likeliest first
SYMBOLS = (
    *("featurename", "genesymbols", "genesymbol", "genenames", "genename", "symbol", "symbols", "geneshortname"),
    *("features", "feature", "hgncsymbol", "mgisymbol", "externalgenename", "hgnc", "gene", "genes", "name", "names"),
)
IDS = ("geneids", "geneid", "ensemblid", "ensemblids", "ensemblgeneid", "ensembl", "featureid", "featureids", "id")
_ENSEMBL = re.compile(r"ENS[A-Z]*G\d{6,}")
# symbol and id in one name, as files of several sources have it: NPY|ENSG00000122585, ENSG00000122585.4_NPY
_BOTH = re.compile(r"(?P<symbol>[^|:;,\s]+?)[|_:;, ]+(?P<id>ENS[A-Z]*G\d{6,}(\.\d+)?)")
_BOTH_TURNED = re.compile(r"(?P<id>ENS[A-Z]*G\d{6,}(\.\d+)?)[|_:;, ]+(?P<symbol>[^|:;,\s]+)")
_GENOME = re.compile(r"(GRC[hmz]\d+|hg\d+|mm\d+|Rnor\d+|mRatBN7|rn\d+|BDGP6|(?i:human|mouse|rat)(?=_))[-_.]+")
_SPECIES = {"human": ("grch", "hg", "human"), "mouse": ("grcm", "mm", "mouse"), "rat": ("rnor", "mratbn", "rn", "rat")}
_NUMBER = re.compile(r"\d+(\.0+)?")
_NO_SYMBOL = naming.NO_LABEL | {"-", ".", "unknown"}
_LARGEST_ROW = 100_000  # numbers of rows are below it, of Entrez's ids many are not


def gene_columns(var: pd.DataFrame, known: Iterable[str]) -> list[str]:
    """Give the columns that are called like genes' symbols or ids.

    Parameters
    ----------
    var
        A row a gene.
    known
        `SYMBOLS`, `IDS` or both.

    Returns
    -------
    Names of columns, in the order of `known`.
    """
    letters = {re.sub(r"[^a-z]", "", str(column).lower()): column for column in reversed(list(var))}
    return [letters[name] for name in known if name in letters]


def known_symbols(names: Iterable[object]) -> pd.Index:
    """Give names as text, and none for what only stands for a missing one, such as ``nan`` or ``nan-1``.

    Parameters
    ----------
    names
        Of genes.

    Returns
    -------
    Index of text; empty where there is no name.
    """
    plain = naming.plain(names)
    return pd.Index(["" if _is_none(name) else name for name in plain], dtype=object)


def are_row_numbers(names: pd.Index) -> bool:
    """Tell whether names are those of rows, 0, 1, 2 …, which say nothing of the genes.

    Parameters
    ----------
    names
        Text.

    Returns
    -------
    bool
    """
    numbers = [float(name) for name in names if _NUMBER.fullmatch(name)]
    return len(numbers) > len(names) / 2 and max(numbers) < _LARGEST_ROW


def genomes(names: Iterable[str]) -> tuple[npt.NDArray[np.object_], npt.NDArray[np.object_]]:
    """Take apart names that begin with the genome's, such as ``GRCh38_ACTB`` and ``mm10___Actb``.

    Parameters
    ----------
    names
        Of genes.

    Returns
    -------
    genome
        Empty where none is named.
    bare
        What is left of the names.
    """
    found = [(match, name) for name in names for match in [_GENOME.match(name)]]
    genome = np.array([match.group(1) if match else "" for match, _ in found], dtype=object)
    return genome, np.array([name[match.end() :] if match else name for match, name in found], dtype=object)


def species_of(genome: str) -> str:
    """Give what a genome is of, so that ``hg19`` and ``GRCh38`` are one.

    Parameters
    ----------
    genome
        Its name.

    Returns
    -------
    Name of the species; the genome's where that is not known.
    """
    return next((name for name, first in _SPECIES.items() if genome.lower().startswith(first)), genome)


def name_genes(
    path: Path, adata: AnnData, notes: Notes, *, symbol_column: str | None = None, of_slice: bool = True
) -> None:
    """Name genes by what tells most: by symbol where a slice has symbols and ids, and never by a number or by ``nan``.

    Parameters
    ----------
    path
        The file, for messages.
    adata
        Its genes are renamed in place.
    notes
        Grows by what was done.
    symbol_column
        The column of `var` with the symbols, where the names of columns do not tell.
    of_slice
        A slice's names become unique and lose the name of the only genome; a reference's genes are matched by symbol or
        id, whichever fits (`spotfuse.proportions.match_genes`), and keep the names they have.

    Raises
    ------
    InputError
        When there is no such column.
    """
    var = adata.var
    names = pd.Index(naming.plain(adata.var_names), dtype=object)
    changed = np.flatnonzero(names != adata.var_names.astype(str))
    if len(changed):
        notes.append(
            f"{len(changed)} genes renamed, without blanks at the ends of names and control characters: "
            f"{adata.var_names[changed[0]]!r:.99} is '{names[changed[0]]:.99}'"
        )
    if symbol_column is not None and symbol_column not in var:
        raise InputError(
            f"{path}: no column '{symbol_column}' in var for the genes' symbols; there "
            + (f"are {listed(var)}" if len(var.columns) else "is none")
        )
    names = _symbol_and_id(var, names, notes)
    numbers, bare = are_row_numbers(names), genomes(names)[1]
    coded = numbers or np.mean([bool(_ENSEMBL.match(name) or _NUMBER.fullmatch(name)) for name in bare]) > 0.5
    column = symbol_column
    if column is None and (numbers or (coded and of_slice)):
        named = gene_columns(var, SYMBOLS)
        column = next((each for each in named if _tells(var[each])), None)
        if column is None and numbers:
            column = next((each for each in [*gene_columns(var, IDS), *named] if _tells(var[each], ids=True)), None)
    if column is not None:
        symbols = known_symbols(var[column])
        note = f"genes named by var['{column}']"
        if coded and not numbers:
            var["gene_ids"] = names
            note += "; their ids are kept in var['gene_ids']"
        if n_without := int((symbols == "").sum()):
            note += f", which {n_without} without a symbol keep as their names"
        names = names.where(symbols == "", symbols)
        notes.append(note)
    elif numbers:
        notes.append(
            "genes are named by numbers alone (0, 1, 2 …), by which no reference can be matched; if a column of var "
            f"has their symbols, name it as symbol_column ({listed(var) or 'there is none'})"
        )
    names = _without_none(var, names, notes)
    names = _of_genomes(var, names, notes, of_slice)
    if of_slice and (repeated := int(names.duplicated().sum())):
        notes.append(f"{repeated} gene names occurred before; -1, -2 … appended")
    adata.var_names = names
    if of_slice:
        adata.var_names_make_unique()


def _symbol_and_id(var: pd.DataFrame, names: pd.Index, notes: Notes) -> pd.Index:
    """Name genes by symbol where most names hold the id as well, which goes to a column of its own."""
    found = [_BOTH.fullmatch(name) or _BOTH_TURNED.fullmatch(name) for name in names]
    symbols = [match["symbol"] for match in found if match]
    if 2 * len(set(symbols)) <= len(names) or not symbols:  # one symbol for all is a genome's name
        return names
    if not gene_columns(var, IDS):
        var["gene_ids"] = [match["id"] if match else name for match, name in zip(found, names, strict=True)]
    first = next(name for name, match in zip(names, found, strict=True) if match)
    notes.append(f"genes' names hold symbol and id ('{first:.99}'); they are named by symbol")
    return pd.Index(
        [match["symbol"] if match else name for match, name in zip(found, names, strict=True)], dtype=object
    )


def _without_none(var: pd.DataFrame, names: pd.Index, notes: Notes) -> pd.Index:
    """Name genes by id where ``nan``, with a number perhaps, stands for a symbol that is missing."""
    missing = known_symbols(names) == ""
    for column in gene_columns(var, IDS) if missing.any() else []:
        ids = known_symbols(var[column])
        filled = missing & (ids != "")
        if filled.any():
            names = names.where(~filled, ids)
            notes.append(f"{filled.sum()} genes without a symbol are named by var['{column}']")
            missing &= ~filled
    empty = names == ""
    if empty.any():
        names = names.where(~empty, "unnamed")
        notes.append(f"{empty.sum()} genes have no name and are called unnamed")
    return names


def _of_genomes(var: pd.DataFrame, names: pd.Index, notes: Notes, of_slice: bool) -> pd.Index:
    """Drop the only genome's name before genes' names; of several, tell apart genes that have one name in two."""
    genome, bare = genomes(names)
    found = sorted(set(genome) - {""})
    if len(found) == 1 and of_slice:
        notes.append(f"genes' names without the genome's, {found[0]}, that stood before them")
        return pd.Index(bare, dtype=object)
    if len(found) > 1 and "genome" not in var:
        notes.append(f"genes of {len(found)} genomes ({', '.join(found)}) are kept together")
    if not found and "genome" in var and var["genome"].nunique() > 1:
        twice = names.duplicated(keep=False)
        return names.where(~twice, var["genome"].astype(str).to_numpy(dtype=object) + "_" + names)
    return names


def _is_none(name: str) -> bool:
    return re.sub(r"-\d+$", "", name).lower() in _NO_SYMBOL


def _tells(values: pd.Series, *, ids: bool = False) -> bool:
    """Tell whether most of a column are symbols, or ids where these do too."""
    some = [name for name in known_symbols(values) if name]
    telling = [name for name in some if not _NUMBER.fullmatch(name) and (ids or not _ENSEMBL.match(name))]
    return 2 * len(telling) > len(some) and 2 * len(set(telling)) > len(telling)
