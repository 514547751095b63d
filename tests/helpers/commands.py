"""The pipeline's commands, without the start of another interpreter."""

import argparse
import contextlib
import importlib
from pathlib import Path


def run(folder: Path, step: str, *options: object, sample: str = "S", threads: int = 1) -> None:
    """Do what a command does, in a folder, which is made if need be."""
    command = importlib.import_module(step)
    parser = argparse.ArgumentParser()
    command.arguments(parser)
    args = parser.parse_args(list(map(str, options)))
    args.sample, args.threads = sample, threads
    folder.mkdir(exist_ok=True)
    with contextlib.chdir(folder):
        command.main(args)
