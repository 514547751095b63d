"""The image of a tissue: whatever stands in its place, it is laid out as scanpy does, or left out and told."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

_SIZES = ("hires", "lowres")


def laid_out(stored: Any, notes: list[str]) -> dict[str, Any]:
    """Give what later steps can use of ``uns['spatial']``.

    Parameters
    ----------
    stored
        What stands there: by library its ``images`` and ``scalefactors``, or anything.
    notes
        Grows by a line for each thing that was left out or taken for something else.

    Returns
    -------
    By library, ``images`` (``hires`` and ``lowres``, uint8 of shape (height, width, 3), none without its scale factor),
    ``scalefactors`` (positive numbers) and ``metadata`` (text).
    """
    if isinstance(stored, Mapping) and isinstance(stored.get("images"), Mapping):
        stored = {"slice": stored}
    if not isinstance(stored, Mapping):
        notes.append(f"uns['spatial'] holds {type(stored).__name__} and no libraries; the image is left out")
        return {}
    found = {}
    for library, entry in stored.items():
        if library == "is_single":  # CELLxGENE's, beside the library
            continue
        if not isinstance(entry, Mapping):
            notes.append(f"uns['spatial']['{library}'] is no library of images; left out")
            continue
        factors, odd = _positive(entry.get("scalefactors"))
        images = _usable(str(library), entry.get("images"), factors, notes)
        if odd:
            notes.append(f"scale factors that are not positive numbers left out: {', '.join(odd)[:150]}")
        if images or factors:
            metadata = entry.get("metadata")
            metadata = metadata if isinstance(metadata, Mapping) else {}
            found[str(library)] = {
                "images": images,
                "scalefactors": factors,
                "metadata": {str(key): value for key, value in metadata.items() if isinstance(value, str)},
            }
    return found


def _positive(factors: Any) -> tuple[dict[str, float], list[str]]:
    """Give the scale factors that are positive numbers, and the names of the others."""
    if not isinstance(factors, Mapping):
        return {}, [] if factors is None else ["all"]
    numbers, odd = {}, []
    for name, value in factors.items():
        try:
            number = float(value.item() if isinstance(value, np.ndarray) else value)
        except (TypeError, ValueError, OverflowError):
            number = math.nan
        if math.isfinite(number) and number > 0:
            numbers[str(name)] = number
        else:
            odd.append(str(name))
    return numbers, odd


def _usable(library: str, stored: Any, factors: dict[str, float], notes: list[str]) -> dict[str, npt.NDArray[np.uint8]]:
    images, lost = {}, []
    for size, values in (stored if isinstance(stored, Mapping) else {}).items():
        pixels = pixels_of(values)
        if pixels is None or f"tissue_{size}_scalef" not in factors:
            lost.append(f"{size} ({'not the values of an image' if pixels is None else 'without its scale factor'})")
        else:
            images[str(size)] = pixels
    known = {size: images[size] for size in _SIZES if size in images}
    for size in sorted(images.keys() - known.keys()):
        if known:
            lost.append(f"{size} (beside {next(iter(known))})")
        else:
            known = {"hires": images[size]}
            factors["tissue_hires_scalef"] = factors[f"tissue_{size}_scalef"]
            notes.append(f"image '{size}' is taken for the one called hires")
    if lost:
        notes.append(f"images of '{library}' left out: {', '.join(lost)}"[:300])
    return known


def pixels_of(values: Any) -> npt.NDArray[np.uint8] | None:
    """Give red, green and blue of grey or coloured values of any scale, over white where they are transparent.

    Parameters
    ----------
    values
        Of shape (height, width), (height, width, 1, 3 or 4), or with the colours first.

    Returns
    -------
    ndarray of shape (height, width, 3), pixels without a value as bright as the brightest; None of what is no image.
    """
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "buif" or not values.size:
        return None
    if values.ndim == 2:
        values = values[:, :, None]
    if values.ndim == 3 and values.shape[2] not in (1, 3, 4) and values.shape[0] in (1, 3, 4):
        values = np.moveaxis(values, 0, 2)
    if values.ndim != 3 or values.shape[2] not in (1, 3, 4):
        return None
    if values.dtype != np.uint8:
        known = np.isfinite(values)
        if not known.any():
            return None
        most = values.max(where=known, initial=0)
        whole = 1 if most <= 1 else 255 if most < 256 else most
        scaled = np.where(known, values, whole) / float(whole) * 255
        values = np.clip(np.rint(scaled), 0, 255).astype(np.uint8)
    if values.shape[2] == 4:
        opaque = values[:, :, 3:].astype(np.float32) / 255
        values = np.rint(values[:, :, :3] * opaque + 255 * (1 - opaque)).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(values, (*values.shape[:2], 3)))
