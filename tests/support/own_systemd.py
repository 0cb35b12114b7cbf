"""Run systemd as the first process of separate namespaces, so that it can run units unchanged.

The network is the machine's; mounts, processes, /etc, /opt, /run and /var/lib are not. Units see
payd in /opt/payd, as an operator installs it: the virtual environment of the tests, its Python
and this checkout are mounted there.
"""

import contextlib
import os
import shutil
import subprocess
import sys
import sysconfig
import uuid
from collections.abc import Iterator
from pathlib import Path

import attrs

from support.waiting import wait_until

ROOT = Path(__file__).parents[2]
SYSTEMD = Path("/lib/systemd/systemd")
NAMESPACES = "unshare --cgroup --mount --pid --uts --ipc --fork --kill-child --mount-proc"
#: Starting Python takes long on a loaded machine.
PATIENCE_S = 600.0

_TARGETS = ("basic", "sysinit", "shutdown", "umount", "final", "network-online")
#: Reports the unit's state to the test once it is ready or has failed.
_REPORT = """[Unit]
Description=Report
Requires={unit}
After={unit}
DefaultDependencies=no
[Service]
Type=oneshot
ExecStart=/bin/sh -c 'systemctl show {unit} > /run/test/report.new && \
cp "/proc/$(systemctl show --value -p MainPID {unit})/status" /run/test/status && \
mv /run/test/report.new /run/test/report'
"""
_FAILED = """[Unit]
Description=Failure
DefaultDependencies=no
[Service]
Type=oneshot
ExecStart=/bin/sh -c 'systemctl show {unit} > /run/test/failed.new; \
mv /run/test/failed.new /run/test/failed'
"""
#: Additions for the tests: where the unit's output goes, and where this Python is.
_DROP_IN = """[Unit]
OnFailure=failed.service
[Service]
StandardOutput=append:/run/test/log
StandardError=append:/run/test/log
Environment=PYTHONPATH=/opt/src:/opt/src/client:/opt/src/plugins LD_LIBRARY_PATH=/opt/python/lib
Environment=PYTHONDONTWRITEBYTECODE=1
"""
#: A separate control group, which systemd takes for the root.
_ENTER = """set -e
mount -t cgroup2 none {folder}/groups
mkdir {folder}/groups/{group}
echo $$ > {folder}/groups/{group}/cgroup.procs
exec {namespaces} sh {folder}/boot.sh
"""
_LEAVE = """mount -t cgroup2 none {folder}/groups
for _ in $(seq 100); do
    find {folder}/groups/{group} -depth -type d -exec rmdir {{}} + && break
    sleep 0.1  # its last processes are still ending
done
"""
_BOOT = """set -e
mount --make-rprivate /
mount -t tmpfs -o mode=755 tmpfs /run
mkdir /run/test
mount --bind {folder}/result /run/test
mount --bind {folder}/etc /etc
mount -t tmpfs -o mode=755 tmpfs /var/lib
# Prepared elsewhere: a hosted runner's own Python is in /opt.
mount -t tmpfs -o mode=755 tmpfs {folder}/opt
mkdir -p {folder}/opt/python {folder}/opt/src {folder}/opt/payd
mount --bind {python} {folder}/opt/python
mount --bind {root} {folder}/opt/src
mount --bind {folder}/payd {folder}/opt/payd
mount --bind {packages} {folder}/opt/payd/lib/{version}/site-packages
mount --move {folder}/opt /opt
mount -t cgroup2 none /sys/fs/cgroup
mount --bind /proc/sys /proc/sys
mount -o remount,bind,ro /proc/sys
# Credentials are mounted by a helper process, and must reach the manager.
mount --make-rshared /
exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin container=tests \
    SYSTEMD_UNIT_PATH=/etc/systemd/system \
    {systemd} --system --unit=report.service --show-status=no
"""


