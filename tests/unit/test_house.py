"""How the package is built: which room may import which, what its messages say, and what its front door costs."""

import ast
import dataclasses
import inspect
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
import spotfuse as sf
from spotfuse.pipeline import command_line

BIN = Path(__file__).resolve().parents[2] / "bin"
# a room imports itself and those before it
ROOMS = (
    *("_core", "io", "metrics", "preparation", "embedding", "domains", "proportions", "patterns", "group", "cohort"),
    "report",
)
DOORS = {"__init__", "_facade", "pl", "plot", "pp", "spatialfusion", "tl"}
COMMANDS = ("pipeline", "__main__")
MODULES = sorted((BIN / "spotfuse").rglob("*.py"))


def room_of(path: Path) -> str:
    inside = path.relative_to(BIN / "spotfuse").parts
    return inside[0] if len(inside) > 1 else path.stem


def imported(path: Path) -> Iterator[str]:
    """Give the rooms that a module imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            package, *inside = name.split(".")
            if package == "spotfuse" and inside and inside != ["__version__"]:
                yield inside[0]


def test_every_room_is_known() -> None:
    assert {room_of(path) for path in MODULES} == {*ROOMS, *DOORS, *COMMANDS}


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_those_before_it(room: str) -> None:
    allowed = set(ROOMS[: ROOMS.index(room) + 1])
    for path in MODULES:
        if room_of(path) == room:
            assert set(imported(path)) <= allowed, path


def test_no_door_imports_the_pipeline() -> None:
    for path in MODULES:
        if room_of(path) in DOORS:
            assert not set(imported(path)) & set(COMMANDS), path


def test_what_is_private_to_a_room_stays_there() -> None:
    for path in MODULES:
        own = room_of(path)
        for room, private in re.findall(
            r"spotfuse\.([a-z]+)(?:\.[a-z_]+)*(?:\.| import )(_[a-z]\w*)", path.read_text()
        ):
            assert room == own, f"{path} takes {private} of {room}"


def test_tests_stand_in_the_packages_tree() -> None:
    inside = {path.parent.relative_to(BIN / "spotfuse").parts[:1] for path in MODULES} - {()}
    assert {(path.parent.name,) for path in Path(__file__).parent.glob("*/test_*.py")} == inside


def test_a_stages_settings_are_frozen_and_each_is_told() -> None:
    stages = ("preparation", "embedding", "domains", "proportions", "patterns", "group", "cohort")
    found = [import_module(f"spotfuse.{room}").Settings() for room in stages]
    found += [part for settings in found for part in vars(settings).values() if dataclasses.is_dataclass(part)]
    assert len(found) == len(stages) + 6
    for settings in found:
        told = re.findall(r"^(\w[\w, ]*)$", inspect.getdoc(settings), re.M)
        names = [field.name for field in dataclasses.fields(settings)]
        assert [name for line in told if line != "Attributes" for name in line.split(", ")] == names
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(settings, names[0], 0)
        with pytest.raises(TypeError, match="unexpected keyword argument 'no_such_setting'"):
            type(settings)(no_such_setting=1)


def said(path: Path) -> Iterator[str]:
    """Give the texts of a module's errors, notes and log lines."""
    speaks = {"InputError", "MachineError", "append", "warning", "info", "error", "refuse"}
    for node in ast.walk(ast.parse(path.read_text())):
        called = getattr(node, "func", None)
        name = getattr(called, "attr", getattr(called, "id", None))
        if isinstance(node, ast.Raise) or name in speaks:
            for part in ast.walk(node):
                if isinstance(part, ast.Constant) and isinstance(part.value, str):
                    yield part.value


def test_the_librarys_messages_name_arguments_and_no_options() -> None:
    """The command line turns them into its own (`pipeline.command_line.in_options`)."""
    options = [
        (str(path), text)
        for path in MODULES
        if room_of(path) not in COMMANDS
        for text in said(path)
        if re.search(r"(^|[\s`']|(?<!var)\()--[a-z]", text)  # var(--ink) is a colour
    ]
    assert options == []


def test_commands_say_them_in_their_own_words() -> None:
    names = ("sample", "frame", "layer", "spatial_key")
    said = {
        "frame='transport' finds one,\n frame='own' none": "--frame transport finds one, --frame own none",
        "name the one as spatial_key": "name the one in the sheet's column spatial_key (--spatial-key)",
        "name it as symbol_column, not='this'": "name it as symbol_column, not='this'",
    }
    for told, expected in said.items():
        assert command_line.in_options(told, names) == expected


def loaded(code: str, *names: str) -> set[str]:
    """Give which of some modules a program has imported at its end."""
    program = f"import sys; {code}; print(*({set(names)} & set(sys.modules)))"
    run = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONPATH": str(BIN)},
        capture_output=True,
        text=True,
        check=True,
    )
    return set(run.stdout.split())


def test_the_front_door_is_light() -> None:
    heavy = ("anndata", "matplotlib", "numpy", "pandas", "scanpy", "scipy", "sklearn", "torch")
    assert loaded("import spotfuse; dir(spotfuse); spotfuse.InputError", *heavy) == set()
    assert loaded("import spotfuse.embedding, spotfuse.proportions", *heavy) == set()
    assert loaded("import spotfuse; spotfuse.read; spotfuse.pp; spotfuse.tl", "scanpy", "torch", "matplotlib") == set()


def test_all_that_is_offered_is_shown_and_told() -> None:
    shown = [name for name in dir(sf) if not name.startswith("_")]
    assert shown == sorted(name for name in sf.__all__ if not name.startswith("_"))
    assert all(getattr(sf, name).__doc__ for name in shown)
    assert {"read", "pp", "tl", "pl", "metrics", "report"} <= set(shown)
    assert {"qc", "prepare"} <= set(dir(sf.pp)) and {"embed", "domains", "join"} <= set(dir(sf.tl))
    for module in (sf.pp, sf.tl):
        assert all(
            f"{module.__name__.removeprefix('spotfuse.')}" in sf.__doc__ and name in sf.__doc__
            for name in module.__all__
        )
        for name in module.__all__:
            told = getattr(module, name).__doc__
            assert all(part in told for part in ("Parameters\n", "Returns\n", "Raises\n", "Examples\n")), name
    with pytest.raises(AttributeError, match="module 'spotfuse' has no attribute 'nothing'"):
        sf.nothing  # noqa: B018


def test_waiting_threads_leave_a_busy_machine_alone() -> None:
    program = "import os, spotfuse; print(os.environ['OMP_WAIT_POLICY'])"
    for given, expected in (({}, "PASSIVE"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE")):
        env = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
        run = subprocess.run(
            [sys.executable, "-c", program],
            env=env | given | {"PYTHONPATH": str(BIN)},
            capture_output=True,
            text=True,
            check=True,
        )
        assert run.stdout.strip() == expected
