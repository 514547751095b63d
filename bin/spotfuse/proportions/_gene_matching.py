"""Genes of a slice and of a reference, matched by symbols or identifiers."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from spotfuse import io
from spotfuse._core.errors import InputError
from spotfuse.proportions._settings import SETTINGS


@dataclass(frozen=True)
class GeneMatch:
    """Which gene of a slice is which gene of a reference.

    Attributes
    ----------
    slice_index, reference_index
        Columns in either matrix, of shape (n_shared,), in the order of the slice's genes.
    how
        How names were compared, for people.
    """

    slice_index: npt.NDArray[np.intp]
    reference_index: npt.NDArray[np.intp]
    how: str


def match_genes(
    slice_var: pd.DataFrame, reference_var: pd.DataFrame, least_genes: int = SETTINGS.reference.least_genes
) -> GeneMatch:
    """Find the genes that a slice and a reference share.

    Names are compared as they are, then Ensembl ids without their version, then regardless of case where that is
    unambiguous; the first way that finds most of what any way finds is taken. Names also come from the columns of
    `var` that usually hold symbols or ids. Of genes of several genomes those of one are taken, or of each species that
    both have.

    Parameters
    ----------
    slice_var, reference_var
        A row a gene, indexed by name.
    least_genes
        That they must share; half of the genes where there are fewer than twice as many.

    Returns
    -------
    GeneMatch

    Raises
    ------
    InputError
        When so few genes are shared that proportions would mean nothing.
    """
    ours, theirs = _namings(slice_var, "slice"), _namings(reference_var, "reference")
    found: list[GeneMatch] = []
    for our in ours:
        for their in theirs:
            if our.by_species != their.by_species:
                continue
            for way, how in enumerate(
                ("as they are", "without version", "regardless of case")[: min(our.n_ways, their.n_ways)]
            ):
                left, right = _match(our.ways[way], their.ways[way])
                where = (
                    "" if our.label == their.label == "names" else f" (slice's {our.label}, reference's {their.label})"
                )
                found.append(GeneMatch(left, right, f"compared {how}{where}"))
    most = max(len(match.slice_index) for match in found)
    best = next(match for match in found if len(match.slice_index) >= 0.9 * most)
    n_shared, smaller = len(best.slice_index), min(len(slice_var), len(reference_var))
    if n_shared < min(least_genes, max(smaller // 2, 1)):
        raise InputError(
            f"the slice and the reference share {n_shared} genes: {len(slice_var)} in the slice "
            f"({', '.join(map(str, slice_var.index[:3]))} …), {len(reference_var)} in the reference "
            f"({', '.join(map(str, reference_var.index[:3]))} …); give a reference of the same species with names of "
            "the same kind"
        )
    return best


class _Naming:
    """One way to call a set of genes: its names as they are, without version and, where that is safe, without case."""

    def __init__(self, label: str, names: pd.Index, *, one_genome: bool = False, by_species: bool = False) -> None:
        self.label, self.by_species = label, by_species
        unversioned = names.str.replace(r"^(ENS[A-Z]*\d+)\.\d+$", r"\1", regex=True)
        self.ways = [names, unversioned, unversioned.str.upper()]
        # ACTB and Actb are one gene in two species: where both may be there, case tells
        self.n_ways = 2 if one_genome or by_species or _of_two_species(names) else 3


def _of_two_species(names: pd.Index) -> bool:
    """Tell whether symbols are written as those of humans are (ACTB), and many as those of mice (Actb)."""
    upper, title = names.str.fullmatch(r"[A-Z][A-Z0-9-]+"), names.str.fullmatch(r"[A-Z][a-z][a-z0-9-]*")
    return bool(min(upper.mean(), title.mean()) > 0.1)


def _namings(var: pd.DataFrame, side: str) -> list[_Naming]:
    """Give all that genes may be called by: names, symbols and ids, and these within one genome of several."""
    whole, of_genomes = [], []
    columns = io.gene_columns(var, (*io.IDS, *io.SYMBOLS))
    for label, given in (("names", var.index), *((f"column '{column}'", var[column]) for column in columns)):
        names = io.known_symbols(given)
        if io.are_row_numbers(names) or not names.str.len().any():
            continue
        whole.append(_Naming(label, names))
        genome, bare = io.genomes(names)
        if not genome.any() and "genome" in var and var["genome"].nunique() > 1:
            genome = var["genome"].astype(str).to_numpy(dtype=object)
        several = sorted(set(genome) - {""})
        if len(several) > 1:
            kinds = {each: io.species_of(each) for each in several}
            marked = [f"{kinds[each]}:{name}" if each else "" for each, name in zip(genome, bare, strict=True)]
            of_genomes.append(_Naming(f"{label} by species", pd.Index(marked, dtype=object), by_species=True))
        for each in several:
            within = pd.Index(np.where(genome == each, bare, ""), dtype=object)
            of_genomes.append(_Naming(f"{label} within {each}", within, one_genome=True))
    if not whole:
        raise InputError(
            f"the {side}'s genes are named by numbers alone ({', '.join(map(str, var.index[:3]))} …) and cannot be "
            "matched; give their symbols or ids, as names or in a column of var such as gene_symbols"
            + (", or say by symbol_column which it is" if side == "slice" else "")
        )
    return whole + of_genomes


def _match(ours: pd.Index, theirs: pd.Index) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Pair the names that occur once on either side."""
    left = pd.Series(np.arange(len(ours)), index=ours)[~ours.duplicated(keep=False) & (ours != "")]
    right = pd.Series(np.arange(len(theirs)), index=theirs)[~theirs.duplicated(keep=False) & (theirs != "")]
    shared = left.index.intersection(right.index, sort=False)
    return left[shared].to_numpy(dtype=np.intp), right[shared].to_numpy(dtype=np.intp)
