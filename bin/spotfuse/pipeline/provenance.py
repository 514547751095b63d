"""Where a slice's results come from: inputs with digests, parameters, versions and the image."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spotfuse import __version__

_BLOCK = 1 << 22


def digest(path: Path) -> dict[str, Any]:
    """Tell a file by its content, and a folder by the names and sizes of its files.

    Parameters
    ----------
    path
        A file or folder.

    Returns
    -------
    ``bytes``, and ``sha256`` of the content, or ``n_files`` and ``sha256_of_names_and_sizes``.
    """
    if path.is_file():
        sha = hashlib.sha256()
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                sha.update(block)
        return {"bytes": path.stat().st_size, "sha256": sha.hexdigest()}
    files = sorted((str(file.relative_to(path)), file.stat().st_size) for file in path.rglob("*") if file.is_file())
    listed = hashlib.sha256("".join(f"{name}\t{size}\n" for name, size in files).encode()).hexdigest()
    total = sum(size for _, size in files)
    return {"bytes": total, "n_files": len(files), "sha256_of_names_and_sizes": listed}


def of_slice(parts: Path, meta: Mapping[str, Any], parameters: Mapping[str, Any], image: str | None) -> dict[str, Any]:
    """Gather what a slice came from.

    Parameters
    ----------
    parts
        Folder with what the steps wrote.
    meta
        The slice's row of the sample sheet.
    parameters
        The run's.
    image
        The container that this step runs in; None without one.

    Returns
    -------
    What provenance.json says.
    """
    notes = [json.loads(path.read_text()) for path in sorted(parts.glob("*.status.json"))]
    check = json.loads((parts / "check.json").read_text()) if (parts / "check.json").exists() else {}
    return {
        "sample": meta.get("sample"),
        "spotfuse": __version__,
        "image": image,
        "sheet": {key: value for key, value in meta.items() if value not in (None, "")},
        "inputs": check.get("inputs", {}),
        "parameters": dict(parameters),
        "steps": {
            note["step"]: {"command": note.get("command"), "versions": note.get("versions", {})} for note in notes
        },
    }
