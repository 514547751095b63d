"""What the readers of all formats share."""

import difflib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from spotfuse._core import guard, naming
from spotfuse._core.errors import InputError, MachineError, of_machine
from spotfuse._core.notes import Notes

_MOST_MEMORY = 2**44  # bytes, of any machine


@dataclass(frozen=True)
class Choice:
    """Which of what the files hold is the slice, where they hold more than one; `spotfuse.io.read_slice` tells each."""

    platform: str = "auto"
    hd_bin_size: int = 8
    section: str | None = None
    layer: str | None = None
    spatial_key: str | None = None
    symbol_column: str | None = None


_LONGEST_NAME = 1000  # characters: arrays of names take as much for each as for the longest


@contextmanager
def reading(path: Path, kind: str) -> Iterator[None]:
    """Turn what libraries raise at broken files into one line."""
    guard.check_regular(path)
    try:
        yield
    except (InputError, MemoryError):
        raise
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file") from None
    except PermissionError:
        raise MachineError(f"{path}: may not be read; change its permissions") from None
    except Exception as error:  # there is nothing that some library does not raise at damaged files
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        if of_machine(error):
            raise MachineError(f"{path}: cannot be read here and now ({reason})") from error
        raise InputError(f"{path}: cannot be read as {kind}; is it complete? ({reason})") from error


def check_size(path: Path, what: str, n_bytes: float) -> None:
    """Refuse, before anything is allocated, what this machine could never hold."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if n_bytes > memory:
        # a larger machine may hold it, unless none could: then the file is damaged, or made to do harm
        kind = MachineError if n_bytes < _MOST_MEMORY else InputError
        raise kind(
            f"{path}: {what} would take {n_bytes / 1e9:.0f} GB, this machine has {memory / 1e9:.0f} GB; "
            "store counts sparse, or use a larger machine"
        )


def check_sizes(path: Path, node: Any) -> None:
    """Refuse a part of HDF5 or zarr that says to be larger than memory: a compressed nothing takes no room on disk."""
    if hasattr(node, "keys"):
        for key in node.keys():  # a zarr group
            check_sizes(path, node[key])
    elif node.shape is not None:
        check_size(path, str(node.name).strip("/"), node.size * node.dtype.itemsize)


def read_parquet(path: Path) -> pd.DataFrame:
    """Read a Parquet table, when a package that can is installed."""
    if not has_parquet():
        raise MachineError(
            f"{path}: reading Parquet needs fastparquet or pyarrow; install one (pip install fastparquet)"
        )
    if path.is_dir():  # its parts may say that their columns lie anywhere
        raise InputError(f"{path}: a folder where a Parquet file is expected")
    with reading(path, "Parquet"):
        return pd.read_parquet(path)


def has_parquet() -> bool:
    """Tell whether something that reads Parquet is installed."""
    return any(find_spec(name) is not None for name in ("pyarrow", "fastparquet"))


def beside(path: Path) -> list[Path]:
    """Give the folders where what belongs to a matrix may lie: its own, the one around it, and a link's target's."""
    folders = [path] if path.is_dir() else []
    return list(dict.fromkeys([*folders, path.parent, path.resolve().parent]))


def name_spots(path: Path, adata: AnnData, notes: Notes) -> None:
    """Call spots as all tables can hold it; refuse names that are empty, too long, or then meet."""
    plain = pd.Index(naming.plain(adata.obs_names), dtype=object)
    empty = np.flatnonzero(plain == "")
    if len(empty):
        raise InputError(f"{path}: {len(empty)} of {len(plain)} spots have no name, the first in row {empty[0] + 1}")
    longest = max(plain, key=len, default="")
    if len(longest) > _LONGEST_NAME:
        raise InputError(
            f"{path}: a spot's name has {len(longest)} characters ({longest[:30]} …); {_LONGEST_NAME} at most"
        )
    changed = np.flatnonzero(plain != adata.obs_names)
    if not len(changed):
        return
    met = plain.duplicated() & ~adata.obs_names.duplicated()
    if met.any():
        twins = adata.obs_names[plain == plain[met][0]].unique()
        raise InputError(
            f"{path}: spots {twins[0]!r} and {twins[1]!r} have one name without blanks at its ends and control "
            "characters; rename one"
        )
    notes.append(
        f"{len(changed)} spots renamed, without blanks at the ends of names and control characters: "
        f"{adata.obs_names[changed[0]]!r} is '{plain[changed[0]]}'"
    )
    adata.obs_names = plain


def nearest(name: str, names: Iterable[Any]) -> str:
    """Say which of the names that there are was probably meant.

    Parameters
    ----------
    name
        The name that is not there.
    names
        Those that are.

    Returns
    -------
    Words for the end of a message.
    """
    others = [str(other) for other in names]
    like = difflib.get_close_matches(name.lower(), [other.lower() for other in others], n=1, cutoff=0.5)
    if like:
        return "did you mean '" + next(other for other in others if other.lower() == like[0]) + "'?"
    return "there are " + (", ".join(others[:20]) if others else "none")
