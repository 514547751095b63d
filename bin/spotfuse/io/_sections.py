"""Several sections in one file: which columns of `obs` tell them apart, and the one that is asked for."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from anndata import AnnData
from scipy.spatial import cKDTree

from spotfuse._core.errors import InputError
from spotfuse._core.notes import Notes
from spotfuse._core.types import Floats
from spotfuse.io._common import nearest

type Integers = npt.NDArray[np.intp]
type Pairs = tuple[Integers, Integers]

_ARRAYS = (("array_row", "array_col"), ("array_x", "array_y"), ("row", "col"))
_SECTION = "librar(?:y|ies)|samples?|sections?|slices?|slides?|pucks?|bregma|orig|captures?"
_OTHER = (
    "batch|donors?|patients?|subjects?|animals?|mouse|embryos?|specimens?|rep(?:licate)?s?|conditions?|fovs?|tiles?"
)
_ENDING = "(?:ids?|names?|labels?|numbers?)?(?:[^a-z]|$)"
# a slice by itself has one value of these in any one place
_NAMED = re.compile(f"(?:^|[^a-z])(?:{_SECTION}|{_OTHER}){_ENDING}|^z$", re.IGNORECASE)
_NAMED_SECTION = re.compile(f"(?:^|[^a-z])(?:{_SECTION}){_ENDING}", re.IGNORECASE)
# what sections' names are told by where no column does, as joining them leaves it: AAACATTTCCCGGATT-1-b, s2_cell17
_IN_NAMES = {"name_ending": r"[-_.:]([^-_.:]+)$", "name_beginning": r"^([^-_.:]+)[-_.:]"}
_FIELD = re.compile(r"(?:^|[^a-z])(?:fov|tile)", re.IGNORECASE)
_SAMPLE = 20_000  # spots whose neighbours are looked at
_NEIGHBOURS = 24
_FAR_NEARER = 3  # times nearer than the next one
_LEAST_PAIRS = 10  # that had to join spots of one level, were it chance
_MOST_LEVELS = 1000  # of a column that may tell sections apart, and no more than a tenth of the spots
_LEAST_SPOTS = 10  # of a section
# of each of two sections that lie on each other, by how much its column is like one of sections in name, and tells
# apart as well; fields of view that overlap share less than the first
_COVERED = (0.4, 0.2, 0.1)
_REPEATED = 0.2  # of the spots, on an array place with another: too many for a slip
_EQUALLY_OFTEN = 0.95  # of the places
_SHOWN = 10  # values in a message
_BARCODE = re.compile("([ACGT]{14,18})(?:[-_.]|$)")  # of 10x's arrays, the same at the same place of each
_EVEN = 1.3  # how far the fourth neighbour of an array's spot is at most, in distances of the first
_ON_ARRAY = 0.6  # of the spots, for some lie at the edge
_BY_CHANCE = 0.25  # of the spots of another section that would lie very near, were it one
_LEAST_NEAR = 10  # spots that would


def take(path: Path, adata: AnnData, section: str, notes: Notes) -> AnnData:
    """Keep the spots of one section, ``column:value``, and its own image."""
    obs = _with_names(adata.obs)
    column, value = _named_by(path, obs, section)
    kept = _is(obs[column], value)
    notes.append(f"{kept.sum()} of {adata.n_obs} spots taken: the section {column}:{value}")
    taken = adata[kept].copy()
    images = taken.uns.get("spatial", {})
    if len(images) > 1:
        constant = {_texts(taken.obs[name])[1][0] for name in taken.obs if taken.obs[name].nunique(dropna=False) == 1}
        own = [library for library in images if library == value] or [name for name in images if name in constant]
        if len(own) == 1:
            taken.uns["spatial"] = {own[0]: images[own[0]]}
        else:
            del taken.uns["spatial"]
            notes.append(f"no telling which image of {', '.join(map(str, images))} is the section's; left out")
    return taken


def rows(path: Path, obs: pd.DataFrame, section: str) -> npt.NDArray[np.bool_]:
    """Tell which rows of `obs` are of a section, ``column:value``."""
    obs = _with_names(obs)
    column, value = _named_by(path, obs, section)
    return _is(obs[column], value)


def check(path: Path, adata: AnnData, notes: Notes) -> None:
    """Refuse sections that lie on each other; tell of those that lie side by side."""
    columns, twice = told_apart(adata), adata.obs_names.has_duplicates
    if columns:
        obs = _with_names(adata.obs)
        shown = " or ".join(f"{name} ({_list(_texts(obs[name])[1], 4)})" for name in columns[:2])
        example = f"{columns[0]}:{_texts(obs[columns[0]])[1][0]}"
        if _FIELD.search(columns[0]) and not twice:
            raise InputError(
                f"{path}: fields of view lie on each other, by column {shown}: each has coordinates of its own; give "
                f"those of the slide (spatial_key, obsm['spatial']), or one field (section {example})"
            )
        how = "have spots of one name" if twice else "lie on each other"
        raise InputError(
            f"{path}: several sections {how}; column {shown} tells them apart; give each a row of the sheet with "
            f"section, e.g. {example} (`spotfuse make-sheet FOLDER` writes them)"
        )
    if twice or "spatial" not in adata.obsm:
        return
    if _come_again(adata.obs, adata.obsm["spatial"]):
        raise InputError(
            f"{path}: several sections lie on each other, for places come again; no column of obs tells them "
            "apart: add one and name it in the sheet's column section (column:value), or give each a file of its own"
        )
    for name in filter(_NAMED_SECTION.search, map(str, adata.obs)):
        values = _texts(adata.obs[name])[1]
        if 1 < len(values) <= _most_levels(adata.n_obs):
            notes.append(
                f"{len(values)} sections side by side, by column {name} ({_list(values, 4)}), are read as one slice; "
                f"section {name}:{values[0]} takes one"
            )
            return


def told_apart(adata: AnnData) -> list[str]:
    """Give the columns of `obs` that tell apart sections of which the spots' names or places meet, the best first."""
    if adata.obs_names.has_duplicates:
        levels, pairs = _levels(adata.obs), _same(pd.factorize(adata.obs_names)[0])
        apart = [
            name
            for name, codes in levels.items()
            if _join_levels(codes, pairs, 0)
            or (_NAMED_SECTION.search(name) and (codes[pairs[0]] != codes[pairs[1]]).all())
        ]
        return sorted(apart, key=lambda name: (not _NAMED.search(name), levels[name].max()))
    return lying_on_each_other(adata.obs, adata.obsm["spatial"]) if "spatial" in adata.obsm else []


