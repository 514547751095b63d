"""Names that a user gave domains: the report's table, handed back by the sheet's column ``domain_names``."""

from pathlib import Path

from spotfuse import io
from spotfuse._core.errors import InputError


def read(path: Path) -> dict[str, str]:
    """Read a table of domain and name.

    Parameters
    ----------
    path
        A .csv, .tsv or .txt file, plain or .gz, as the slice's report saves it.

    Returns
    -------
    Name by the domain's number.

    Raises
    ------
    InputError
        When it is no such table.
    """
    table = io.read_table(path, row="domain")
    strange = [str(domain) for domain in table.index if not (str(domain).isdecimal() and int(domain) > 0)]
    if strange:
        raise InputError(f"{path}: '{strange[0]}' is no domain; its first column has their numbers, from 1 on")
    names = {str(int(domain)): str(name).strip() for domain, name in table.iloc[:, 0].items()}
    return {domain: name for domain, name in names.items() if name}
