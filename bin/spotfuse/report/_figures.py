"""Figures as SVG text, in the page's own colours and type; every text in them is escaped."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
from markupsafe import Markup

from spotfuse._core.order import natural
from spotfuse._core.types import Array
from spotfuse.report._page import VIRIDIS

_CHARACTER = 7.2  # width of one at 12 px, px


def dot_plot(
    size: Array,
    colour: Array,
    rows: Sequence[str],
    columns: Sequence[str],
    swatches: Sequence[str],
    label: str,
    unit: str,
) -> Markup:
    """Draw dots whose area is a share and whose colour is a level.

    Parameters
    ----------
    size
        Shares, 0 to 1, shape (rows, columns).
    colour
        Levels, 0 to 1, same shape.
    rows, columns
        Their names; a column is a domain.
    swatches
        The columns' colours.
    label
        What the figure shows, for those who hear it.
    unit
        What is counted: spot or cell.

    Returns
    -------
    SVG.
    """
    left, top, step = _width(rows) + 14, 34, 25
    parts = []
    for j, (name, swatch) in enumerate(zip(columns, swatches, strict=True)):
        x = left + step * (j + 0.5)
        parts += [_rect(x - 10, 6, 20, 5, swatch, rx=2), _text(x, 26, name, "middle")]
    for i, name in enumerate(rows):
        y = top + 19 * (i + 0.5)
        parts.append(_text(left - 8, y + 4, name, "end", gene=name))
        for j in range(len(columns)):
            radius = 8.2 * float(np.sqrt(np.clip(size[i, j], 0, 1)))
            if radius > 0.4:
                hint = f"{name} in {columns[j]}: in {size[i, j]:.0%} of {unit}s, {colour[i, j]:.0%} of its highest mean"
                parts.append(
                    Markup('<circle cx="{}" cy="{}" r="{}" fill="{}"><title>{}</title></circle>').format(
                        _n(left + step * (j + 0.5)), _n(y), _n(radius), viridis(float(colour[i, j])), hint
                    )
                )
    x = left + step * len(columns) + 24
    parts.append(_text(x, top + 10, f"share of {unit}s"))
    for k, share in enumerate((0.25, 0.5, 1.0)):
        parts.append(
            Markup('<circle cx="{}" cy="{}" r="{}" fill="none" stroke="var(--ink)"/>').format(
                _n(x + 9), _n(top + 28 + 20 * k), _n(8.2 * share**0.5)
            )
        )
        parts.append(_text(x + 26, top + 32 + 20 * k, f"{share:.0%}"))
    parts += [_text(x, top + 102, "mean expression"), *_bar(x, top + 110, 84), _text(x, top + 134, "0")]
    parts.append(_text(x + 84, top + 134, "highest", "end"))
    height = max(top + 19 * len(rows) + 8, top + 142)
    return _svg(x + 104, height, label, parts)


def heat(
    values: Array,
    rows: Sequence[str],
    columns: Sequence[str],
    label: str,
    *,
    swatches: Sequence[str] = (),
    numbers: bool = True,
) -> Markup:
    """Draw a table of shares as coloured cells with their numbers.

    Parameters
    ----------
    values
        Shape (rows, columns), 0 to 1.
    rows, columns
        Their names.
    label
        What the figure shows.
    swatches
        Colours of the columns, when these are domains.
    numbers
        Whether the cells have their percentage written in them.

    Returns
    -------
    SVG.
    """
    left, step, tall = _width(rows) + 14, 44, 22 if numbers else 12
    parts, top, width = _heads(columns, left, step, swatches)
    highest = float(np.nanmax(values, initial=0)) or 1.0
    for i, name in enumerate(rows):
        y = top + tall * i
        parts.append(_text(left - 8, y + (15 if numbers else 10), name, "end"))
        for j in range(len(columns)):
            value = float(values[i, j])
            if np.isnan(value):
                continue
            level = value / highest
            written = Markup(
                '<text x="{}" y="{}" text-anchor="middle" style="fill:{};font-size:11px">{}</text>'
            ).format(_n(left + step * (j + 0.5)), _n(y + 15), "#000" if level > 0.44 else "#fff", f"{100 * value:.0f}")
            parts.append(
                Markup('<g><title>{}</title><rect x="{}" y="{}" width="{}" height="{}" fill="{}"/>{}</g>').format(
                    f"{name}, {columns[j]}: {value:.1%}",
                    _n(left + step * j),
                    _n(y),
                    step - 1,
                    tall - 1,
                    viridis(level),
                    written if numbers else "",
                )
            )
    return _svg(width, top + tall * len(rows) + 4, label, parts)


def ratios(values: Array, rows: Sequence[str], columns: Sequence[str], label: str) -> Markup:
    """Draw a table of logarithms of ratios: red is more than chance, blue less, white as chance has it.

    Parameters
    ----------
    values
        Logarithms to base 2, shape (rows, columns); nan is nothing.
    rows, columns
        Their names.
    label
        What the figure shows.

    Returns
    -------
    SVG.
    """
    left, step, tall = _width(rows) + 14, 44, 22
    largest = min(max(float(np.nanmax(np.abs(values), initial=0)), 0.5), 3.0)
    digits = 2 if largest < 1 else 1
    parts, top, width = _heads(columns, left, step)
    for i, name in enumerate(rows):
        y = top + tall * i
        parts.append(_text(left - 8, y + 15, name, "end"))
        for j in np.flatnonzero(np.isfinite(values[i])).tolist():
            value = float(values[i, j])
            parts.append(
                Markup(
                    '<g><title>{}</title><rect x="{}" y="{}" width="{}" height="{}" fill="{}"/><text x="{}" y="{}" '
                    'text-anchor="middle" style="fill:#000;font-size:11px">{}</text></g>'
                ).format(
                    f"{name}, {columns[j]}: {2**value:.2g} times what chance has",
                    *(_n(left + step * j), _n(y), step - 1, tall - 1, _diverging(value / largest)),
                    *(_n(left + step * (j + 0.5)), _n(y + 15), _signed(value, digits)),
                )
            )
    return _svg(width, top + tall * len(rows) + 4, label, parts)


def _heads(
    columns: Sequence[str], left: float, step: float, swatches: Sequence[str] = ()
) -> tuple[list[Markup], float, float]:
    """Draw the names above a table, aslant where one is long; with where its rows begin, and the figure's width."""
    slanted = max((len(name) for name in columns), default=0) > 4
    top = (_width(columns) * 0.72 + 12 if slanted else 24) + (12 if swatches else 0)
    parts = []
    for j, name in enumerate(columns):
        x, y = left + step * (j + 0.5), top - 8
        if swatches:
            parts.append(_rect(x - 14, 6, 28, 5, swatches[j], rx=2))
        if slanted:
            parts.append(
                Markup('<text x="{0}" y="{1}" transform="rotate(-45 {0} {1})">{2}</text>').format(
                    _n(x - 2), _n(y), name
                )
            )
        else:
            parts.append(_text(x, y, name, "middle"))
    width = left + step * len(columns) + (_width(columns[-1:]) * 0.72 if slanted else 0) + 8
    return parts, top, width


