"""Start the services of a composition without a container engine: `python composed.py SPEC`.

Each service runs in a root folder of its own (chroot) with its image's command, and with the
user, capabilities, no-new-privileges, environment, mounts and read-only root that the composition
gives it; services start in the order of `depends_on`, and health checks run as an engine would
run them. Meant to run as root inside `unshare --net --mount --pid --fork --kill-child`: the ports
are free there, the mounts are gone afterwards, and no process stays.

Names resolve as an engine's DNS would have them: a service finds the others on its networks, by
name and alias. All of them share one loopback address, so networks do not separate them here.

SPEC is a JSON file: `composition` (as `docker-compose config --format json` prints it), `folder`,
`keep` (folders that programs need, such as the Python installation), `programs` (image → name →
file), `patience_s` (the longest wait for a service that another one needs), `last_patience_s` (for
the others) and `probe` (a command to run when everything is up; its output is printed). One JSON
line per event goes to stdout: started, healthy, failed, running, probed.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from support.container_images import Image, all_images

SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib64")
#: Files of /etc that programs read; the rest is each image's own.
ETC = ("ld.so.cache", "nsswitch.conf", "localtime", "ssl")
#: Docker's default set (docs.docker.com/engine/security/#linux-kernel-capabilities).
DEFAULT_CAPABILITIES = {
    *("chown", "dac_override", "fsetid", "fowner", "mknod", "net_raw", "setgid", "setuid"),
    *("setfcap", "setpcap", "net_bind_service", "sys_chroot", "kill", "audit_write"),
}


def say(event: str, **more: object) -> None:
    """Print one event as a JSON line."""
    print(json.dumps({"event": event, **more}), flush=True)  # noqa: T201 - the protocol


class ServiceFailed(Exception):
    """A service did not reach the state that another one waits for."""


@attrs.define(kw_only=True)
class Service:
    """One service in its root folder."""

    name: str
    declared: Mapping[str, Any]
    image: Image
    root: Path
    log: Path
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def user(self) -> tuple[str, str]:
        """Uid and gid, as numbers."""
        uid, _, gid = str(self.declared.get("user") or self.image.user).partition(":")
        return uid, gid or uid

    def command(self) -> list[str]:
        entrypoint = self.declared.get("entrypoint") or self.image.entrypoint
        return [*entrypoint, *(self.declared.get("command") or self.image.command)]

    def environment(self) -> dict[str, str]:
        return {**self.image.environment, **(self.declared.get("environment") or {})}

    def confined(self, argv: Sequence[str]) -> list[str]:
        """Build the command that enters the root folder and drops the forbidden privileges."""
        uid, gid = self.user
        given = capabilities(self.declared)
        bounding = ",".join(["-all", *(f"+{name}" for name in sorted(given))])
        limits = ["--no-new-privs"] if no_new_privileges(self.declared) else []
        return [
            *("/usr/sbin/chroot", str(self.root)),
            *("/usr/bin/env", "-C", self.image.workdir),
            *("/usr/bin/setpriv", "--reuid", uid, "--regid", gid, "--clear-groups"),
            *("--bounding-set", bounding, "--inh-caps", "-all", *limits, "--"),
            *argv,
        ]

    def start(self) -> None:
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                self.confined(self.command()), env=self.environment(), stdout=log, stderr=log
            )

    def run(self, argv: Sequence[str]) -> int:
        """Run a health check's command inside."""
        done = subprocess.run(
            self.confined(argv), env=self.environment(), capture_output=True, check=False
        )
        return done.returncode

    def status(self) -> dict[str, str]:
        """Read the kernel's status of the service's first process."""
        assert self.process is not None
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        return dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)


def capabilities(declared: Mapping[str, Any]) -> set[str]:
    dropped = {name.lower() for name in declared.get("cap_drop") or ()}
    kept = set() if "all" in dropped else set(DEFAULT_CAPABILITIES) - dropped
    return kept | {name.lower() for name in declared.get("cap_add") or ()}


def no_new_privileges(declared: Mapping[str, Any]) -> bool:
    return "no-new-privileges:true" in (declared.get("security_opt") or ())


# -- root folders ------------------------------------------------------------------------------


def mount(*arguments: str) -> None:
    subprocess.run(["/usr/bin/mount", *arguments], check=True)


def build_root(service: Service, spec: Mapping[str, Any], hosts: str) -> None:
    """Build the file system that the service sees."""
    root = service.root
    root.mkdir(parents=True)
    mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", str(root))
    for folder in map(Path, SYSTEM):
        if folder.is_symlink():
            (root / folder.relative_to("/")).symlink_to(folder.readlink())
        elif folder.is_dir():
            bind(folder, root, str(folder), read_only=True)
    for kernel in ("/proc", "/dev"):
        (root / kernel[1:]).mkdir()
        mount("--rbind", kernel, str(root / kernel[1:]))
    write_etc(service, root, hosts)
    add_programs(service, spec)
    for workdir in (service.image.workdir, *service.image.folders):
        (root / workdir[1:]).mkdir(parents=True, exist_ok=True)
    for source, target, read_only in mounts(service, spec):
        bind(source, root, target, read_only=read_only)
    for entry in service.declared.get("tmpfs") or ():
        target, _, options = entry.partition(":")
        (root / target[1:]).mkdir(parents=True, exist_ok=True)
        mount("-t", "tmpfs", "-o", options or "mode=1777", "tmpfs", str(root / target[1:]))
    # Do this last: one of them may be below a tmpfs.
    for folder in map(Path, spec["keep"]):
        bind(folder, root, str(folder), read_only=True)
    if service.declared.get("read_only"):
        mount("-o", "remount,ro,bind", str(root))


