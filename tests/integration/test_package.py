"""The Debian package: made twice it is the same; installed, upgraded, removed and purged on a copy
of this system (an overlay in a mount namespace of its own, so that nothing here changes), where its
gateway runs as its own user. That part needs root."""

import gzip
import os
import re
import shutil
import tempfile
import unittest
from pathlib import Path

from harness import BUILD, LOAD, LONG, ROOT, SANITIZED, Gateway, GatewayTest, run
from other_system import System, needs_root
from test_service import WALL, Frozen

PACKAGE = ROOT / "tools" / "package"
# Packing is what takes long.
FAST = {**os.environ, "DPKG_DEB_COMPRESSOR_TYPE": "none", "LC_ALL": "C"}
CONFIG = "/etc/ringgate/ringgate.toml"
# Without the index of manual pages, which is made anew each time, and without syncing a tmpfs.
DPKG = ("dpkg", "--no-triggers", "--force-unsafe-io")
missing = [tool for tool in ("dpkg-deb", "dpkg-shlibdeps", "strip")
           if not shutil.which(tool)]


def programs(folder):
    """The programs of this build, as build/bin has them."""
    folder.mkdir(exist_ok=True)
    for path in (BUILD / "tools").glob("*/ringgate*"):
        if path.is_file() and re.fullmatch(r"ringgate(-[a-z]+)?", path.name):
            (folder / path.name).symlink_to(path)
    return folder


def make(folder, version, environment=None):
    bin_folder = folder / "bin"
    if not bin_folder.exists():
        programs(bin_folder)
    code, out, err = run(PACKAGE, "--programs", bin_folder, "--output", folder, "--version",
                         version, env=environment or FAST)
    if code != 0:
        raise AssertionError(out + err)
    return Path(out.strip())