def _signed(value: float, digits: int) -> str:
    """Write a number with its sign; 0 without."""
    return f"{value:+.{digits}f}".replace("-", "−") if round(value, digits) else f"{0:.{digits}f}"


def symmetric(pairs: pd.DataFrame) -> tuple[Array, list[str], list[str]]:
    """Lay pairs of like things out as a table.

    Parameters
    ----------
    pairs
        ``name``, ``neighbour`` and ``log2_ratio``; each pair once.

    Returns
    -------
    Values, rows and columns for `ratios`.
    """
    names = sorted({*pairs["name"], *pairs["neighbour"]}, key=natural)
    values = np.full((len(names), len(names)), np.nan)
    i, j = (pd.Categorical(pairs[side], names).codes for side in ("name", "neighbour"))
    values[i, j] = values[j, i] = pairs["log2_ratio"].to_numpy(float)
    return values, names, names


def _diverging(level: float) -> str:
    """Give the colour of a level, from blue at −1 through white to red at 1."""
    end = (239, 138, 98) if level > 0 else (103, 169, 207)  # ColorBrewer's RdBu, light enough for black numbers
    return "#{:02x}{:02x}{:02x}".format(*(round(247 + (c - 247) * min(abs(level), 1.0)) for c in end))


def stacked(
    values: Array,
    rows: Sequence[str],
    columns: Sequence[str],
    colours: Sequence[str],
    label: str,
    *,
    form: str = "{:.0%}",
    ends: Sequence[str] = (),
    longest: float | None = None,
) -> Markup:
    """Draw a bar a row, made of one part a column.

    Parameters
    ----------
    values
        Lengths of the parts, zero or more, shape (rows, columns); nan is nothing.
    rows, columns
        Their names.
    colours
        Of the columns.
    label
        What the figure shows.
    form
        How a number is written.
    ends
        What stands at the end of each bar.
    longest
        Length that fills the figure; that of the longest bar if not given.

    Returns
    -------
    SVG.
    """
    values = np.nan_to_num(values)
    left, wide, tall = _width(rows) + 14, 460, 20
    longest = longest or float(values.sum(axis=1).max(initial=0)) or 1.0
    parts = []
    for i, name in enumerate(rows):
        y, x = tall * i + 2, left
        parts.append(_text(left - 8, y + 13, name, "end"))
        for j in np.flatnonzero(values[i]).tolist():
            width = wide * float(values[i, j]) / longest
            hint = f"{name}, {columns[j]}: {form.format(values[i, j])}"
            parts.append(
                Markup('<rect x="{}" y="{}" width="{}" height="16" fill="{}"><title>{}</title></rect>').format(
                    f"{x:.2f}", _n(y), f"{max(width - 0.6, 0.3):.2f}", colours[j], hint
                )
            )
            x += width
        if ends:
            parts.append(_text(x + 8, y + 13, ends[i]))
    return _svg(left + wide + _width(ends) + 20, tall * len(rows) + 4, label, parts)


