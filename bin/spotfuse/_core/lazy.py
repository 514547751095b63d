"""What a package offers, loaded when it is first asked for: who needs one thing does not wait for all the others."""

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def lazily(package: str, homes: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Give a package's ``__getattr__`` and ``__dir__``.

    Parameters
    ----------
    package
        Its ``__name__``.
    homes
        For each public name the module that has it, and after a colon what it is called there if not the same; the
        name's own module where it is one.

    Returns
    -------
    getter, lister
        As Python asks a module for them (PEP 562). The lister names what is public, so that tab completion shows no
        more and no less.
    """

    def load(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        home, _, called = homes[name].partition(":")
        module = import_module(home)
        return module if home == f"{package}.{name}" else getattr(module, called or name)

    def listed() -> list[str]:
        return sorted({*homes, *(name for name in vars(sys.modules[package]) if name.startswith("__"))})

    return load, listed
