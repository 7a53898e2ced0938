"""The Debian package: made twice it is the same; installed, upgraded, removed and purged on a copy
of this system (an overlay in a mount namespace of its own, so that nothing here changes), where its
gateway runs as its own user. That part needs root."""

import os
import re
import shutil
import subprocess
import unittest
from pathlib import Path

from harness import BUILD, LOAD, ROOT, SANITIZED, Gateway, GatewayTest, run

PACKAGE = ROOT / "tools" / "package"
# Packing is what takes long.
FAST = {**os.environ, "DPKG_DEB_COMPRESSOR_TYPE": "xz", "DPKG_DEB_COMPRESSOR_LEVEL": "0",
        "LC_ALL": "C"}
CONFIG = "/etc/ringgate/ringgate.toml"
missing = [tool for tool in ("dpkg-deb", "dpkg-shlibdeps", "strip", "unshare", "nsenter")
           if not shutil.which(tool)]


def programs(folder):
    """The programs of this build, as build/bin has them."""
    folder.mkdir(exist_ok=True)
    for path in (BUILD / "tools").glob("*/ringgate*"):
        if path.is_file() and re.fullmatch(r"ringgate(-[a-z]+)?", path.name):
            (folder / path.name).symlink_to(path)
    return folder


def make(folder, version, *options):
    bin_folder = folder / "bin"
    if not bin_folder.exists():
        programs(bin_folder)
    code, out, err = run(PACKAGE, "--programs", bin_folder, "--output", folder, "--version",
                         version, *options, env=FAST)
    if code != 0:
        raise AssertionError(out + err)
    return Path(out.strip())


class System:
    """A copy of this system that nobody else sees; it ends with the test."""

    def __init__(self, test):
        self.top = test.folder / "system"
        for name in ("upper", "root"):
            (self.top / name).mkdir(parents=True)
        # tmpfs: an overlay does not stand on every filesystem.
        script = ('mount -t tmpfs none "$1/upper" && mkdir "$1/upper/u" "$1/upper/w" && '
                  'mount -t overlay -o lowerdir=/,upperdir="$1/upper/u",workdir="$1/upper/w" '
                  'none "$1/root" && mount --rbind /proc "$1/root/proc" && '
                  'mount --rbind /dev "$1/root/dev" && mount -t tmpfs none "$1/root/run" && '
                  'mkdir "$1/root/run/lock" && echo up && exec sleep 100000')
        self.holder = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh",
             str(self.top)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        test.addCleanup(self.end)
        said = self.holder.stdout.readline()
        if said != "up\n":
            test.skipTest(f"no overlay can be mounted here: {said.strip()}")

    def end(self):
        self.holder.kill()
        self.holder.wait()
        self.holder.stdout.close()

    def prefix(self, user=None):
        command = ["nsenter", f"--target={self.holder.pid}", "--mount",
                   "chroot", str(self.top / "root")]
        if user:
            command += ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups"]
        return command

    def run(self, *command):
        code, out, err = run(*self.prefix(), *command, env={
            **FAST, "DEBIAN_FRONTEND": "noninteractive", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})
        return code, out + err

    def must(self, *command):
        code, out = self.run(*command)
        if code != 0:
            raise AssertionError(f"{command}: exit {code}\n{out}")
        return out

    def has(self, path):
        return self.run("test", "-e", path)[0] == 0