@unittest.skipIf(SANITIZED, "packages are made of release builds")
@unittest.skipIf(missing, f"missing here: {' '.join(missing)}")
class Package(GatewayTest):
    made = {}  # by version: one is enough for all tests

    @classmethod
    def setUpClass(cls):
        cls.shelf = Path(tempfile.mkdtemp(prefix="ringgate-test-"))
        cls.addClassCleanup(shutil.rmtree, cls.shelf)
        cls.made.clear()

    def package(self, version):
        if version not in self.made:
            self.made[version] = make(self.shelf, version)
        return self.made[version]

    def test_the_same_tree_gives_the_same_package(self):
        self.assertEqual(self.package("1.0.0").read_bytes(),
                         make(self.folder, "1.0.0").read_bytes())

    def test_what_is_in_it(self):
        package = self.package("1.0.0")
        code, fields, _ = run("dpkg-deb", "--field", package)
        self.assertRegex(fields, r"(?m)^Depends: .*libc6 \(>=.*adduser")
        self.assertRegex(fields, r"(?m)^Version: 1\.0\.0$")
        tree = self.folder / "tree"
        self.assertEqual(run("dpkg-deb", "--extract", package, tree)[0], 0)
        for name in [path.name for path in (self.shelf / "bin").iterdir()]:
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
        # Commands of commands, too, in the page and where words are completed.
        page = tree / "usr" / "share" / "man" / "man1" / "ringgate-ctl.1.gz"
        self.assertIn(b".SH RINGGATE-CTL TOKEN CREATE\n", gzip.decompress(page.read_bytes()))
        completion = tree / "usr" / "share" / "bash-completion" / "completions" / "ringgate-ctl"
        for typed, wanted in (("--data /x token cre", "create"),
                              ("--data /x token create --sc", "--scope"),
                              ("device devices --js", "--json")):
            words = ["ringgate-ctl", *typed.split()]
            code, out, err = run("bash", "-c", f'source "{completion}"; COMP_WORDS=("$@"); '
                                 'COMP_CWORD=$(($# - 1)); _ringgate_ctl; echo "${COMPREPLY[@]}"',
                                 "bash", *words)
            self.assertEqual((code, out, err), (0, wanted + "\n", ""), typed)
        gateway = tree / "usr" / "bin" / "ringgate"
        self.assertEqual(run(gateway, "--config", tree / CONFIG[1:], "--check-config")[0], 0)
        printed = run(gateway, "--config", tree / CONFIG[1:], "--print-config")[1]
        changed = [line for line in printed.splitlines() if "ringgate.toml" in line]
        self.assertEqual(len(changed), 1, changed)
        self.assertIn("/var/lib/ringgate", changed[0])

    @unittest.skipUnless(LONG, "--long: it takes its time")
    @unittest.skipUnless(shutil.which("lintian"), "no lintian")
    def test_lintian_finds_no_error(self):
        package = make(self.folder, "1.0.0", os.environ)
        code, out, err = run("lintian", "--allow-root", "--fail-on", "error", package)
        self.assertEqual(code, 0, out + err)

    @needs_root
    def test_a_life_of_the_package(self):
        old, new = self.package("1.0.0"), self.package("1.0.1")
        system = System(self)
        old, new = system.put(old), system.put(new)
        system.must(*DPKG, "--install", old)
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
        self.assertNotIn("not restarted", system.must(*DPKG, "--install", new))
        self.assertIn("# mine", system.must("cat", CONFIG))
        acknowledged += self.serve(system)
        self.assertGreaterEqual(self.reports(system), acknowledged)

        self.assert_removal_and_purge(system)
        # Installed again it finds all.
        system.must(*DPKG, "--install", new)
        acknowledged += self.serve(system)
        self.assertGreaterEqual(self.reports(system), acknowledged)

    def assert_removal_and_purge(self, system):
        enabled = "/etc/systemd/system/multi-user.target.wants/ringgate.service"
        system.must(*DPKG, "--remove", "ringgate")
        self.assertFalse(system.has("/usr/bin/ringgate"))
        self.assertIn("# mine", system.must("cat", CONFIG))
        self.assertTrue(system.has("/var/lib/ringgate/log"))
        self.assertIn("/var/lib/ringgate was left", system.must(*DPKG, "--purge", "ringgate"))
        self.assertFalse(system.has("/etc/ringgate"))
        self.assertTrue(system.has("/var/lib/ringgate/log"))
        self.assertFalse(system.has(enabled))

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

    # The unit with all that it forbids, in a system of its own whose process 1 is systemd.
    @needs_root
    @unittest.skipUnless(LONG, "--long")
    @unittest.skipUnless(os.path.exists("/lib/systemd/systemd"), "no systemd")
    def test_under_systemd(self):
        system = System(self, boots=self.package("1.0.0"))
        system.until(lambda said: said in ("running", "degraded"),
                     "systemctl", "is-system-running")
        system.must("systemctl", "start", "ringgate")
        status = system.must("sh", "-c",
                             "cat /proc/$(systemctl show -P MainPID ringgate)/status")
        for line in (r"Seccomp:\t2", r"NoNewPrivs:\t1", r"CapEff:\t0{16}", r"CapBnd:\t0{16}"):
            self.assertRegex(status, line)
        self.assertNotRegex(status, r"Uid:\t0")
        system.must("ringgate-load", "jt808", "--target", "127.0.0.1:7808", "--devices", "10",
                    "--rate", "50", "--duration", "0.3", "--quiet")
        self.assertIn("frames/s", system.until(
            lambda said: "frames/s" in said, "systemctl", "show", "-P", "StatusText", "ringgate"))
        self.assert_reloads(system)
        self.assert_watchdog(system)
        system.must("systemctl", "stop", "ringgate")
        self.assertEqual(system.must("systemctl", "show", "-P", "Result", "ringgate"), "success\n")
        self.assertGreater(self.reports(system), 50)

    def assert_reloads(self, system):
        system.must("sed", "-i", "s/^#drain_timeout.*/drain_timeout = '7s'/", CONFIG)
        system.must("systemctl", "reload", "ringgate")
        system.must("sed", "-i", "s/^drain_timeout.*/drain_timeout = 'soon'/", CONFIG)
        self.assertNotEqual(system.run("systemctl", "reload", "ringgate")[0], 0)
        self.assertIn("reload refused", system.must(
            "systemctl", "show", "-P", "StatusText", "ringgate"))
        self.assertEqual(system.must("systemctl", "is-active", "ringgate"), "active\n")
        system.must("sed", "-i", "s/^drain_timeout.*/drain_timeout = '7s'/", CONFIG)

    def assert_watchdog(self, system):
        folder = "/run/systemd/system/ringgate.service.d"
        system.must("sh", "-c", f"mkdir -p {folder} && "
                                f"printf '[Service]\nWatchdogSec=2s\n' >{folder}/test.conf && "
                                "systemctl daemon-reload && systemctl restart ringgate")
        inside = system.must("systemctl", "show", "-P", "MainPID", "ringgate").strip()
        frozen = Frozen(self, self.number_here(system, inside), "shard-0")

        def restarted(said):
            try:
                os.waitpid(frozen.tid, WALL | os.WNOHANG)  # else its end is not seen
            except ChildProcessError:
                pass
            return said != "0"
        system.until(restarted, "systemctl", "show", "-P", "NRestarts", "ringgate")
        system.until(lambda said: said == "active", "systemctl", "is-active", "ringgate")

    def number_here(self, system, inside):
        """Of a process of the system, as it is numbered here."""
        space = os.readlink(f"/proc/{system.first}/ns/pid")
        for path in Path("/proc").glob("[0-9]*"):
            try:
                numbers = re.search(r"^NSpid:(.*)$", (path / "status").read_text(), re.MULTILINE)
                if numbers[1].split()[-1] == inside and os.readlink(path / "ns/pid") == space:
                    return int(path.name)
            except OSError:
                pass
        raise AssertionError(f"no process {inside}")


if __name__ == "__main__":
    unittest.main()
