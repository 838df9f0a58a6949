"""Facts of the host, from composed /proc and /sys trees and from this machine."""

import os
from pathlib import Path

import pytest

from nim.hardware.read_host_limits import (
    cpu_quota,
    memory_limit,
    read_host,
    read_meminfo,
    shm_size,
    usable_cpus,
)

V1_UNLIMITED = "9223372036854771712\n"


def tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_meminfo_is_bytes(tmp_path: Path) -> None:
    root = tree(
        tmp_path, {"proc/meminfo": "MemTotal:  100 kB\nMemAvailable: 40 kB\nHugePages_Total: 3\nodd\n"}
    )
    assert read_meminfo(root) == {"MemTotal": 102400, "MemAvailable": 40960, "HugePages_Total": 3}


def test_version_2_takes_the_least_on_the_way_up(tmp_path: Path) -> None:
    root = tree(
        tmp_path,
        {
            "proc/self/cgroup": "0::/kubepods/pod1/box\n",
            "sys/fs/cgroup/kubepods/pod1/box/memory.max": "max\n",
            "sys/fs/cgroup/kubepods/pod1/memory.max": "8589934592\n",
            "sys/fs/cgroup/kubepods/memory.max": "99999999999\n",
            "sys/fs/cgroup/kubepods/pod1/box/cpu.max": "150000 100000\n",
            "sys/fs/cgroup/kubepods/pod1/cpu.max": "max 100000\n",
            "sys/fs/cgroup/kubepods/cpu.max": "400000 100000\n",
        },
    )
    assert memory_limit(root) == 8589934592
    assert cpu_quota(root) == 1.5


def test_version_2_in_a_container_is_the_mount_itself(tmp_path: Path) -> None:
    root = tree(
        tmp_path,
        {
            "proc/self/cgroup": "0::/\n",
            "sys/fs/cgroup/memory.max": "4096000\n",
            "sys/fs/cgroup/cpu.max": "50000 100000\n",
        },
    )
    assert (memory_limit(root), cpu_quota(root)) == (4096000, 0.5)


@pytest.mark.parametrize("path", ["/../../other", "/not/mounted/here"])
def test_a_path_that_is_the_hosts_falls_back_to_the_mount(tmp_path: Path, path: str) -> None:
    root = tree(tmp_path, {"proc/self/cgroup": f"0::{path}\n", "sys/fs/cgroup/memory.max": "4096000\n"})
    assert memory_limit(root) == 4096000


V1_LINES = "5:memory:/docker/abc\n2:cpu,cpuacct:/docker/abc\n1:name=systemd:/\n0::/\n"


def test_version_1(tmp_path: Path) -> None:
    root = tree(
        tmp_path,
        {
            "proc/self/cgroup": V1_LINES,
            "sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes": "2147483648\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": V1_UNLIMITED,
            "sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_quota_us": "250000\n",
            "sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_period_us": "100000\n",
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "-1\n",
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
        },
    )
    assert (memory_limit(root), cpu_quota(root)) == (2147483648, 2.5)


def test_version_1_in_a_container_is_the_mount_itself(tmp_path: Path) -> None:
    root = tree(
        tmp_path,
        {"proc/self/cgroup": V1_LINES, "sys/fs/cgroup/memory/memory.limit_in_bytes": "1073741824\n"},
    )
    assert memory_limit(root) == 1073741824


def test_both_versions_side_by_side(tmp_path: Path) -> None:
    root = tree(
        tmp_path,
        {
            "proc/self/cgroup": "4:memory:/a\n0::/a\n",
            "sys/fs/cgroup/unified/a/cpu.max": "300000 100000\n",
            "sys/fs/cgroup/memory/a/memory.limit_in_bytes": "1073741824\n",
        },
    )
    assert (memory_limit(root), cpu_quota(root)) == (1073741824, 3.0)


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"sys/fs/cgroup/memory.max": "max\n", "sys/fs/cgroup/cpu.max": "max 100000\n"},
        {"sys/fs/cgroup/memory.max": "rubbish\n", "sys/fs/cgroup/cpu.max": "1 0\n"},
        {"sys/fs/cgroup/memory.max": "", "sys/fs/cgroup/cpu.max": ""},
        {"proc/self/cgroup": "4:memory:/\n", "sys/fs/cgroup/memory/memory.limit_in_bytes": V1_UNLIMITED},
        {"proc/self/cgroup": "rubbish"},
    ],
)
def test_no_limit_is_none(tmp_path: Path, files: dict[str, str]) -> None:
    root = tree(tmp_path, files)
    assert (memory_limit(root), cpu_quota(root)) == (None, None)


def test_a_machine_without_readable_facts_has_unknown_values(tmp_path: Path) -> None:
    host = read_host(tmp_path)
    assert (host.host_memory_bytes, host.host_memory_available_bytes) == (None, None)
    assert (host.shm_bytes, host.shm_free_bytes, host.memory_limit_bytes) == (None, None, None)


def test_this_machine() -> None:
    host = read_host()
    assert host.cpu_count == len(os.sched_getaffinity(0)) == usable_cpus()
    assert host.cpu_arch == os.uname().machine
    assert host.host_memory_bytes == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert host.host_memory_available_bytes is not None
    assert 0 < host.host_memory_available_bytes <= host.host_memory_bytes


def test_shm_is_what_the_file_system_says(tmp_path: Path) -> None:
    (tmp_path / "dev/shm").mkdir(parents=True)  # any directory will do: it is asked for its file system
    size, free = shm_size(tmp_path)
    assert size is not None
    assert free is not None
    assert 0 <= free <= size