def log_edges(values: Array) -> Array:
    """Give the edges of forty bins that are equally wide in log10(1 + value).

    Parameters
    ----------
    values
        Zero or more.

    Returns
    -------
    Edges, 41, increasing.
    """
    logs = np.log10(values + 1)
    lo, hi = float(logs.min(initial=9)), float(logs.max(initial=0))
    edges: Array = 10 ** np.linspace(min(lo, hi), max(hi, lo + 0.1), 41) - 1
    edges[0], edges[-1] = edges[0] - 1e-6, edges[-1] + 1e-6
    return edges


def histogram(
    edges: Array,
    kept: npt.NDArray[np.int_],
    dropped: npt.NDArray[np.int_],
    title: str,
    label: str,
    *,
    threshold: float | None = None,
) -> Markup:
    """Draw how many spots have how much, on a logarithmic axis, dropped ones on top of kept ones.

    Parameters
    ----------
    edges
        From `log_edges`.
    kept, dropped
        Spots in each bin.
    title
        Title of the axis.
    label
        What the figure shows.
    threshold
        Drawn as a line.

    Returns
    -------
    SVG.
    """
    highest = max(int((kept + dropped).max()), 1)
    width, height, left, top = 360, 190, 44, 10
    wide, tall = width - left - 10, height - top - 44
    parts = []
    for i in range(40):
        x, base = left + wide * i / 40, float(top + tall)
        for count, fill in ((kept[i], "var(--accent)"), (dropped[i], "var(--warn)")):
            if count:
                rise = tall * int(count) / highest
                parts.append(_rect(x, base - rise, wide / 40 - 1, rise, fill))
                base -= rise
    room = 0.0
    for v, share in _log_ticks(edges):
        x, said = left + wide * share, _said(v)
        half = _width([said]) / 2 + 4
        if x - half >= room:
            parts.append(_text(x, top + tall + 16, said, "middle"))
            room = x + half
    for count in (0, highest):
        parts.append(_text(left - 6, top + tall * (1 - count / highest) + 4, f"{count:,}", "end"))
    if threshold is not None and edges[0] < threshold < edges[-1]:
        x = left + wide * _log_share(threshold, edges)
        parts.append(_dashed(x, top, x, top + tall))
    parts += [_line(left, top + tall, left + wide, top + tall), _text(left + wide / 2, height - 8, title, "middle")]
    return _svg(width, height, label, parts)


