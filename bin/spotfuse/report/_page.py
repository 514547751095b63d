"""What both reports are made of: packed numbers, colours, and pages that hold all they need."""

import base64
import gzip
import hashlib
import io
import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import numpy.typing as npt
from markupsafe import Markup

_HERE = Path(__file__).parent
_MISSING = {1: 255, 2: 65535}

# matplotlib's viridis (CC0) at nine equal steps
VIRIDIS = ("#440154", "#472d7b", "#3b528b", "#2c728e", "#21918c", "#28ae80", "#5ec962", "#addc30", "#fde725")


class Pack:
    """Arrays and JSON that travel in a page as one compressed text."""

    def __init__(self) -> None:
        self._bytes = io.BytesIO()

    def codes(self, values: npt.NDArray[Any]) -> dict[str, int]:
        """Add whole numbers below 65536.

        Parameters
        ----------
        values
            Whole numbers, any shape.

        Returns
        -------
        Where the page finds them.
        """
        width = 1 if values.max(initial=0) < 256 else 2
        return self._add(values.astype(f"<u{width}"), width)

    def numbers(self, values: npt.NDArray[Any], width: int = 2) -> dict[str, float]:
        """Add real numbers as 8-bit or 16-bit steps between their smallest and largest; what is not finite is missing.

        Parameters
        ----------
        values
            Real numbers, any shape.
        width
            Bytes a number, 1 or 2.

        Returns
        -------
        Where the page finds them, with ``lo`` and ``hi``.
        """
        values = np.asarray(values, float)
        finite = np.isfinite(values)
        lo, hi = (values[finite].min(), values[finite].max()) if finite.any() else (0.0, 0.0)
        steps = _MISSING[width] - 1
        scaled = np.zeros(values.shape) if hi == lo else (np.where(finite, values, lo) - lo) / (hi - lo)
        codes = np.where(finite, np.round(scaled * steps), _MISSING[width]).astype(f"<u{width}")
        return self._add(codes, width) | {"lo": float(lo), "hi": float(hi)}

    def floats(self, values: npt.NDArray[Any]) -> dict[str, int]:
        """Add real numbers as they are, to seven digits.

        Parameters
        ----------
        values
            Real numbers, any shape.

        Returns
        -------
        Where the page finds them.
        """
        return self._add(values.astype("<f4"), 4)

    def text(self, header: Mapping[str, Any]) -> str:
        """Give everything as one base64 text: the length of the JSON header, the header, the arrays."""
        head = json.dumps(_finite(header), ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
        head += b" " * (-(len(head) + 4) % 4)
        whole = len(head).to_bytes(4, "little") + head + self._bytes.getvalue()
        return _squeeze(whole)

    def _add(self, array: npt.NDArray[Any], width: int) -> dict[str, Any]:
        self._bytes.write(b"\0" * (-self._bytes.tell() % 4))
        at = self._bytes.tell()
        self._bytes.write(array.tobytes())
        return {"at": at, "n": int(array.size), "w": width}


def render(template: str, script: str, packed: str, *, genes: str = "", plotly: bool = False, **context: Any) -> str:
    """Fill a template into a page that needs nothing else and may ask the network for nothing.

    Parameters
    ----------
    template, script
        Files of this folder's assets.
    packed
        What `Pack.text` gave.
    genes
        What `pack_genes` gave.
    plotly
        Whether the page draws with plotly.
    context
        What the template shows; text is escaped.

    Returns
    -------
    The page.
    """
    code = _asset("common.js") + _asset(script)
    library = _asset("plotly-gl2d.min.js") if plotly else ""
    # only these very scripts may run; regl, inside plotly, compiles its draw calls, hence unsafe-eval
    allowed = " ".join(f"'sha256-{_digest(text)}'" for text in (code, library) if text)
    policy = (
        f"default-src 'none'; script-src {allowed}{" 'unsafe-eval'" if plotly else ''}; "
        "style-src 'unsafe-inline'; img-src data: blob:"
    )
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE / "assets"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"percent": percent, "grouped": grouped, "short": short}
    return environment.get_template(template).render(
        policy=policy,
        style=Markup(_asset("style.css")),
        script=Markup(code),
        library=_squeeze(library.encode()) if plotly else "",
        packed=packed,
        genes=genes,
        **context,
    )


def percent(share: float | None) -> str:
    """Say a share as a percentage, two digits long."""
    if share is None:
        return "–"
    return f"{100 * share:.0f} %" if share >= 0.0995 or share == 0 else f"{100 * share:.1f} %"


def grouped(number: float | None) -> str:
    """Say a whole number with commas between thousands."""
    return "–" if number is None else f"{number:,.0f}"


def short(value: Any) -> str:
    """Say a number with four digits and anything else as it is; nothing is a dash."""
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _finite(value: Any) -> Any:
    """Put None where JSON has no number."""
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _asset(name: str) -> str:
    return (_HERE / "assets" / name).read_text(encoding="utf-8")


def _squeeze(raw: bytes) -> str:
    return base64.b64encode(gzip.compress(raw, 9, mtime=0)).decode()


def _digest(text: str) -> str:
    if re.search(r"</script|<!--", text, re.IGNORECASE):
        raise ValueError("a script of the report holds what would end its element")
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def duration(seconds: float) -> str:
    """Say seconds as a person would: ``45 s``, ``3 min 20 s``, ``2 h 05 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