@unittest.skipIf(SANITIZED, "packages are made of release builds")
@unittest.skipIf(missing, f"missing here: {' '.join(missing)}")
class Package(GatewayTest):
    def test_the_same_tree_gives_the_same_package(self):
        first = make(self.folder, "1.2.3").read_bytes()
        shutil.rmtree(self.folder / "bin")
        second = make(self.folder, "1.2.3").read_bytes()
        self.assertEqual(first, second)

    def test_what_is_in_it(self):
        package = make(self.folder, "1.2.3")
        code, fields, _ = run("dpkg-deb", "--field", package)
        self.assertRegex(fields, r"(?m)^Depends: .*libc6 \(>=.*adduser")
        self.assertRegex(fields, r"(?m)^Version: 1\.2\.3$")
        tree = self.folder / "tree"
        self.assertEqual(run("dpkg-deb", "--extract", package, tree)[0], 0)
        for name in [path.name for path in (self.folder / "bin").iterdir()]:
            with self.subTest(program=name):
                program = tree / "usr" / "bin" / name
                self.assertEqual(run(program, "--help")[0], 0)
                page = tree / "usr" / "share" / "man" / "man1" / f"{name}.1.gz"
                self.assertTrue(page.is_file())
                if shutil.which("man"):
                    code, shown, err = run("man", "-l", "--warnings", page, env={
                        **FAST, "MANWIDTH": "100", "LC_ALL": "C.UTF-8"})
                    self.assertEqual((code, err), (0, ""))
                    told = run(program, "--help")[1]
                    for line in told.splitlines()[2:]:
                        self.assertIn(line.strip(), shown)
                completion = tree / "usr" / "share" / "bash-completion" / "completions" / name
                script = (f'source "{completion}"; COMP_WORDS=({name} --he); COMP_CWORD=1; '
                          f'complete -p {name}; '
                          f'f=$(complete -p {name} | sed -n "s/.* -F \\([a-z_]*\\) .*/\\1/p"); '
                          '[ -z "$f" ] || { "$f"; echo "${COMPREPLY[@]}"; }')
                code, out, err = run("bash", "-c", script)
                self.assertEqual((code, err), (0, ""))
                self.assertIn("--help", out)
        gateway = tree / "usr" / "bin" / "ringgate"
        self.assertEqual(run(gateway, "--config", tree / CONFIG[1:], "--check-config")[0], 0)
        printed = run(gateway, "--config", tree / CONFIG[1:], "--print-config")[1]
        changed = [line for line in printed.splitlines() if "ringgate.toml" in line]
        self.assertEqual(len(changed), 1, changed)
        self.assertIn("/var/lib/ringgate", changed[0])

    @unittest.skipUnless(shutil.which("lintian"), "no lintian")
    def test_lintian_finds_no_error(self):
        package = make(self.folder, "1.2.3")
        code, out, err = run("lintian", "--allow-root", "--fail-on", "error", package)
        self.assertEqual(code, 0, out + err)

    @unittest.skipUnless(os.geteuid() == 0, "installing takes root")
    def test_a_life_of_the_package(self):
        old = make(self.folder, "1.0.0")
        new = make(self.folder, "1.0.1")
        system = System(self)
        for package in (old, new):
            shutil.copy(package, self.top_of(system) / package.name)
        system.must("dpkg", "--install", self.inside(old))
        self.assertIn("ringgate 0", system.must("ringgate", "--version"))
        self.assertEqual(system.must("stat", "-c", "%U:%G %a", CONFIG).strip(),
                         "root:ringgate 640")
        self.assertEqual(system.must("stat", "-c", "%U:%G %a", "/var/lib/ringgate").strip(),
                         "ringgate:ringgate 750")
        self.assertTrue(system.has("/etc/systemd/system/multi-user.target.wants/ringgate.service"))

        # As the unit starts it, but on ports of the test.
        acknowledged = self.serve(system)
        self.assertGreaterEqual(self.reports(system), acknowledged)
        system.must("sh", "-c", f"echo '# mine' >> {CONFIG}")
        self.assertNotIn("not restarted", system.must("dpkg", "--install", self.inside(new)))
        self.assertIn("# mine", system.must("cat", CONFIG))
        acknowledged += self.serve(system)
        self.assertGreaterEqual(self.reports(system), acknowledged)

        self.assert_removal_and_purge(system)
        # Installed again it finds all.
        system.must("dpkg", "--install", self.inside(new))
        acknowledged += self.serve(system)
        self.assertGreaterEqual(self.reports(system), acknowledged)

    def assert_removal_and_purge(self, system):
        enabled = "/etc/systemd/system/multi-user.target.wants/ringgate.service"
        system.must("dpkg", "--remove", "ringgate")
        self.assertFalse(system.has("/usr/bin/ringgate"))
        self.assertIn("# mine", system.must("cat", CONFIG))
        self.assertTrue(system.has("/var/lib/ringgate/log"))
        self.assertIn("/var/lib/ringgate was left", system.must("dpkg", "--purge", "ringgate"))
        self.assertFalse(system.has("/etc/ringgate"))
        self.assertTrue(system.has("/var/lib/ringgate/log"))
        self.assertFalse(system.has(enabled))

    def top_of(self, system):
        return Path(f"/proc/{system.holder.pid}/root{system.top}/root/opt")

    def inside(self, package):
        return f"/opt/{package.name}"

    def serve(self, system):
        """Runs the installed gateway as its user, with ten terminals; how many reports it has
        acknowledged."""
        gateway = Gateway.__new__(Gateway)
        gateway.begin("/var/lib/ringgate", [
            *system.prefix("ringgate"), "/usr/bin/ringgate", "--config", CONFIG,
            "--set", "jt808.listen=127.0.0.1:0", "--set", "http.listen=127.0.0.1:0"])
        self.gateways.append(gateway)
        gateway.wait_ready()
        host, port = gateway.address()
        acknowledged = self.folder / "acknowledged"
        acknowledged.unlink(missing_ok=True)
        code, out, err = run(LOAD, "jt808", "--target", f"{host}:{port}", "--devices", "10",
                             "--rate", "50", "--duration", "0.3", "--quiet",
                             "--acked-log", acknowledged)
        self.assertEqual(code, 0, out + err)
        self.assertEqual(gateway.stop(), 0, gateway.output)
        count = len(acknowledged.read_text().splitlines())
        self.assertGreater(count, 10)
        return count

    def reports(self, system):
        return system.must("ringgate-log", "dump", "/var/lib/ringgate").count('"0x0200"')


if __name__ == "__main__":
    unittest.main()
