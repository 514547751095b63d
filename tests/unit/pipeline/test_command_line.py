import json
import subprocess
import sys
from pathlib import Path

import pytest

BIN = Path(__file__).resolve().parents[3] / "bin"
COMMAND = """
import sys
from pathlib import Path
sys.path.insert(0, {bin!r})
from spotfuse._core.errors import InputError, MachineError
from spotfuse.pipeline import command_line

def main(args):
    Path("half.tsv").write_text("half")
    Path("folder").mkdir()
    Path("folder/half.tsv").write_text("half")
    raise {error}

command_line.run("step", "Help.", lambda parser: None, main)
"""


def run(folder: Path, error: str, *options: str) -> subprocess.CompletedProcess[str]:
    folder.mkdir(exist_ok=True)
    (folder / "given.tsv").write_text("given")
    code = COMMAND.format(bin=str(BIN), error=error)
    command = [sys.executable, "-c", code, "--sample", "A", *options]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("error", "exit_status", "said"),
    [
        ("InputError('no such\\ncolumn')", 2, "A: step: no such column\n"),
        ("KeyError('x')", 1, "A: step: unexpected error (KeyError: 'x'); please report it; --debug shows where\n"),
        (
            "FileNotFoundError(2, 'No such file', 'x')",
            1,
            "A: step: a file, the disk or a library is not as it should be "
            "(FileNotFoundError: [Errno 2] No such file: 'x')\n",
        ),
        ("MachineError('no R')", 1, "A: step: no R\n"),
        ("MemoryError()", 137, "A: step: out of memory; give the step more\n"),
        ("RuntimeError('CUDA out of memory.')", 137, "A: step: out of memory; give the step more\n"),
    ],
)
def test_an_error_is_one_line_and_an_exit_status(tmp_path: Path, error: str, exit_status: int, said: str) -> None:
    done = run(tmp_path, error)
    assert (done.returncode, done.stderr) == (exit_status, said)


@pytest.mark.parametrize("error", ["KeyError('x')", "InputError('no such column')"])
def test_debug_shows_the_traceback_and_tells_all_else_the_same(tmp_path: Path, error: str) -> None:
    plain, shown = run(tmp_path / "plain", error), run(tmp_path / "shown", error, "--debug")
    assert shown.stderr.startswith("Traceback") and shown.stderr.endswith("\n" + plain.stderr)
    assert shown.returncode == plain.returncode
    run(tmp_path / "noted", error, "--debug", "--status", "A.step.status.json")
    note = json.loads((tmp_path / "noted/A.step.status.json").read_text())
    assert note["failure"] in plain.stderr and note["traceback"] in shown.stderr


def test_a_step_of_several_slices_takes_of_each_its_part_of_the_time(tmp_path: Path) -> None:
    slow = "__import__('time').sleep(0.3) or InputError('x')"
    seconds = []
    for n_slices in ("1", "1000"):
        run(tmp_path / n_slices, slow, "--status", "A.step.status.json", "--shared-by", n_slices)
        seconds.append(json.loads((tmp_path / n_slices / "A.step.status.json").read_text())["seconds"])
    assert seconds[0] >= 0.3 and seconds[1] < 0.3


def test_a_defect_is_noted_and_leaves_nothing_half_done(tmp_path: Path) -> None:
    done = run(tmp_path, "KeyError('x')", "--status", "A.step.status.json")
    assert done.returncode == 0
    note = json.loads((tmp_path / "A.step.status.json").read_text())
    assert note["failure"].startswith("unexpected error (KeyError: 'x')")
    assert note["versions"].keys() >= {"python", "spotfuse"} and "traceback" not in note
    assert {path.name for path in tmp_path.iterdir()} == {"given.tsv", "A.step.status.json"}


@pytest.mark.parametrize("error", ["OSError(28, 'No space left on device')", "ImportError('x')"])
def test_what_the_machine_lacks_now_is_no_answer_to_keep(tmp_path: Path, error: str) -> None:
    done = run(tmp_path, error, "--status", "A.step.status.json")
    note = json.loads((tmp_path / "A.step.status.json").read_text())
    assert done.returncode == 0 and note["again"] and error.split("(")[0] in note["failure"]
    assert not (tmp_path / "half.tsv").exists()


def test_without_memory_or_room_for_a_note_the_step_fails(tmp_path: Path) -> None:
    assert run(tmp_path, "MemoryError()", "--status", "A.step.status.json").returncode == 137
    done = run(tmp_path, "OSError(28, 'No space left on device')", "--status", "gone/A.step.status.json")
    assert done.returncode == 1 and "gone/A.step.status.json cannot be written" in done.stderr