def named(adata: AnnData) -> list[str]:
    """Name the sections of a file that have to be read one by one, as ``column:value``; none where it is one slice."""
    columns = told_apart(adata)
    return [f"{columns[0]}:{value}" for value in _texts(_with_names(adata.obs)[columns[0]])[1]] if columns else []


def lying_on_each_other(obs: pd.DataFrame, xy: Floats) -> list[str]:
    """Give the columns of `obs` that tell apart sections which lie on each other, the best first.

    A column does when pairs of spots on one array place, or far nearer to each other than to the next one, join its
    different levels, as those of a cell type or of a domain do not; when each level is an array, and all together are
    none; or when it is named like one of sections, unless its levels keep the distance that the spots of one section
    do. And its levels lie on each other, as fields of view do not that overlap at their seams.
    """
    known = np.isfinite(xy).all(axis=1)
    levels = _levels(obs.loc[known]) if known.sum() >= 2 * _LEAST_SPOTS else {}
    if not levels:
        return []
    place = xy[known]
    some = np.arange(0, len(place), -(-len(place) // _SAMPLE))
    near, distance = _neighbours(place, some)
    evidence = list(_telling_pairs(obs.loc[known], some, near, distance))
    one_array = _is_array(distance)
    found = {}
    for name, codes in levels.items():
        covered = _covered_levels(codes, place, some, near)
        meeting = np.isin(codes, [level for level, share in enumerate(covered) if share >= _COVERED[-1]])
        apart = any(_join_levels(np.where(meeting, codes, -1), pairs, most) for pairs, most in evidence)
        apart = apart or (not one_array and bool(meeting.any()) and _are_arrays(codes, place))
        named = _NAMED.search(name) is not None and (apart or not _keep_distance(codes, place))
        sure = (named and not _FIELD.search(name)) + (named and apart and not _FIELD.search(name))
        if (apart or named) and covered.max() >= _COVERED[sure]:
            found[name] = (not apart, not named, codes.max())
    return sorted(found, key=lambda name: found[name])


def _levels(obs: pd.DataFrame) -> dict[str, Integers]:
    """Give numbers to the levels of each column that has some, but not too many; -1 where none is known."""
    levels = {}
    obs = _with_names(obs)
    for name in obs.columns.difference([column for names in _ARRAYS for column in names], sort=False):
        codes, values = pd.factorize(obs[name], use_na_sentinel=True)
        if 1 < len(values) <= _most_levels(len(obs)):
            levels[str(name)] = codes
    return levels


def _with_names(obs: pd.DataFrame) -> pd.DataFrame:
    """Add how spots' names begin and end, which are columns for whoever asks."""
    names = pd.Series(obs.index.astype(str), index=obs.index)
    parts = {column: names.str.extract(pattern, expand=False) for column, pattern in _IN_NAMES.items()}
    return obs.assign(**{column: part for column, part in parts.items() if column not in obs and part.notna().all()})


def _most_levels(n_spots: int) -> int:
    return min(max(2, n_spots // 10), _MOST_LEVELS)


def _neighbours(place: Floats, some: Integers) -> tuple[Integers, Floats]:
    """Give the nearest others of some spots, and how far they are."""
    width = min(_NEIGHBOURS + 1, len(place))
    distance, near = cKDTree(place).query(place[some], k=width)
    # among spots on one place the tree may name another one first
    order = np.argsort(np.where(near == some[:, None], -1.0, distance), axis=1, kind="stable")[:, 1:]
    return np.take_along_axis(near, order, axis=1), np.take_along_axis(distance, order, axis=1)


def _telling_pairs(
    obs: pd.DataFrame, some: Integers, near: Integers, distance: Floats
) -> Iterator[tuple[Pairs, float]]:
    """Give pairs of spots that one section would not have, each with the most of them that may be of one level."""
    with np.errstate(divide="ignore", invalid="ignore"):
        gap = (distance[:, 1:] / distance[:, :-1] >= _FAR_NEARER).any(axis=1) | (distance[:, 0] == 0)
    yield (some[gap], near[gap, 0]), 0.25
    for numbers in (_array(obs), _barcodes(obs)):
        if numbers is not None:
            yield _same(numbers), 0.05


def _same(numbers: Integers) -> Pairs:
    """Give pairs of rows that have the same number."""
    order = np.argsort(numbers, kind="stable")
    same = numbers[order[:-1]] == numbers[order[1:]]
    return order[:-1][same], order[1:][same]


def _join_levels(codes: Integers, pairs: Pairs, most: float) -> bool:
    one, other = codes[pairs[0]], codes[pairs[1]]
    known = (one >= 0) & (other >= 0)
    one, other = one[known], other[known]
    if not len(one):
        return False
    shares = np.bincount(np.concatenate([one, other])) / (2 * len(one))
    by_chance = len(one) * float(np.square(shares).sum())
    return by_chance >= _LEAST_PAIRS and int((one == other).sum()) <= most * by_chance


def _covered_levels(codes: Integers, place: Floats, some: Integers, near: Integers) -> Floats:
    """Give the share of each level that lies on the one it meets most, or of that on it, whichever is less."""
    covered = np.zeros(codes.max() + 1)
    for level in np.flatnonzero(np.bincount(codes[codes >= 0]) >= _LEAST_SPOTS):
        around = codes[near[codes[some] == level]].ravel()
        around = around[(around >= 0) & (around != level)]
        if len(around):
            one, other = place[codes == level], place[codes == np.bincount(around).argmax()]
            if len(other) >= _LEAST_SPOTS:
                covered[level] = min(_covered(one, other), _covered(other, one))
    return covered


def _covered(place: Floats, by: Floats) -> float:
    """Give the share of spots that lie among others, not farther from them than these from each other."""
    tree = cKDTree(by)
    spacing = np.median(tree.query(by[:: max(1, len(by) // 2000)], k=min(7, len(by)))[0][:, -1])
    return float((tree.query(place[:: max(1, len(place) // 2000)])[0] <= 0.75 * spacing).mean())


def _array(obs: pd.DataFrame) -> Integers | None:
    """Give numbers to the array places of spots, when they have them."""
    for names in _ARRAYS:
        if set(names) <= set(obs):
            numbers = obs[list(names)].apply(pd.to_numeric, errors="coerce")
            if numbers.notna().all(axis=None) and (numbers % 1 == 0).all(axis=None):
                return np.asarray(numbers.groupby(list(names), sort=False).ngroup())
    return None


def _barcodes(obs: pd.DataFrame) -> Integers | None:
    """Give numbers to the barcodes in spots' names, when they have them."""
    found = [_BARCODE.match(str(name)) for name in obs.index]
    return pd.factorize(np.array([match.group(1) for match in found if match]))[0] if all(found) else None


def _is_array(distance: Floats) -> bool:
    """Tell from the distances of spots to their nearest others whether they are an even array."""
    return distance.shape[1] > 3 and bool((distance[:, 3] <= _EVEN * distance[:, 0]).mean() >= _ON_ARRAY)


def _are_arrays(codes: Integers, place: Floats) -> bool:
    """Tell whether each level by itself is an even array."""
    parts = [place[codes == level][:_SAMPLE] for level in range(codes.max() + 1)]
    return all(len(part) >= _LEAST_SPOTS and _is_array(_neighbours(part, np.arange(len(part)))[1]) for part in parts)


def _keep_distance(codes: Integers, place: Floats) -> bool:
    """Tell whether spots of different levels keep the distance that those of one level do, as in one section.

    Spots of two sections know nothing of each other: of so many per area some lie within half of the distance that
    nearly all spots of one section keep.
    """
    near = expected = 0.0
    for level in np.flatnonzero(np.bincount(codes[codes >= 0]) >= _LEAST_SPOTS):
        own, other = place[codes == level], place[(codes >= 0) & (codes != level)]
        own_tree, other_tree = cKDTree(own), cKDTree(other)
        some = own[:: max(1, len(own) // 2000)]
        within = 0.5 * np.quantile(own_tree.query(some, k=2)[0][:, 1], 0.05)
        to_other = other_tree.query(some, k=min(7, len(other)))[0]
        per_area = (to_other.shape[1] - 1) / (np.pi * np.maximum(to_other[:, -1], within) ** 2)
        near += float((to_other[:, 0] < within).sum())
        expected += float((1 - np.exp(-per_area * np.pi * within**2)).sum())
    return expected >= _LEAST_NEAR and near < _BY_CHANCE * expected


def _come_again(obs: pd.DataFrame, xy: Floats) -> bool:
    """Tell whether places come again, those of an array or all equally often, where their spots lie on each other."""
    known = np.isfinite(xy).all(axis=1)
    if known.sum() < 2 * _LEAST_SPOTS:
        return False
    place = xy[known]
    array = _array(obs.loc[known])
    array = _barcodes(obs.loc[known]) if array is None else array
    if array is None:  # single cells may be given a spot's place each, but hardly as many to every spot
        array, times = np.unique(place, axis=0, return_inverse=True, return_counts=True)[1:]
        if np.mean(times == max(2, np.median(times))) < _EQUALLY_OFTEN:
            return False
    spots = pd.Series(array.ravel())
    repeated = spots.duplicated(keep=False).to_numpy()
    if repeated.mean() < _REPEATED:
        return False
    order = spots.groupby(spots).cumcount()  # that of the sections in the file
    codes: Integers = np.where(repeated, order, -1)
    some = np.arange(0, len(place), -(-len(place) // _SAMPLE))
    return bool(_covered_levels(codes, place, some, _neighbours(place, some)[0]).max() >= _COVERED[0])


def _named_by(path: Path, obs: pd.DataFrame, section: str) -> tuple[str, str]:
    """Split ``column:value`` at the colon that leaves a column on its left, and there may be more of either."""
    splits = [(section[: at.start()], section[at.end() :]) for at in re.finditer(":", section)]
    if not splits:
        raise InputError(f"{path}: section '{section}' must be column:value; columns are {_list(obs, _SHOWN)}")
    there = [(column, value) for column, value in splits if column in obs]
    if not there:
        column = splits[0][0]
        raise InputError(f"{path}: no column '{column}' in obs for the section; {nearest(column, list(obs)[:_SHOWN])}")
    for column, value in there:
        if _is(obs[column], value).any():
            return column, value
    column, value = there[0]
    raise InputError(
        f"{path}: no spot has '{value}' in column '{column}'; there are {_list(_texts(obs[column])[1], _SHOWN)}"
    )


def _is(column: pd.Series, value: str) -> npt.NDArray[np.bool_]:
    codes, texts = _texts(column)
    number = _number(value)
    same = [i for i, text in enumerate(texts) if text == value or (number is not None and _number(text) == number)]
    return np.isin(codes, same)


def _texts(column: pd.Series) -> tuple[Integers, list[str]]:
    """Give numbers to the values of a column, -1 where there is none, and give each as text, sorted."""
    codes, values = pd.factorize(column, use_na_sentinel=True)
    texts = [_text(value) for value in values]
    order = sorted(range(len(texts)), key=lambda i: (np.inf if (n := _number(texts[i])) is None else n, texts[i]))
    place = np.empty(len(texts) + 1, dtype=np.intp)
    place[order], place[-1] = np.arange(len(texts)), -1
    return place[codes], [texts[i] for i in order]


def _text(value: Any) -> str:
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _list(values: Any, most: int) -> str:
    texts = [str(value) for value in values]
    return ", ".join(texts[:most]) + (" …" if len(texts) > most else "")
