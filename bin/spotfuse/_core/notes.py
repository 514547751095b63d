"""What people are told of their input: a list of lines that are never long."""

from collections.abc import Iterable
from typing import Self

LONGEST = 300  # characters of a note
_ROOM = 180  # for what is listed in one


class Notes(list[str]):
    """Notes on what was put right, each of 300 characters at most."""

    def append(self, note: str) -> None:
        """Add a note; of one that is too long, the words that there is room for.

        Parameters
        ----------
        note
            A line.
        """
        if len(note) > LONGEST:
            note = note[: LONGEST - 1].rpartition(" ")[0][: LONGEST - 2] + " …"
        super().append(note)

    def __iadd__(self, notes: Iterable[str]) -> Self:  # type: ignore[override,misc]
        """Add several."""
        for note in notes:
            self.append(note)
        return self


def listed(names: Iterable[object]) -> str:
    """Join names by commas, as many as a note has room for.

    Parameters
    ----------
    names
        What is listed.

    Returns
    -------
    ``a, b, c``, or ``a, b … and 7 more``.
    """
    words = list(map(str, names))
    room, shown = _ROOM, 0
    while shown < len(words) and (room := room - len(words[shown]) - 2) > 0:
        shown += 1
    if shown == len(words):
        return ", ".join(words)
    first = words[:shown] or [words[0][:_ROOM] + "…"]
    return ", ".join(first) + (f" … and {len(words) - len(first)} more" if len(words) > len(first) else "")
