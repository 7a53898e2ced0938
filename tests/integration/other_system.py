"""A copy of this system, an overlay in namespaces of its own, in which a test may install packages,
start containers and boot systemd while nothing here changes. Takes root; it ends with the test."""

import os
import shutil
import subprocess
import time
import unittest
from pathlib import Path

from harness import LIMIT_S, run

TOOLS = ("unshare", "nsenter", "chroot", "mount")
needs_root = unittest.skipUnless(
    os.geteuid() == 0 and all(shutil.which(tool) for tool in TOOLS),
    "a copy of the system takes root, unshare and nsenter")
ENVIRONMENT = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C",
               "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}

# tmpfs: an overlay does not stand on every filesystem.
OVERLAY = """set -e
mount -t tmpfs none "$1/upper"
mkdir "$1/upper/u" "$1/upper/w"
mount -t overlay -o lowerdir=/,upperdir="$1/upper/u",workdir="$1/upper/w" none "$1/root"
mount -t tmpfs none "$1/root/run"
mkdir "$1/root/run/lock"
mount --rbind /dev "$1/root/dev"
"""
PLAIN = OVERLAY + """mount --rbind /proc "$1/root/proc"
umount -R -l /sys/fs/cgroup 2>/dev/null || true
mount -t cgroup2 none /sys/fs/cgroup || true
echo up
exec sleep 100000
"""
BOOT = OVERLAY + """mount -t proc proc "$1/root/proc"
mount -t tmpfs none "$1/root/tmp"
mount -t sysfs sysfs "$1/root/sys"
mount -t tmpfs none "$1/root/sys/fs/cgroup"
mkdir "$1/root/sys/fs/cgroup/systemd" "$1/root/sys/fs/cgroup/unified"
mount -t cgroup -o none,name=systemd cgroup "$1/root/sys/fs/cgroup/systemd"
mount -t cgroup2 cgroup2 "$1/root/sys/fs/cgroup/unified" || true
ip link set lo up
echo 0123456789abcdef0123456789abcdef >"$1/root/etc/machine-id"
cp "$2" "$1/root/opt/ringgate.deb"
chroot "$1/root" dpkg --install /opt/ringgate.deb >/dev/null 2>&1
echo up
export container=other
exec chroot "$1/root" /lib/systemd/systemd --system --unit=basic.target --log-target=null \\
  --show-status=no
"""


class System:
    """`boots`: a package; it is installed, and systemd runs as process 1 of its own."""

    def __init__(self, test, boots=None):
        self.top = test.folder / "system"
        for name in ("upper", "root"):
            (self.top / name).mkdir(parents=True)
        apart = ["unshare", "--mount", "--propagation", "private", "--fork", "--kill-child"]
        if boots:
            apart += ["--pid", "--uts", "--ipc", "--net", "--cgroup"]
        self.holder = subprocess.Popen(
            [*apart, "sh", "-c", BOOT if boots else PLAIN, "sh", str(self.top), str(boots)],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=ENVIRONMENT)
        test.addCleanup(self.end)
        said = self.holder.stdout.readline()
        if said != "up\n":
            test.skipTest(f"no other system can be made here: {said.strip()}")
        # Process 1 of it, as numbered here.
        children = Path(f"/proc/{self.holder.pid}/task/{self.holder.pid}/children")
        self.first = int(children.read_text().split()[0])
        self.spaces = ["--mount"] + (["--pid", "--uts", "--ipc", "--net"] if boots else [])

    def end(self):
        self.holder.kill()  # its child goes with it, and what lives in its namespaces
        self.holder.wait()
        self.holder.stdout.close()

    def outside(self):
        """A command that runs among its mounts, in the root of this system."""
        return ["nsenter", f"--target={self.first}", *self.spaces]

    def prefix(self, user=None):
        command = [*self.outside(), "chroot", str(self.top / "root")]
        if user:
            command += ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups"]
        return command

    def run(self, *command):
        code, out, err = run(*self.prefix(), *command, env=ENVIRONMENT)
        return code, out + err

    def must(self, *command):
        code, out = self.run(*command)
        if code != 0:
            raise AssertionError(f"{command}: exit {code}\n{out}")
        return out

    def has(self, path):
        return self.run("test", "-e", path)[0] == 0

    def put(self, path):
        """Copies a file of this system into its /opt; the name there."""
        shutil.copy(path, Path(f"/proc/{self.first}/root{self.top}/root/opt") / path.name)
        return f"/opt/{path.name}"

    def until(self, wanted, *command):
        """Repeats a command until `wanted` says so of its output."""
        patience = time.monotonic() + LIMIT_S
        while True:
            out = self.run(*command)[1].strip()
            if wanted(out):
                return out
            if time.monotonic() > patience:
                raise AssertionError(f"{command} still says: {out}")
            time.sleep(0.05)
