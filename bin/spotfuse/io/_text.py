"""Counts and coordinates in text tables: plain ones, and those of Slide-seq, Curio, Stereo-seq, MERSCOPE and CosMx.

Layouts: the tables published with Stickels et al. 2021 (Nat Biotechnol 39:313; Slide-seq), STOmics' SAW documentation
(.gem), Vizgen's and NanoString's documentation of their instruments' output.
"""

import csv
import gzip
import io
import re
from pathlib import Path
from typing import IO

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from spotfuse._core import naming
from spotfuse._core.errors import InputError
from spotfuse._core.naming import text_index
from spotfuse._core.notes import Notes
from spotfuse.io import _anndata, _tables
from spotfuse.io._common import Choice, beside, reading
from spotfuse.io._coordinates import attach_positions, coordinate_columns, coordinates_from, with_header

_LONGEST = 2**25  # characters of a line; a small .gz may unpack to anything
_GEM_BIN = 50  # DNBs, 25 µm
_GEM_COUNTS = ("MIDCount", "MIDCounts", "UMICount")
_GEM_GENES = ("geneID", "geneName", "gene")
_COORDINATE_FILES = re.compile(r"coord|position|location|spatial|centroid", re.IGNORECASE)
_TABLE = re.compile(r"\.(csv|tsv|txt)(\.gz)?$", re.IGNORECASE)
_SPOT = re.compile(
    r"[ACGTN]{8,}(-\d+)?|[Xx]?\d+(\.\d+)?([xX_]\d+(\.\d+)?)?|x\d+_?y\d+|(spot|cell|bead|bin)[-_. ]?\d+", re.ASCII
)
_GENE = re.compile(
    r"mt-\w+|ENS[A-Z]*G\d{6,}(\.\d+)?|actb|gapdh|malat1|b2m|eef1a1|tmsb4x|tubb|fth1|ubc|snap25", re.IGNORECASE
)


def read_table(path: Path, notes: Notes, spatial: bool = True, names: pd.Index | None = None) -> AnnData:
    """Read a table of counts, spots × genes or genes × spots, told apart by coordinates or names."""
    X, rows, columns = _read_matrix(path)
    positions = _positions_near(path) if spatial else None
    pair = coordinate_columns(pd.DataFrame(columns=columns)) if spatial else None
    known = _names_in(positions[1]) if positions is not None else names
    if pair is not None:
        turned = False
    elif known is not None:
        turned = bool(columns.isin(known).sum() > rows.isin(known).sum())
    else:
        as_is = _share(_SPOT, rows) + _share(_GENE, columns, some=True)
        as_turned = _share(_SPOT, columns) + _share(_GENE, rows, some=True)
        if as_is == as_turned:
            raise InputError(
                f"{path}: spots and genes cannot be told apart by their names ('{rows[0]}', '{columns[0]}'); put a "
                "table of spot, x and y beside it, with 'coordinates' in its name"
            )
        turned = as_turned > as_is
    if turned:
        X, rows, columns = sparse.csr_matrix(X.T), columns, rows
        notes.append("the table has genes in rows and spots in columns; turned")
    adata = AnnData(X, obs=pd.DataFrame(index=rows), var=pd.DataFrame(index=columns))
    if pair is not None:
        xy = pd.DataFrame(adata[:, list(pair)].X.toarray(), index=rows, columns=list(pair))
        coordinates_from(path, adata, xy, "the table's", notes)
        adata = adata[:, ~adata.var_names.isin(pair)].copy()
    elif positions is not None:
        attach_positions(positions[0], adata, positions[1], notes)
        notes.append(f"coordinates taken from {positions[0].name}")
    return adata


def coordinates_beside(path: Path, adata: AnnData, notes: Notes) -> None:
    """Fill in coordinates from a table beside the counts, when there is one."""
    found = _positions_near(path)
    if found is not None:
        attach_positions(found[0], adata, found[1], notes)
        notes.append(f"coordinates taken from {found[0].name}")


