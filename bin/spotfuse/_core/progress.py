"""What the package logs, shown to who calls it from a notebook or a terminal and has set up no logging."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager


class _Line(logging.Handler):
    """One line that each message is written over; warnings go where they would go without it."""

    _length = 0

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno > logging.INFO:
            self.leave()
            logging.getLogger().callHandlers(record)
            return
        text = record.getMessage()
        sys.stderr.write(f"\r{text.ljust(self._length)}")
        sys.stderr.flush()
        self._length = len(text)

    def leave(self) -> None:
        """End the line."""
        if self._length:
            sys.stderr.write("\n")
        self._length = 0


@contextmanager
def shown() -> Iterator[None]:
    """Show how far the work within is.

    Nothing is shown where standard error goes to a file, where messages of this level are logged anyhow, and where the
    logger ``spotfuse`` has a level of its own: ``logging.getLogger("spotfuse").setLevel("WARNING")`` is quiet.
    """
    log = logging.getLogger("spotfuse")
    watched = sys.stderr is not None and (sys.stderr.isatty() or "ipykernel" in sys.modules)
    if not watched or log.level != logging.NOTSET or log.isEnabledFor(logging.INFO):
        yield
        return
    line, propagate = _Line(), log.propagate
    log.addHandler(line)
    log.setLevel(logging.INFO)
    log.propagate = False
    try:
        yield
    finally:
        line.leave()
        log.removeHandler(line)
        log.setLevel(logging.NOTSET)
        log.propagate = propagate