def density(
    x: Array, y: Array, counts: npt.NDArray[np.int_], titles: tuple[str, str], label: str, *, lines: tuple[float, float]
) -> Markup:
    """Draw how many spots have how much of two things, both on logarithmic axes.

    Parameters
    ----------
    x, y
        Edges from `log_edges`.
    counts
        Spots in each square, shape (40, 40).
    titles
        Of the two axes.
    label
        What the figure shows.
    lines
        Thresholds of the two, drawn as lines.

    Returns
    -------
    SVG.
    """
    width, height, left, top = 340, 300, 62, 10
    wide, tall = width - left - 14, height - top - 44
    highest = np.log1p(max(int(counts.max()), 1))
    parts = []
    for i, j in np.argwhere(counts).tolist():
        fill = viridis(float(np.log1p(counts[i, j]) / highest))
        parts.append(_rect(left + wide * i / 40, top + tall * (39 - j) / 40, wide / 40, tall / 40, fill))
    for edges, across in ((x, True), (y, False)):
        room = 0.0
        for v, share in _log_ticks(edges):
            said = _said(v)
            at = left + wide * share if across else top + tall * (1 - share)
            half = _width([said]) / 2 + 4 if across else 8
            if across and at - half < room:
                continue
            parts.append(_text(at, top + tall + 16, said, "middle") if across else _text(left - 6, at + 4, said, "end"))
            room = at + half
    if x[0] < lines[0] < x[-1]:
        at = left + wide * _log_share(lines[0], x)
        parts.append(_dashed(at, top, at, top + tall))
    if y[0] < lines[1] < y[-1]:
        at = top + tall * (1 - _log_share(lines[1], y))
        parts.append(_dashed(left, at, left + wide, at))
    middle = top + tall / 2
    parts += [
        _line(left, top + tall, left + wide, top + tall),
        _line(left, top, left, top + tall),
        _text(left + wide / 2, height - 8, titles[0], "middle"),
        Markup('<text x="12" y="{0}" text-anchor="middle" transform="rotate(-90 12 {0})">{1}</text>').format(
            _n(middle), titles[1]
        ),
    ]
    return _svg(width, height, label, parts)


def _log_share(value: float, edges: Array) -> float:
    """Say where a value lies between the first and the last of edges."""
    lo, hi = np.log10(np.maximum(edges[[0, -1]], 0) + 1)
    return float((np.log10(value + 1) - lo) / (hi - lo))


def _log_ticks(edges: Array) -> list[tuple[float, float]]:
    """Give round numbers along a logarithmic axis, and where they lie."""
    ticks: list[float] = []
    for steps in ((1,), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 7), np.arange(1, 10, 0.1)):
        round_ones = [0.0, *(round(float(m * 10.0**p), 4) for p in range(-2, 7) for m in steps)]
        ticks = [v for v in dict.fromkeys(round_ones) if 0 <= _log_share(v, edges) <= 1]
        if len(ticks) > 2:
            break
    return [(v, _log_share(v, edges)) for v in ticks]


