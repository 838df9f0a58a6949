"""A separate storage of images and containers for the suite, used by podman and buildah.

What is built stays in `build/image` for the next run; `make clean` removes it.
"""

import os
import resource
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.image.packages import lent_packages

ROOT = Path(__file__).resolve().parents[2]
DIRECTORY = ROOT / "build" / "image"
BASE = "localhost/nim-base:bookworm"
IMAGE = "localhost/nim:test"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"  # which Debian's own image sets, too
TOOLS = ("debootstrap", "buildah", "podman", "runc", "catatonit")
BUILD_SECONDS = 3000
# podman without systemd. Whoever lacks the right to raise limits cannot hand on more than its own.
CONF = """\
[containers]
default_ulimits = ["nofile={files}", "nproc={processes}"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "runc"
"""


@dataclass(frozen=True, slots=True)
class Storage:
    """An own storage below `directory`."""

    directory: Path = DIRECTORY

    @property
    def flags(self) -> list[str]:
        return [
            *("--root", str(self.directory / "root")),
            *("--runroot", str(self.directory / "run")),
            *("--storage-driver", "overlay"),
        ]

    @property
    def podman(self) -> list[str]:
        """Return podman's command, without systemd's timers for health checks.

        What watches a container leaves a file `oom` where podman was started, when that has happened.
        """
        told = (f"CONTAINERS_CONF={self.directory / 'containers.conf'}", "DISABLE_HC_SYSTEMD=true")
        return ["env", "--chdir", str(self.directory), *told, "podman", *self.flags]

    def configure(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        limits = {
            "files": _limit(resource.RLIMIT_NOFILE, 20_000),
            "processes": _limit(resource.RLIMIT_NPROC, 30_000),
        }
        (self.directory / "containers.conf").write_text(CONF.format(**limits), encoding="utf-8")

    def make_base(self) -> None:
        """Create a Debian root file system, for machines without a registry."""
        if self.has(BASE):
            return
        with tempfile.TemporaryDirectory(dir=self.directory) as work:
            system, archive = Path(work, "system"), Path(work, "system.tar")
            run("debootstrap", "--variant=minbase", "bookworm", str(system))
            with tarfile.open(archive, "w") as tar:
                tar.add(system, arcname=".")
            run(*self.podman, "import", "--change", f"ENV PATH={PATH}", str(archive), BASE)

    def build(self) -> None:
        """Run `make image` on the base; unchanged layers are not built again."""
        with tempfile.TemporaryDirectory() as work, lent_packages(Path(work)) as packages:
            told = {
                "BUILDER": " ".join(["buildah", *self.flags]),
                "BUILD_OPTIONS": "--isolation chroot",
                "BASE": BASE,
                "TAG": IMAGE,
                "ENGINE": "cpu",
                **packages,
            }
            run("make", "-C", str(ROOT), "image", env={**os.environ, **told})

    def has(self, image: str) -> bool:
        return subprocess.run([*self.podman, "image", "exists", image], check=False).returncode == 0

    def let_go(self) -> None:
        """Unmount what podman keeps mounted, so that the storage can be removed."""
        subprocess.run(["umount", str(self.directory / "root" / "overlay")], capture_output=True, check=False)


def _limit(kind: int, most: int) -> str:
    hard = resource.getrlimit(kind)[1]
    least = most if hard == resource.RLIM_INFINITY else min(hard, most)
    return f"{least}:{least}"


def run(*command: str, env: dict[str, str] | None = None, seconds: float = BUILD_SECONDS) -> str:
    """Return what it printed; a failure shows the end of it."""
    done = subprocess.run(
        command,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert done.returncode == 0, f"{command[0]} ended with {done.returncode}:\n{done.stdout[-6000:]}"
    return done.stdout
