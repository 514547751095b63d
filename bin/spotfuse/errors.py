"""What a user can put right."""


class InputError(ValueError):
    """Something is wrong with what the user gave.

    The message is one line that names the file, row or column, says what is wrong and what to do. Commands print it
    and exit with status 2.
    """