@attrs.frozen
class Units:
    """Folders that become the machine's before systemd starts."""

    folder: Path

    @property
    def etc(self) -> Path:
        return self.folder / "etc"

    @property
    def system(self) -> Path:
        """/etc/systemd/system"""
        return self.etc / "systemd" / "system"

    def log(self) -> str:
        """Read what the unit wrote."""
        file = self.folder / "result" / "log"
        return file.read_text() if file.exists() else ""

    def properties(self, name: str = "report") -> dict[str, str]:
        """Return properties as `systemctl show` prints them."""
        text = (self.folder / "result" / name).read_text()
        return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)

    def status(self) -> dict[str, str]:
        """Read the kernel's status of the unit's main process."""
        text = (self.folder / "result" / "status").read_text()
        return dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)


def is_possible() -> bool:
    """Whether this machine has systemd, root, and a kernel that supports the namespaces."""
    tried = ["unshare", "--mount", "sh", "-c", f"mount -t cgroup2 none /mnt && {NAMESPACES} true"]
    return (
        os.geteuid() == 0
        and SYSTEMD.exists()
        and subprocess.run(tried, check=False, capture_output=True).returncode == 0
    )


def prepare(folder: Path, unit: str) -> Units:
    """Create a machine for one unit, which the test has to install."""
    units = Units(folder)
    for name in ("ld.so.cache", "nsswitch.conf", "passwd", "group", "hosts", "localtime"):
        source = Path("/etc") / name
        if source.exists():
            units.etc.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, units.etc / name)
    (units.etc / "machine-id").write_text("0" * 31 + "1\n")
    units.system.mkdir(parents=True)
    (folder / "result").mkdir()
    (folder / "groups").mkdir()
    (folder / "opt").mkdir()
    for name in _TARGETS:
        text = f"[Unit]\nDescription={name}\nDefaultDependencies=no\n"
        (units.system / f"{name}.target").write_text(text)
    (units.system / "report.service").write_text(_REPORT.format(unit=unit))
    (units.system / "failed.service").write_text(_FAILED.format(unit=unit))
    template = unit if "@" not in unit else f"{unit.partition('@')[0]}@.service"
    drop_in = units.system / f"{template}.d" / "tests.conf"
    drop_in.parent.mkdir()
    drop_in.write_text(_DROP_IN)
    _install_payd(folder / "payd")
    return units


def _install_payd(prefix: Path) -> None:
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    (prefix / "bin").mkdir(parents=True)
    (prefix / "lib" / version / "site-packages").mkdir(parents=True)
    (prefix / "pyvenv.cfg").write_text("home = /opt/python/bin\n")
    (prefix / "bin" / "python").symlink_to(f"/opt/python/bin/{version}")
    script = (Path(sysconfig.get_path("scripts")) / "payd").read_text().partition("\n")[2]
    (prefix / "bin" / "payd").write_text(f"#!/opt/payd/bin/python\n{script}")
    (prefix / "bin" / "payd").chmod(0o755)


@contextlib.contextmanager
def booted(units: Units) -> Iterator[None]:
    """Run systemd with the unit started, or failed, until the end of the block."""
    folder = units.folder
    boot = folder / "boot.sh"
    boot.write_text(
        _BOOT.format(
            folder=folder,
            python=Path(sys.base_prefix).resolve(),
            root=ROOT,
            packages=sysconfig.get_path("purelib"),
            version=f"python{sys.version_info.major}.{sys.version_info.minor}",
            systemd=SYSTEMD,
        )
    )
    named = {"folder": folder, "group": f"payd-tests-{uuid.uuid4()}", "namespaces": NAMESPACES}
    with (folder / "boot.log").open("wb") as log:
        process = subprocess.Popen(
            ["unshare", "--mount", "sh", "-c", _ENTER.format(**named)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={"PATH": os.environ["PATH"]},
        )
    try:
        results = folder / "result"
        wait_until(
            lambda: any((results / name).exists() for name in ("report", "failed")),
            lambda: units.log() + (folder / "boot.log").read_text(),
            process=process,
        )
        yield
    finally:
        process.kill()
        process.wait()
        leave = ["unshare", "--mount", "sh", "-c", _LEAVE.format(**named)]
        subprocess.run(leave, check=False, capture_output=True)
