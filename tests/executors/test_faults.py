"""Whatever breaks, the other slices end well and a resumed run ends with the bytes of an undisturbed one."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

DOCKER = "test,docker"


def differences(one: dict[str, bytes], other: dict[str, bytes]) -> list[str]:
    return sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))


def attempts(run, step: str, sample: str) -> list[tuple[str, str]]:
    rows = [row for row in run.trace() if row["name"].endswith(f"{step} ({sample})")]
    return [(row["status"], row["exit"]) for row in rows]


def wait_for_command(process: "subprocess.Popen[str]", folder: Path, *words: str) -> int:
    """The process of a step, as soon as it works; asks this machine, which sees into containers."""
    deadline = time.monotonic() + 600
    while time.monotonic() < deadline and process.poll() is None:
        for entry in Path("/proc").iterdir():
            try:
                here = (entry / "cwd").readlink().is_relative_to(folder)
                line = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if (
                here
                and line[0].startswith(b"python")
                and all(any(word.encode() in part for part in line) for word in words)
            ):
                return int(entry.name)
        time.sleep(0.05)
    raise AssertionError(f"no process {words}")


@pytest.fixture(scope="module")
def broken(scratch, undisturbed):
    """One slice's training never gets the memory it needs, another's gets it late, the third's is killed once."""
    settings = """process { withName: TRAIN {
        memory = { meta.id == 'cortex' || meta.id == 'starmap_right' && task.attempt == 1 ? 200.MB : 4.GB }
    } }
"""
    folder = scratch.place("broken", 1000)
    process = scratch.start(folder, scratch.command(folder, DOCKER, settings=settings), 1000)
    os.kill(wait_for_command(process, folder, "/train.py", "starmap_left"), signal.SIGKILL)
    return scratch.end(folder, process)


@pytest.mark.parametrize("sample", ["starmap_left", "starmap_right"])
def test_killed_or_out_of_memory_runs_again(broken, undisturbed, sample: str) -> None:
    assert attempts(broken, "TRAIN", sample) == [("FAILED", "137"), ("COMPLETED", "0")]
    kept = {name: table for name, table in broken.tables().items() if sample in name}
    assert kept == {name: table for name, table in undisturbed.tables().items() if sample in name}


def test_out_of_memory_gives_up_that_slice_alone(broken) -> None:
    assert broken.status == 1
    assert attempts(broken, "TRAIN", "cortex") == [("FAILED", "137")] * 3
    assert broken.failures() == {"cortex": "train"}


def test_resume_ends_as_if_nothing_had_been(scratch, broken, undisturbed) -> None:
    again = scratch.run("broken", DOCKER, "-resume", user=1000)
    assert again.status == 0, again.output
    assert differences(again.tables(), undisturbed.tables()) == []
    assert {row["status"] for row in again.trace() if "starmap" in row["name"]} <= {"CACHED"}
    assert again.failures() == {}


def test_second_run_refused_first_interrupted_then_resumed(scratch, undisturbed) -> None:
    folder = scratch.place("interrupted", 1000)
    first = scratch.start(folder, scratch.command(folder, DOCKER), 1000)
    wait_for_command(first, folder, "/train.py")
    second = scratch.run("interrupted", DOCKER, "-resume", user=1000)
    assert second.status != 0
    assert "Unable to acquire lock" in second.output
    assert first.poll() is None
    first.send_signal(signal.SIGINT)
    assert first.wait(timeout=120) != 0
    resumed = scratch.run("interrupted", DOCKER, "-resume", user=1000)
    assert resumed.status == 0, resumed.output
    assert differences(resumed.tables(), undisturbed.tables()) == []
    assert "CACHED" in {row["status"] for row in resumed.trace() if "PREPARE_SLICE" in row["name"]}