def read_gem(path: Path, notes: Notes) -> AnnData:
    """Read the expression table of Stereo-seq, which has a row for each gene at each DNB, in square bins."""
    genes: dict[str, int] = {}
    bins, columns, counts = [], [], []
    with reading(path, "a .gem table"), _open(path) as file:
        names = file.readline()
        while names.startswith("#"):
            names = file.readline()
        header = names.rstrip("\r\n").split("\t")
        gene = next((name for name in _GEM_GENES if name in header), None)
        count = next((name for name in _GEM_COUNTS if name in header), None)
        if gene is None or count is None or not {"x", "y"} <= set(header):
            raise InputError(f"{path}: not a .gem table; its columns must be geneID, x, y and MIDCount, split by tabs")
        for part in pd.read_csv(
            file,
            sep="\t",
            names=header,
            usecols=[gene, "x", "y", count],
            dtype={gene: str},
            na_filter=False,
            chunksize=2_000_000,
        ):
            codes, uniques = pd.factorize(part[gene])
            known = np.array([genes.setdefault(name, len(genes)) for name in uniques])
            place = (part["x"].to_numpy(np.int64) // _GEM_BIN << 32) + part["y"].to_numpy(np.int64) // _GEM_BIN
            bins.append(place)
            columns.append(known[codes])
            counts.append(part[count].to_numpy(np.float32))
    if not genes:
        raise InputError(f"{path}: the table has a header but no rows")
    places, row = np.unique(np.concatenate(bins), return_inverse=True)
    X = sparse.csr_matrix((np.concatenate(counts), (row, np.concatenate(columns))), shape=(len(places), len(genes)))
    x, y = places >> 32, places & 0xFFFFFFFF
    adata = AnnData(
        X,
        obs=pd.DataFrame(
            {"array_row": y, "array_col": x}, index=text_index(f"{i}_{j}" for i, j in zip(x, y, strict=True))
        ),
        var=pd.DataFrame(index=text_index(genes)),
    )
    adata.obsm["spatial"] = (np.column_stack([x, y]) + 0.5) * _GEM_BIN
    notes.append(f"DNBs added up in bins of {_GEM_BIN} × {_GEM_BIN}")
    return adata


def read_slide_seq(folder: Path, notes: Notes) -> AnnData:
    """Read a folder of Slide-seq: genes × beads, and where the beads lie."""
    counts, beads = _one(folder, "*MappedDGE*", "*digital_expression*"), _one(folder, "*[Bb]ead*ocation*")
    X, rows, columns = _read_matrix(counts)
    adata = AnnData(sparse.csr_matrix(X.T), obs=pd.DataFrame(index=columns), var=pd.DataFrame(index=rows))
    attach_positions(beads, adata, _tables.read_table(beads), notes)
    return adata


def read_curio(folder: Path, notes: Notes) -> AnnData:
    """Read a folder of Curio Seeker: its h5ad."""
    return _anndata.read(_one(folder, "*anndata.h5ad"), notes, Choice())


def read_merscope(folder: Path, notes: Notes) -> AnnData:
    """Read a folder of MERSCOPE: cells × genes, without blank probes."""
    X, rows, columns = _read_matrix(_one(folder, "*cell_by_gene*.csv*"))
    cells = _one(folder, "*cell_metadata*.csv*")
    adata = AnnData(X, obs=pd.DataFrame(index=rows), var=pd.DataFrame(index=columns))
    attach_positions(cells, adata, _tables.read_table(cells), notes)
    return _without_controls(adata, r"Blank", notes)


def read_cosmx(folder: Path, notes: Notes) -> AnnData:
    """Read a folder of CosMx: cells × genes, without background and control probes."""
    X, rows, columns = _read_matrix(_one(folder, "*exprMat_file.csv*"), ("fov", "cell_ID"))
    path = _one(folder, "*metadata_file.csv*")
    cells = _tables.read_table(path, index=("fov", "cell_ID"))
    adata = AnnData(X, obs=pd.DataFrame(index=rows), var=pd.DataFrame(index=columns))
    background = adata.obs_names.str.endswith("_0")
    attach_positions(path, adata := adata[~background].copy(), cells, notes)
    adata.obs["fov"] = adata.obs_names.str.rsplit("_", n=1).str[0].to_numpy()
    return _without_controls(adata, r"Neg(ative|Prb)|SystemControl|FalseCode", notes)


def _read_matrix(path: Path, index: tuple[str, ...] = ()) -> tuple[sparse.csr_matrix, pd.Index, pd.Index]:
    """Read a table of numbers with a header; rows are named by the first column, or by those of `index` joined by _."""
    slabs, names = [], []
    with reading(path, "a table of counts"), _open(path) as file:
        first, second = file.readline(_LONGEST).rstrip("\r\n"), file.readline(_LONGEST)
        if max(len(first), len(second)) >= _LONGEST:
            raise InputError(f"{path}: not a table of counts; it has a line without an end")
        separator = max("\t,;", key=first.count) if any(mark in first for mark in "\t,;") else None
        if separator is None or not second.strip():
            raise InputError(f"{path}: not a table of counts; it needs a header and rows, split by tabs or commas")
        header, fields = (
            [cell.strip() for cell in next(csv.reader([line], delimiter=separator, skipinitialspace=True))]
            for line in (first, second.rstrip("\r\n"))
        )
        if len(fields) == len(header) + 1:
            header = ["", *header]
        if len(set(header)) < len(header):
            repeated = next(name for i, name in enumerate(header) if name in header[:i])
            raise InputError(f"{path}: two columns are named '{repeated}'")
        keys = list(index) or [header[0]]
        if missing := [key for key in keys if key not in header]:
            raise InputError(f"{path}: no column '{missing[0]}'")
        body = io.StringIO(second)
        for source in (body, file):
            parts = pd.read_csv(
                source,
                sep=separator,
                names=header,
                dtype=dict.fromkeys(keys, str),
                na_filter=False,  # a name may be NA
                chunksize=max(1, 2**23 // len(header)),
                skipinitialspace=True,
            )
            for part in parts:
                names += list(part[keys].agg("_".join, axis=1) if len(keys) > 1 else part[keys[0]])
                values = part.drop(columns=[*keys, *({"cell", "cell_id"} & set(header) if index else ())])
                slabs.append(sparse.csr_matrix(_numbers(path, values, names)))
                columns = values.columns
    X = sparse.csr_matrix(sparse.vstack(slabs), dtype=np.float32)
    return X, text_index(names), text_index(columns)


def _numbers(path: Path, values: pd.DataFrame, names: list[str]) -> np.ndarray:
    for column in values:
        if not pd.api.types.is_numeric_dtype(values[column]):
            numbers = pd.to_numeric(values[column], errors="coerce")
            bad = (numbers.isna() & ~values[column].str.lower().isin(naming.NO_LABEL)).to_numpy()
            if bad.any():
                row = names[len(names) - len(values) + bad.argmax()]
                raise InputError(
                    f"{path}: row '{row}', column '{column}': '{values[column].iloc[bad.argmax()]}' is not a number; "
                    "leave out columns that are not genes, or x and y"
                )
            values = values.assign(**{column: numbers})
    return np.asarray(values, dtype=np.float32)


def find_counts(folder: Path) -> Path | None:
    """Find the one file of counts in a folder that has them beside coordinates."""
    found = sorted(
        path
        for path in folder.iterdir()
        if path.suffix in (".h5", ".h5ad") or (_TABLE.search(path.name) and not _COORDINATE_FILES.search(path.name))
    )
    return found[0] if len(found) == 1 else None


def _positions_near(path: Path) -> tuple[Path, pd.DataFrame] | None:
    for folder in beside(path):
        found = sorted(
            other
            for other in folder.iterdir()
            if other != path and _TABLE.search(other.name) and _COORDINATE_FILES.search(other.name)
        )
        same = [other for other in found if other.name.startswith(path.name.split(".")[0])]
        found = same or found
        if len(found) > 1:
            raise InputError(f"{folder}: several tables of coordinates, {found[0].name} and {found[1].name}; leave one")
        if found:
            return found[0], with_header(_tables.read_table(found[0]))
    return None


def _names_in(positions: pd.DataFrame) -> pd.Index:
    """Give whatever in a table of positions may be a spot's name."""
    text = [positions[column] for column in positions if pd.to_numeric(positions[column], errors="coerce").isna().any()]
    return pd.Index(np.concatenate([positions.index, *text]))


def _without_controls(adata: AnnData, pattern: str, notes: Notes) -> AnnData:
    control = adata.var_names.str.match(pattern)
    if not control.any():
        return adata
    notes.append(f"{control.sum()} control probes left out")
    return adata[:, ~control].copy()


def _one(folder: Path, *patterns: str) -> Path:
    for pattern in patterns:
        found = sorted(folder.glob(pattern))
        if len(found) > 1:
            raise InputError(f"{folder}: several files {pattern}, {found[0].name} and {found[1].name}; leave one")
        if found:
            return found[0]
    raise InputError(f"{folder}: no file {patterns[0]}")


def _share(pattern: re.Pattern[str], names: pd.Index, some: bool = False) -> float:
    matching = np.array([bool(pattern.fullmatch(name)) for name in names[:20_000]])
    return float(matching.any()) if some else float(matching.mean())


def _open(path: Path) -> IO[str]:
    return gzip.open(path, "rt", encoding="utf-8-sig") if path.suffix == ".gz" else path.open(encoding="utf-8-sig")
