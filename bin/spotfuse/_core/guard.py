"""Doors for files that may come from strangers: what leads out of them, waits for ever or runs code is refused."""

import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from spotfuse._core.errors import InputError

if TYPE_CHECKING:
    import h5py
    from anndata import AnnData

_KINDS = {
    stat.S_ISFIFO: "a pipe",
    stat.S_ISSOCK: "a socket",
    stat.S_ISCHR: "a device",
    stat.S_ISBLK: "a device",
}
_HDF5_FILTERS = {1, 2, 3, 4, 5, 6, 32000}  # gzip, shuffle, fletcher32, szip, nbit, scaleoffset, lzf
_ZARR_CODECS = {
    *("blosc", "bz2", "gzip", "lz4", "lzma", "zlib", "zstd"),
    *("adler32", "crc32", "crc32c", "fletcher32"),
    *("bytes", "endian", "transpose", "sharding_indexed"),
    *("delta", "fixedscaleoffset", "packbits", "shuffle"),
    *("json2", "vlen-bytes", "vlen-utf8"),
}
_ZARR_METADATA = {".zarray", ".zmetadata", "zarr.json"}


def check_regular(path: Path) -> None:
    """Refuse pipes, sockets and devices, which make a reader wait for ever.

    Parameters
    ----------
    path
        What is about to be opened; whether it is there is left to whoever opens it.

    Raises
    ------
    InputError
        When it is neither a file nor a folder.
    """
    try:
        mode = path.stat().st_mode
    except OSError:
        return
    for is_kind, kind in _KINDS.items():
        if is_kind(mode):
            raise InputError(f"{path}: {kind}, not a regular file; save its content to a file and give that")


@contextmanager
def hdf5(path: Path) -> "Iterator[h5py.File]":
    """Open an HDF5 file all of whose data lie in itself.

    Parameters
    ----------
    path
        The file.

    Yields
    ------
    h5py.File
        Open for reading.

    Raises
    ------
    InputError
        When a part of it would be read from another file (external storage, external links, virtual datasets) or
        through a filter that HDF5 itself does not have.
    """
    import h5py

    check_regular(path)
    with h5py.File(path, "r") as file:
        _check_hdf5(path, file)
        yield file


def read_h5ad(path: Path, *, backed: bool = False) -> "AnnData":
    """Read an h5ad file as anndata does, once `hdf5` has nothing against it.

    Parameters
    ----------
    path
        The file.
    backed
        Leave the counts in the file, which stays open, and layers out.

    Returns
    -------
    AnnData
    """
    import anndata
    import h5py

    with hdf5(path):
        if not backed:
            return anndata.read_h5ad(path)
    file = h5py.File(path, "r")  # anndata's own backed mode reads layers, as large as the counts
    counts = file["X"] if isinstance(file["X"], h5py.Dataset) else anndata.io.sparse_dataset(file["X"])
    parts = [name for name in ("obs", "var", "obsm", "obsp", "uns") if name in file]
    return anndata.AnnData(counts, **{name: anndata.io.read_elem(file[name]) for name in parts})


def _check_hdf5(path: Path, file: "h5py.File") -> None:
    """Look at every object once, by no other links than those that stay in the file."""
    from h5py import h5d, h5g, h5l, h5o

    todo: list[tuple[str, Any]] = [("", h5o.open(file.id, b"/"))]
    seen = set()
    while todo:
        name, thing = todo.pop()
        address = h5o.get_info(thing).addr
        if address in seen:
            continue
        seen.add(address)
        todo += [(f"{name}, referred to", target) for target in _referred_to(thing)]
        if isinstance(thing, h5d.DatasetID):
            _check_dataset(path, name, thing)
        elif isinstance(thing, h5g.GroupID):
            for key in thing:
                inner = f"{name}/{key.decode(errors='replace')}"
                kind = thing.links.get_info(key).type
                if kind == h5l.TYPE_HARD:
                    todo.append((inner, h5o.open(thing, key)))
                elif kind != h5l.TYPE_SOFT:
                    raise _leads_out(path, inner, "a link to another file")


