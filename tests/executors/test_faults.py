"""Whatever breaks, the other slices end well and a resumed run ends with the bytes of an undisturbed one."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

DOCKER = "test,docker"


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
    assert again.differences(undisturbed) == []
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
    assert resumed.differences(undisturbed) == []
    assert "CACHED" in {row["status"] for row in resumed.trace() if "PREPARE_SLICE" in row["name"]}


def test_full_disk_then_room_and_resumed(scratch, local) -> None:
    work = scratch.place("full") / "work"
    work.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "spotfuse", work], check=True)
    try:
        full = scratch.run("full", "test")
        assert full.status != 0
        assert "No space left on device" in full.output + (full.folder / ".nextflow.log").read_text()
        subprocess.run(["mount", "-o", "remount,size=2g", work], check=True)
        again = scratch.run("full", "test", "-resume")
        assert again.status == 0, again.output
        assert again.differences(local) == []
        assert again.failures() == {}
    finally:
        subprocess.run(["umount", "--lazy", work], check=True)


def test_lost_node(scratch, undisturbed) -> None:
    """A node goes down with all that runs on it; when it is back its tasks run again."""
    scratch.machine("slurm")
    folder = scratch.place("lost")
    process = scratch.start(folder, scratch.command(folder, "test,slurm,docker", settings=scratch.slurm))
    wait_for_command(process, folder, "/train.py")
    scratch.machine("lose")
    for entry in Path("/proc").iterdir():
        try:
            if folder / "work" in (entry / "cwd").readlink().parents:
                os.kill(int(entry.name), signal.SIGKILL)
        except OSError:
            continue
    time.sleep(40)  # more than SlurmdTimeout: the cluster gives the node up
    scratch.machine("slurmd")
    run = scratch.end(folder, process)
    assert run.status == 0, run.output
    assert "2" in {row["attempt"] for row in run.trace()}
    assert run.differences(undisturbed) == []
