"""What all commands in ``bin/`` share: options, threads, errors, and the note of how the step went."""

import argparse
import contextlib
import importlib.metadata
import json
import logging
import os
import platform
import re
import resource
import shlex
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from spotfuse import __version__
from spotfuse._core.errors import InputError, MachineError

OUT_OF_MEMORY = 137  # what the kernel's killer leaves, so that Nextflow gives the next attempt more
_DISTRIBUTIONS = {  # of the modules whose versions matter
    "anndata": "anndata",
    "cupy": "cupy-cuda13x",
    "jinja2": "jinja2",
    "numpy": "numpy",
    "ot": "pot",
    "pandas": "pandas",
    "rpy2": "rpy2",
    "scipy": "scipy",
    "sklearn": "scikit-learn",
    "torch": "torch",
    "torch_geometric": "torch-geometric",
}

Arguments = Callable[[argparse.ArgumentParser], None]
Main = Callable[[argparse.Namespace], None]


_CHOICE = ("platform", "hd_bin_size", "section", "layer", "spatial_key", "symbol_column")


def choice_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say how a slice is read where its files leave a choice.

    Parameters
    ----------
    parser
        Grows by them; `choice_of` gives them as `spotfuse.io.read_slice` takes them.
    """
    parser.add_argument("--platform", default="auto", help="what made the slice (default: what its files tell)")
    parser.add_argument("--hd-bin-size", type=int, default=8, help="Visium HD: width of the bins in µm (default 8)")
    parser.add_argument("--section", help="column:value of obs, where a file holds several sections: which of them")
    parser.add_argument("--layer", help="the layer of h5ad or zarr that has the counts (default: found)")
    parser.add_argument("--spatial-key", help="what has the coordinates in obsm (default: found)")
    parser.add_argument("--symbol-column", help="the column of var with the genes' symbols (default: found)")


def choice_of(args: argparse.Namespace) -> dict[str, Any]:
    """Give what `choice_options` added as `spotfuse.io.read_slice` takes it.

    Parameters
    ----------
    args
        The command's options.

    Returns
    -------
    dict
    """
    return {name: getattr(args, name) for name in _CHOICE}


def number_of_domains(text: str) -> int | None:
    """Read how many domains are wanted.

    Parameters
    ----------
    text
        A whole number, or auto.

    Returns
    -------
    None for auto.

    Raises
    ------
    InputError
        For anything else.
    """
    try:
        return None if text == "auto" else int(text)
    except ValueError:
        raise InputError(f"--n-domains {text}: take a whole number or auto") from None


def in_options(message: str, names: Iterable[str]) -> str:
    """Say what the library says of its arguments of the command's options, and of the sheet's columns, in one line.

    Parameters
    ----------
    message
        The library's: ``name='value'`` asks for an argument, ``as name`` for one that says how a slice is read.
    names
        Of the command's options, as arguments.

    Returns
    -------
    The line: ``--name value``, and ``in the sheet's column name (--name)``.
    """

    def option(name: str) -> str:
        return f"--{name.replace('_', '-')}"

    known = set(names)
    line = re.sub(
        r"\b([a-z_]+)='([^' ]+)'",
        lambda found: f"{option(found[1])} {found[2]}" if found[1] in known else found[0],
        " ".join(message.split()),
    )
    columns = "|".join(known.intersection(_CHOICE)) or "(?!)"
    return re.sub(rf"\bas ({columns})\b", lambda found: f"in the sheet's column {found[1]} ({option(found[1])})", line)


def run(step: str, doc: str | None, arguments: Arguments, main: Main) -> None:
    """Run one command and exit with 0, 2 (user's input), 137 (out of memory) or 1 (a defect, or the machine's state).

    With ``--status`` all but memory ends with 0: the note says what was wrong, and the other slices go on. What the
    machine lacked it may have next time, so that the note also says that the step is to run ``again``.
    Libraries that start threads must be imported inside `main`, after the thread count is set here.

    Parameters
    ----------
    step
        Name of the pipeline's step.
    doc
        Help text.
    arguments
        Adds the command's own options to a parser.
    main
        Does the work; writes its results into the current directory.
    """
    parser = argparse.ArgumentParser(prog=f"{step}.py", description=doc, allow_abbrev=False)
    parser.add_argument("--sample", required=True, help="name of the slice, for messages and notes")
    parser.add_argument("--threads", type=int, default=1, help="threads to use (default 1)")
    parser.add_argument(
        "--status",
        type=Path,
        help="write seconds, memory, versions and, instead of exiting with 2, why it refused to this JSON file",
    )
    parser.add_argument(
        "--shared-by",
        type=int,
        default=1,
        help="slices whose step this is: each bears its part of the time (default 1)",
    )
    parser.add_argument(
        "--debug",
        action="store_true",
        default=os.environ.get("SPOTFUSE_DEBUG") == "true",
        help="show the traceback of an error (default: what SPOTFUSE_DEBUG says)",
    )
    arguments(parser)
    args = parser.parse_args()

    for library in ("OMP", "MKL", "OPENBLAS"):
        os.environ[f"{library}_NUM_THREADS"] = str(args.threads)
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"  # threads that wait by spinning take a busy machine from the others
    os.environ["TMPDIR"] = tempfile.gettempdir()  # R looks no further than /tmp, which a read-only image lacks
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    logging.getLogger("rpy2").setLevel(logging.WARNING)  # where R was found is no news of the slice

    start = time.perf_counter()
    before = set(Path().iterdir())
    failure = None
    exit_status = 0
    told: dict[str, Any] = {}
    again = False
    try:
        main(args)
    except InputError as error:
        told = _traceback(args.debug)
        failure = in_options(str(error), vars(args))
        again = isinstance(error, MachineError)
        exit_status = 1 if again else 2
    except Exception as error:  # noqa: BLE001 -- a defect is told like a refusal
        told = _traceback(args.debug)
        if _is_out_of_memory(error):
            print(f"{args.sample}: {step}: out of memory; give the step more", file=sys.stderr)
            sys.exit(OUT_OF_MEMORY)
        where = f"{type(error).__name__}: {' '.join(str(error).split())}"
        again = isinstance(error, OSError | ImportError)
        failure = (
            f"a file, the disk or a library is not as it should be ({where})"
            if again
            else f"unexpected error ({where}); please report it; --debug shows where"
        )
        exit_status = 1
    if failure:
        print(f"{args.sample}: {step}: {failure}", file=sys.stderr)
    if args.status is None:
        sys.exit(exit_status)
    if exit_status == 1:
        _discard(before)
    told |= {"again": True} if again else {}
    try:
        write_status(args.status, args.sample, step, (time.perf_counter() - start) / args.shared_by, failure, **told)
    except OSError as error:  # a full disk
        print(f"{args.sample}: {step}: {args.status} cannot be written ({error})", file=sys.stderr)
        sys.exit(1)


def _is_out_of_memory(error: Exception) -> bool:
    # torch raises RuntimeError on the CPU and its own OutOfMemoryError, a RuntimeError, on CUDA
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and ("out of memory" in str(error) or "can't allocate memory" in str(error))
    )


def _discard(before: set[Path]) -> None:
    """Take away what a command that broke down half way has written: the next step must not take it for a result."""
    for path in set(Path().iterdir()) - before:
        if path.name.startswith("."):  # the launcher's, not the command's
            continue
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def _traceback(debug: bool) -> dict[str, str]:
    """Show where the error that is being handled comes from, if asked to; and tell it as a note does."""
    if not debug:
        return {}
    traceback.print_exc()
    return {"traceback": traceback.format_exc()}


def write_status(path: Path, sample: str, step: str, seconds: float, failure: str | None, **told: Any) -> None:
    """Write the note of how a step went: what it failed with, time and memory, versions, and the command."""
    note = (
        {
            "sample": sample,
            "step": step,
            "failure": failure,
            "seconds": round(seconds, 2),
            "processor_seconds": round(sum(os.times()[:4]), 2),  # user and system, own and children's
            "peak_rss_mb": round(_peak_rss()),
            "modules": len(sys.modules),
            "versions": _versions(),
            "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        }
        | told
    )
    path.write_text(json.dumps(note) + "\n")


def _peak_rss() -> float:
    """Megabytes at most held in memory; getrusage tells the parent's where that held more, so Linux is asked itself."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _versions() -> dict[str, str]:
    loaded = [name for name in _DISTRIBUTIONS if name in sys.modules]
    versions = {"python": platform.python_version(), "spotfuse": __version__}
    versions |= {_DISTRIBUTIONS[name]: importlib.metadata.version(_DISTRIBUTIONS[name]) for name in loaded}
    if "rpy2.robjects" in sys.modules:
        r = sys.modules["rpy2.robjects"].r
        versions["R"] = ".".join([r("R.version$major")[0], r("R.version$minor")[0]])
        versions["mclust"] = r('as.character(packageVersion("mclust"))')[0]
    return versions