def _referred_to(thing: Any) -> list[Any]:
    """Open what the attributes of an object refer to: h5ad of anndata 0.7 keep categories where no link need lead."""
    import h5py
    from h5py import h5r, h5t

    attributes = h5py.AttributeManager(SimpleNamespace(id=thing))
    found = []
    for key in attributes:
        if attributes.get_id(key).get_type().detect_class(h5t.REFERENCE):
            references = np.asarray(attributes[key], dtype=object).ravel()
            found += [h5r.dereference(one, thing) for one in references if isinstance(one, h5r.Reference) and one]
    return found


def _check_dataset(path: Path, name: str, dataset: Any) -> None:
    from h5py import h5d

    plan = dataset.get_create_plist()
    if plan.get_layout() == h5d.VIRTUAL:
        raise _leads_out(path, name, "a virtual dataset")
    if plan.get_external_count():
        raise _leads_out(path, name, "external storage")
    for i in range(plan.get_nfilters()):
        number, _, _, called = plan.get_filter(i)
        if number not in _HDF5_FILTERS:
            raise InputError(
                f"{path}: {name} is packed by filter {number} ({called.decode(errors='replace') or 'without a name'}), "
                "which is not read; write it with gzip (h5repack -f GZIP=4)"
            )


def _leads_out(path: Path, name: str, how: str) -> InputError:
    return InputError(f"{path}: {name} lies in another file ({how}), which is not read; write all into one file")


def check_zarr(path: Path) -> None:
    """Look at every file of a zarr store, whether a reader would come to it or not.

    Parameters
    ----------
    path
        The store's folder.

    Raises
    ------
    InputError
        When a part of it lies elsewhere, or asks for a filter or codec that is not known to be harmless.
    """
    root = path.resolve()
    for place, folders, files in os.walk(root):
        for name in (*folders, *files):
            entry = Path(place, name)
            if entry.is_symlink() and not entry.resolve().is_relative_to(root):
                raise InputError(f"{path}: {entry.relative_to(root)} is a link that leads out of the store; not read")
        for name in files:
            entry = Path(place, name)
            check_regular(entry)
            if name in _ZARR_METADATA:
                _check_zarr_metadata(path, entry.relative_to(root), entry.read_bytes())


def _check_zarr_metadata(path: Path, name: Path, content: bytes) -> None:
    try:
        todo = [json.loads(content)]  # as zarr reads it, whatever the spelling
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: cannot be read as zarr; is it complete? ({name} is not JSON)") from error
    while todo:
        node = todo.pop()
        if not isinstance(node, dict):
            continue
        if node.get("storage_transformers"):
            raise InputError(f"{path}: {name} asks for storage transformers, which are not known; not read")
        asked = [node.get("compressor"), *_items(node.get("filters")), *_items(node.get("codecs"))]
        while asked:
            codec = asked.pop()
            if codec is None:
                continue
            plain = codec if isinstance(codec, dict) else {"name": codec}
            inner = plain.get("configuration")
            inner = inner if isinstance(inner, dict) else {}
            called = [holder[key] for holder in (plain, inner) for key in ("id", "name") if key in holder]
            for one in called or [None]:
                if not isinstance(one, str) or one.removeprefix("numcodecs.") not in _ZARR_CODECS:
                    raise InputError(
                        f"{path}: {name} asks for the codec '{str(one)[:40]}', which is not among those known to be "
                        "harmless; not read"
                    )
            asked += [*_items(inner.get("codecs")), *_items(inner.get("index_codecs"))]
        for holder in (node, node.get("consolidated_metadata")):  # versions 2 and 3
            if isinstance(holder, dict) and isinstance(holder.get("metadata"), dict):
                todo += holder["metadata"].values()


def _items(codecs: Any) -> list[Any]:
    return codecs if isinstance(codecs, list) else [codecs]