def curve(x: Array, y: Array, x_title: str, label: str, *, chosen: float | None = None) -> Markup:
    """Draw one line.

    Parameters
    ----------
    x, y
        Its points; those that are not finite are left out.
    x_title
        Title of its axis.
    label
        What the figure shows.
    chosen
        An x to mark.

    Returns
    -------
    SVG.
    """
    width, height, left, top = 370, 196, 68, 12
    wide, tall = width - left - 14, height - top - 44
    good = np.isfinite(x) & np.isfinite(y)
    x, y = x[good], y[good]
    if not len(x):
        return Markup("")
    x_ticks, y_ticks = _ticks(x, 6), _ticks(y, 4)
    x_lo, x_hi = float(x.min()), float(max(x.max(), x.min() + 1e-9))
    y_lo, y_hi = min(float(y.min()), y_ticks[0]), max(float(y.max()), y_ticks[-1])
    y_hi = max(y_hi, y_lo + 1e-9)

    def at(a: float, b: float) -> tuple[float, float]:
        return left + wide * (a - x_lo) / (x_hi - x_lo), top + tall * (1 - (b - y_lo) / (y_hi - y_lo))

    parts = []
    for tick in y_ticks:
        height_at = at(x_lo, tick)[1]
        parts += [
            _line(left, height_at, left + wide, height_at, "var(--line)"),
            _text(left - 6, height_at + 4, _said(tick), "end"),
        ]
    parts += [
        _text(at(tick, y_lo)[0], top + tall + 16, _said(tick), "middle") for tick in x_ticks if x_lo <= tick <= x_hi
    ]
    parts.append(_text(left + wide / 2, height - 8, x_title, "middle"))
    points = " ".join("{},{}".format(*map(_n, at(a, b))) for a, b in zip(x, y, strict=True))
    parts.append(Markup('<polyline points="{}" fill="none" stroke="var(--accent)" stroke-width="2"/>').format(points))
    if len(x) <= 40:
        for a, b in zip(x, y, strict=True):
            cx, cy = at(a, b)
            marked = chosen is not None and a == chosen
            parts.append(
                Markup('<circle cx="{}" cy="{}" r="{}" fill="{}"><title>{}</title></circle>').format(
                    _n(cx), _n(cy), 6 if marked else 3, f"var(--{'warn' if marked else 'accent'})", f"{a:g}: {b:.5g}"
                )
            )
    return _svg(width, height, label, parts)


def effects(
    names: Sequence[str],
    found: Sequence[tuple[float, float, float]],
    points: Sequence[tuple[Sequence[float], Sequence[float]]],
    title: str,
    label: str,
) -> Markup:
    """Draw an effect and its interval a row, over the donors of both sides as points.

    Parameters
    ----------
    names
        Of the rows.
    found
        Effect, low and high of each; nan where an end is not known.
    points
        Values of each, of the level and of the reference, from the reference's mean.
    title
        Title of the axis.
    label
        What the figure shows.

    Returns
    -------
    SVG.
    """
    left, wide, tall = _width(names) + 14, 420, 26
    values = np.array(
        [0.0, *(v for one in found for v in one), *(v for sides in points for side in sides for v in side)]
    )
    values = values[np.isfinite(values)]
    lo, hi = float(values.min()), float(values.max())
    lo, hi = lo - 0.05 * (hi - lo or 1), hi + 0.05 * (hi - lo or 1)
    bottom = tall * len(names) + 4

    def at(value: float) -> float:
        return left + wide * (value - lo) / (hi - lo)

    parts = [_line(at(0), 0, at(0), bottom, "var(--soft)")]
    for tick in _ticks(np.array([lo, hi]), 5):
        parts += [_line(at(tick), bottom, at(tick), bottom + 4), _text(at(tick), bottom + 17, _said(tick), "middle")]
    parts.append(_text(left + wide / 2, bottom + 36, title, "middle"))
    for i, (name, (effect, low, high), sides) in enumerate(zip(names, found, points, strict=True)):
        y = tall * i + 4 + tall / 2
        parts.append(_text(left - 8, y + 4, name, "end"))
        for side, fill, shift in zip(sides, ("var(--warn)", "var(--soft)"), (4, -4), strict=True):
            parts += [
                Markup('<circle cx="{}" cy="{}" r="2.5" fill="{}" fill-opacity=".6"/>').format(
                    _n(at(value)), _n(y + shift), fill
                )
                for value in side
            ]
        if np.isfinite([low, high]).all():
            parts.append(_line(at(low), y, at(high), y))
        parts.append(
            Markup(
                '<circle cx="{}" cy="{}" r="4.5" fill="var(--accent)" stroke="var(--ink)"><title>{}</title></circle>'
            ).format(_n(at(effect)), _n(y), f"{name}: {effect:+.2f} ({low:+.2f} to {high:+.2f})".replace("+nan", "–"))
        )
    return _svg(left + wide + 20, bottom + 44, label, parts)


