"""What an image is: small, pinned, and content with little."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Images = Callable[[str], str]


def inside(image: str, *command: str) -> str:
    run = ["docker", "run", "--rm", "--network", "none", "--read-only", "--cap-drop", "ALL", image]
    return subprocess.run([*run, *command], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


@pytest.mark.parametrize("name", ["core", "cuda"])
def test_ordinary_user_and_labels(images: Images, name: str) -> None:
    assert inside(images(name), "id", "-u") == "1000"
    version = images(name).rpartition(":")[2]
    label = '{{index .Config.Labels "org.opencontainers.image.version"}}'
    show = subprocess.run(["docker", "inspect", "--format", label, images(name)], check=True, stdout=-1, text=True)
    assert show.stdout.strip() == version


@pytest.mark.parametrize("name", ["core", "cuda"])
def test_holds_exactly_the_pinned_packages(images: Images, root: Path, name: str) -> None:
    listing = "import importlib.metadata as m; print(*{f'{d.name}=={d.version}' for d in m.distributions()}, sep='\\n')"
    held = {canonical(line) for line in inside(images(name), "python", "-c", listing).splitlines()}
    files = ["core"] if name == "core" else ["core", "cuda"]
    pinned = {canonical(line) for f in files for line in (root / f"containers/{f}/requirements.txt").open()}
    assert held == pinned


def canonical(pin: str) -> str:
    name, _, version = pin.strip().partition("==")
    return f"{name.lower().replace('_', '-').replace('.', '-')}=={version.partition('+')[0]}"


def test_sizes(images: Images) -> None:
    for name, limit in (("core", 1.0e9), ("cuda", 6.0e9)):
        show = subprocess.run(["docker", "inspect", "--format", "{{.Size}}", images(name)], check=True, stdout=-1)
        assert int(show.stdout) < limit, name
