"""What `spotfuse.pp` and `spotfuse.tl` share."""

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import pandas as pd
from anndata import AnnData
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from spotfuse._core import keys, progress, tables
from spotfuse._core.errors import InputError

log = logging.getLogger("spotfuse")


def begin(adata: AnnData, copy: bool) -> AnnData:
    """Give the slice to work on, the caller's or a copy of it; `InputError` for what is none."""
    if not isinstance(adata, AnnData):
        raise InputError(f"adata is a {type(adata).__name__}; give an AnnData")
    if adata.isbacked:
        raise InputError("adata is backed by its file; go on with adata.to_memory()")
    for axis, names in (("obs", adata.obs_names), ("var", adata.var_names)):
        if not names.is_unique:
            raise InputError(f"{axis}_names: '{names[names.duplicated()][0]}' stands twice; make names unique first")
    if copy:
        return adata.copy()
    if adata.is_view:  # what is written would else go to a copy that the caller does not see
        adata._init_as_actual(adata.copy())
    return adata


@contextmanager
def at_work() -> Iterator[None]:
    """Show how far the work is, and let libraries use one thread: sums by several differ from machine to machine."""
    with progress.shown(), threadpool_limits(1):
        yield


def write_obs(adata: AnnData, columns: dict[str, pd.Series], *, ours: bool) -> None:
    """Write columns of ``obs``; the slice's own that are called so become ``input_…``, unless they are ours.

    Parameters
    ----------
    adata
        The slice.
    columns
        Indexed by spot, in any order.
    ours
        Whether those that are there are from an earlier call.
    """
    if not ours:
        adata.obs = tables.make_room(adata.obs, columns)
    for name, values in columns.items():
        adata.obs[name] = values.reindex(adata.obs_names)


def tell(adata: AnnData, notes: Iterable[str]) -> None:
    """Log what was put right, and keep it where `spotfuse.read` keeps its own notes."""
    note = keys.note_of(adata)
    for line in notes:
        log.warning(line)
        if "notes" in note and line not in note["notes"]:
            note["notes"] = [*note["notes"], line]