def bind(source: Path, root: Path, target: str, *, read_only: bool) -> None:
    goal = root / target[1:]
    if not source.exists():
        raise ServiceFailed(f"bind source path does not exist: {source}")
    if source.is_dir():
        goal.mkdir(parents=True, exist_ok=True)
    else:
        goal.parent.mkdir(parents=True, exist_ok=True)
        goal.touch()
    mount("--bind", str(source), str(goal))
    if read_only:
        mount("-o", "remount,ro,bind", str(goal))


def write_etc(service: Service, root: Path, hosts: str) -> None:
    etc = root / "etc"
    etc.mkdir(exist_ok=True)
    for name in ETC:
        source = Path("/etc") / name
        if source.is_dir():
            shutil.copytree(source, etc / name, symlinks=True)
        elif source.exists():
            shutil.copy(source, etc / name)
    (etc / "hosts").write_text(hosts)
    (etc / "passwd").write_text("root:x:0:0::/root:/bin/sh\n" + service.image.passwd)
    (etc / "group").write_text("root:x:0:\n" + service.image.group)


def add_programs(service: Service, spec: Mapping[str, Any]) -> None:
    """Link the image's programs into the first folder of its PATH."""
    target = service.root / service.image.programs[1:]
    target.mkdir(parents=True, exist_ok=True)
    for name, file in spec["programs"][service.image.name].items():
        (target / name).symlink_to(file)
    for name, script in service.image.scripts.items():
        (target / name).write_text(script)
        (target / name).chmod(0o755)


def mounts(service: Service, spec: Mapping[str, Any]) -> Iterator[tuple[Path, str, bool]]:
    """Yield volumes and secrets: source, target, whether read-only."""
    for volume in service.declared.get("volumes") or ():
        source = Path(volume["source"])
        if volume["type"] == "volume":
            source = Path(spec["folder"]) / "volumes" / volume["source"]
            source.mkdir(parents=True, exist_ok=True)
        yield source, volume["target"], bool(volume.get("read_only"))
    for secret in service.declared.get("secrets") or ():
        file = Path(spec["composition"]["secrets"][secret["source"]]["file"])
        yield file, secret.get("target") or f"/run/secrets/{secret['source']}", True


def hosts_of(name: str, services: Mapping[str, Any]) -> str:
    """The host names that a service can resolve."""
    mine = set(services[name]["networks"])
    names = {"localhost"}
    for other, declared in services.items():
        for network, settings in declared["networks"].items():
            if network in mine:
                names |= {other, *((settings or {}).get("aliases") or ())}
    return f"127.0.0.1 {' '.join(sorted(names))}\n"


# -- order -------------------------------------------------------------------------------------


def in_order(services: Mapping[str, Any]) -> list[str]:
    """Order services after the services that they depend on."""
    found: list[str] = []

    def visit(name: str) -> None:
        for needed in services[name].get("depends_on") or ():
            visit(needed)
        if name not in found:
            found.append(name)

    for name in sorted(services):
        visit(name)
    return found


def wait_for(service: Service, condition: str, patience_s: float) -> None:
    match condition:
        case "service_healthy":
            until_healthy(service, patience_s)
        case "service_completed_successfully":
            assert service.process is not None
            code = service.process.wait(patience_s)
            if code != 0:
                raise ServiceFailed(f"{service.name} ended with {code}")
        case "service_started":
            pass
        case _:
            raise AssertionError(condition)


def until_healthy(service: Service, patience_s: float) -> None:
    assert service.process is not None
    kind, *rest = service.declared["healthcheck"]["test"]
    argv = ["/bin/sh", "-c", *rest] if kind == "CMD-SHELL" else rest
    until = time.monotonic() + patience_s
    while service.run(argv) != 0:
        if service.process.poll() is not None:
            raise ServiceFailed(f"{service.name} ended with {service.process.returncode}")
        if time.monotonic() > until:
            raise ServiceFailed(f"{service.name} does not become healthy")
        time.sleep(0.2)
    say("healthy", service=service.name)


def main(spec: Mapping[str, Any]) -> int:
    """Start everything and run the probe; return the exit code."""
    mount("--make-rprivate", "/")
    subprocess.run(["/usr/sbin/ip", "link", "set", "lo", "up"], check=True)
    folder, declared = Path(spec["folder"]), spec["composition"]["services"]
    images, services = all_images(), dict[str, Service]()
    try:
        for name in in_order(declared):
            for needed, how in (declared[name].get("depends_on") or {}).items():
                wait_for(services[needed], how["condition"], spec["patience_s"])
            service = services[name] = Service(
                name=name,
                declared=declared[name],
                image=images[declared[name]["image"].rpartition(":")[0]],
                root=folder / "roots" / name,
                log=folder / f"{name}.log",
            )
            build_root(service, spec, hosts_of(name, declared))
            service.start()
            say("started", service=name)
        for name, service in services.items():
            if (declared[name].get("healthcheck") or {}).get("test"):
                until_healthy(service, spec["last_patience_s"])
    except ServiceFailed as error:
        tails = {name: s.log.read_text(errors="replace")[-1500:] for name, s in services.items()}
        say("failed", reason=str(error), logs=tails)
        return 1
    for name, service in services.items():
        if service.process is not None and service.process.poll() is None:
            say("running", service=name, status=service.status())
    probed = subprocess.run(spec["probe"], capture_output=True, text=True, check=False)
    say("probed", code=probed.returncode, stdout=probed.stdout, stderr=probed.stderr[-3000:])
    return probed.returncode


if __name__ == "__main__":
    os.umask(0o022)
    sys.exit(main(json.loads(Path(sys.argv[1]).read_text())))
