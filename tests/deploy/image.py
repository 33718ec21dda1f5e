"""Builds the image and runs commands in it where no container engine can: `make image`.

`buildah` builds configs/docker/Dockerfile by `chroot`; where no registry of images answers, `debootstrap`
makes the base out of Debian's packages, whose Python is a 3.11, too. The image's file system, user and entry
point are real; network and process ids are this machine's. Needs root, buildah and debootstrap.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
STORE = ROOT / "var" / "image"
IMAGE = "localhost/smartstore-chatbot:0.2.0"
_BASE = "localhost/smartstore-base:bookworm"
_DEBIAN = "http://deb.debian.org/debian"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PACKAGES = "ca-certificates,python3,python3-venv,python3-pip"


def buildah(*arguments: str) -> list[str]:
    """The command line of buildah on this repository's own store of images."""
    return ["buildah", "--root", str(STORE / "store"), "--runroot", str(STORE / "run"), *arguments]


def is_built() -> bool:
    """Whether the image lies in the store."""
    if shutil.which("buildah") is None:
        return False
    return _succeeds("inspect", "--type", "image", IMAGE)


def build() -> None:
    """Builds the image; raises `CalledProcessError` where a step fails."""
    STORE.mkdir(parents=True, exist_ok=True)
    dockerfile = ROOT / "configs/docker/Dockerfile"
    _run("build", "--isolation", "chroot", *_base(dockerfile), *_pip_volumes(),
         "--file", str(dockerfile), "--tag", IMAGE, str(ROOT))  # fmt: skip


def _base(dockerfile: Path) -> list[str]:
    """Nothing where a registry has the Dockerfile's base, else the option that puts Debian's in its place."""
    name = next(
        line.split()[1] for line in dockerfile.read_text(encoding="utf-8").splitlines() if line[:5] == "FROM "
    )
    if _succeeds("pull", "--quiet", f"docker.io/library/{name}"):
        return []
    print(f"no registry has {name} for this machine: debootstrap makes the base", flush=True)
    if not _succeeds("inspect", "--type", "image", _BASE):
        _debian()
    return [f"--build-context={name}=container-image://{_BASE}"]


def _debian() -> None:
    with tempfile.TemporaryDirectory(dir=STORE) as folder:
        tree = Path(folder) / "tree"
        subprocess.run(
            ["debootstrap", "--variant=minbase", f"--include={_PACKAGES}", "bookworm", str(tree), _DEBIAN],
            check=True, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        (tree / "usr/local/bin/python").symlink_to("/usr/bin/python3")
        archive = Path(folder) / "tree.tar"
        subprocess.run(["tar", "-C", str(tree), "-cf", str(archive), "."], check=True)
        container = _run("from", "scratch")
        _run("add", "--quiet", container, str(archive), "/")
        _run(
            "config", "--env", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", container
        )
        _run("commit", "--quiet", "--rm", container, _BASE)


def _pip_volumes() -> list[str]:
    """Mounts of pip's own settings (index, certificates): the build finds the same packages."""
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], check=True, capture_output=True, text=True
    ).stdout
    values = {}
    for line in listed.splitlines():
        name, _, value = line.partition("=")
        values[name.rpartition(".")[2]] = value.strip("'")
    values.pop("constraint", None)
    settings = STORE / "pip.conf"
    settings.write_text("[global]\n" + "".join(f"{n} = {v}\n" for n, v in values.items()), encoding="utf-8")
    mounts = {f"{settings}:/etc/pip.conf"}
    for word in " ".join(values.values()).split():
        path = Path(word.removeprefix("file://"))
        if path.is_absolute() and path.exists():
            mounts.add(f"{path.parent}:{path.parent}")
    return [f"--volume={mount}:ro" for mount in sorted(mounts)]


def _run(*arguments: str) -> str:
    """What a buildah command printed; its errors go to the terminal."""
    return subprocess.run(buildah(*arguments), check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def _succeeds(*arguments: str) -> bool:
    """Whether a buildah command ends well; what it prints is dropped."""
    return subprocess.run(buildah(*arguments), capture_output=True).returncode == 0


class Container:
    """A container made of the image: one file system for all commands that run in it.

    Args:
        environment: variables of every command.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._name = ""
        self._environment = environment

    def __enter__(self) -> Container:
        self._name = _run("from", IMAGE)
        return self

    def __exit__(self, *exc: object) -> None:
        subprocess.run(buildah("rm", self._name), check=False, stdout=subprocess.DEVNULL)

    def command(self, *arguments: str) -> list[str]:
        """The command line that runs the image's entry point with `arguments`, as the image's user."""
        variables = [f"--env={name}={value}" for name, value in self._environment.items()]
        return buildah("run", "--isolation", "chroot", *variables, self._name, "--", "smartstore", *arguments)


if __name__ == "__main__":
    build()