def viridis(level: float) -> str:
    """Give the colour of a level from 0 to 1."""
    at = min(max(level, 0.0), 1.0) * (len(VIRIDIS) - 1)
    i = min(int(at), len(VIRIDIS) - 2)
    pair = [[int(c[j : j + 2], 16) for j in (1, 3, 5)] for c in VIRIDIS[i : i + 2]]
    return "#{:02x}{:02x}{:02x}".format(*(round(a + (b - a) * (at - i)) for a, b in zip(*pair, strict=True)))


def _svg(width: float, height: float, label: str, parts: Sequence[Markup]) -> Markup:
    return Markup(
        '<svg xmlns="http://www.w3.org/2000/svg" width="{0}" height="{1}" viewBox="0 0 {0} {1}" role="img" '
        'aria-label="{2}">{3}</svg>'
    ).format(_n(width), _n(height), label, Markup("").join(parts))


def _text(x: float, y: float, text: str, anchor: str = "start", *, gene: str = "") -> Markup:
    mark = Markup(' class="gene" data-gene="{}"').format(gene) if gene else ""
    return Markup('<text x="{}" y="{}" text-anchor="{}"{}>{}</text>').format(_n(x), _n(y), anchor, mark, text)


def _rect(x: float, y: float, width: float, height: float, fill: str, rx: float = 0) -> Markup:
    return Markup('<rect x="{}" y="{}" width="{}" height="{}" rx="{}" fill="{}"/>').format(
        *map(_n, (x, y, width, height, rx)), fill
    )


def _line(x1: float, y1: float, x2: float, y2: float, stroke: str = "var(--ink)") -> Markup:
    return Markup('<line x1="{}" y1="{}" x2="{}" y2="{}" stroke="{}"/>').format(*map(_n, (x1, y1, x2, y2)), stroke)


def _dashed(x1: float, y1: float, x2: float, y2: float) -> Markup:
    return Markup(
        '<line x1="{}" y1="{}" x2="{}" y2="{}" stroke="var(--ink)" stroke-width="1.5" stroke-dasharray="4 3"/>'
    ).format(*map(_n, (x1, y1, x2, y2)))


def _bar(x: float, y: float, width: float) -> list[Markup]:
    return [_rect(x + width * i / 28, y, width / 28 + 0.5, 10, viridis(i / 27)) for i in range(28)]


def _ticks(values: Array, about: int) -> list[float]:
    lo, hi = float(values.min()), float(values.max())
    if hi <= lo:
        return [lo]
    raw = (hi - lo) / about
    power = 10.0 ** np.floor(np.log10(raw))
    whole = bool(np.all(values == np.round(values)))
    step = float(next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= raw and (not whole or m * power % 1 == 0)))
    first = np.ceil(lo / step - 1e-9)
    return [float(step * (first + i)) for i in range(int(np.floor((hi - first * step) / step + 1e-9)) + 1)]


def _said(tick: float) -> str:
    return f"{tick:,.10g}" if 1e-4 <= abs(tick) < 1e7 or tick == 0 else f"{tick:.3g}"


def _width(names: Sequence[str]) -> float:
    return max((len(str(name)) for name in names), default=0) * _CHARACTER + 4


def _n(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
