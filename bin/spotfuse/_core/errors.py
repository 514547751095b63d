"""What a user can put right, in the input or on the machine."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager


class InputError(ValueError):
    """Something is wrong with what the user gave.

    The message is one line that names the file, row or column, says what is wrong and what to do. Commands print it
    and exit with status 2.
    """


class MachineError(InputError):
    """What the user gave cannot be used here and now: a library, a device, memory or a permission is missing.

    It may work next time, or elsewhere, so the pipeline keeps no such answer. Commands exit with status 1.
    """


@contextmanager
def collected(problems: list[str]) -> Iterator[None]:
    """Note what is refused within, and go on; what the machine lacks ends it.

    Parameters
    ----------
    problems
        Grows by a line.
    """
    try:
        yield
    except MachineError:
        raise
    except InputError as error:
        problems.append(str(error))


_OF_MACHINE = {
    *(errno.EACCES, errno.EPERM, errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.ESTALE, errno.ETIMEDOUT),
    *(errno.EMFILE, errno.ENFILE, errno.ENOMEM),
}


def of_machine(error: BaseException) -> bool:
    """Tell an error that the machine's state made from one that a file's content made.

    Parameters
    ----------
    error
        What was raised while a file was read; libraries raise OSError for both.

    Returns
    -------
    bool
    """
    return isinstance(error, ImportError) or (isinstance(error, OSError) and error.errno in _OF_MACHINE)
