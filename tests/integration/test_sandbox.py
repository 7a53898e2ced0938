"""The gateway within the sandboxes that come with it: the systemd unit and the containers' seccomp
profile. Their filters are put on real processes; what needs systemd's own tools, or libseccomp, is
skipped where they are absent."""

import json
import os
import re
import shutil
import signal
import sys
import unittest

import under_seccomp
from api_client import Client
from harness import CTL, GATEWAY, LOAD, ROOT, SANITIZED, GatewayTest, dump, frames, run
from other_system import System, needs_root

UNIT = ROOT / "tools" / "packaging" / "ringgate.service"
PROFILE = ROOT / "tools" / "packaging" / "seccomp.json"
# At its end the leak check of a sanitizers' build traces its own process: no profile allows that.
UNDER = ["env", "ASAN_OPTIONS=" + os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0",
         "/usr/bin/python3", "-B", str(ROOT / "tests" / "integration" / "under_seccomp.py")]
IO_URING = ("io_uring_setup", "io_uring_enter", "io_uring_register")
# Of systemd-analyze security, 10 being no sandbox at all. A service with the network has 1 or so.
EXPOSURE_MAX = 1.9
ANALYZE = shutil.which("systemd-analyze")
needs_systemd = unittest.skipUnless(ANALYZE, "no systemd-analyze")
needs_seccomp = unittest.skipUnless(under_seccomp.library(), "no libseccomp.so.2")


class Unit(GatewayTest):
    @needs_systemd
    def test_it_verifies(self):
        # With programs and pages that are here: verify looks for them.
        text = UNIT.read_text().replace("/usr/bin/ringgate-ctl", str(CTL))
        text = text.replace("/usr/bin/ringgate ", f"{GATEWAY} ")
        text = re.sub(r"^Documentation=.*\n", "", text, flags=re.MULTILINE)
        self.assertNotIn("/usr/bin", text)
        here = self.folder / "ringgate.service"
        here.write_text(text)
        done = run(ANALYZE, "verify", "--man=no", here)
        self.assertEqual(done, (0, "", ""))
        here.write_text(text + "WatchdogSecs=1\n")
        self.assertIn("WatchdogSecs", run(ANALYZE, "verify", "--man=no", here)[2])

    @needs_systemd
    def test_its_exposure_stays_low(self):
        code, out, err = run(ANALYZE, "security", "--offline=true", "--no-pager", UNIT)
        found = re.search(r"Overall exposure level for ringgate.service: ([\d.]+)", out)
        self.assertTrue(found, out + err)
        self.assertLessEqual(float(found[1]), EXPOSURE_MAX, out)


class Profile(unittest.TestCase):
    def test_what_it_allows(self):
        profile = json.loads(PROFILE.read_text())
        self.assertEqual(profile["defaultAction"], "SCMP_ACT_ERRNO")
        names = [name for rule in profile["syscalls"] for name in rule["names"]]
        for name in IO_URING:
            self.assertEqual(names.count(name), 1)
        # What runtimes refuse a container without capabilities, and an escape begins with.
        for name in ("mount", "umount2", "unshare", "setns", "pivot_root", "chroot", "ptrace",
                     "process_vm_readv", "bpf", "perf_event_open", "keyctl", "add_key",
                     "request_key", "userfaultfd", "kexec_load", "init_module", "finit_module",
                     "reboot", "swapon", "open_by_handle_at", "mknod", "mknodat", "iopl",
                     "personality", "move_pages", "clock_settime", "settimeofday", "acct"):
            self.assertNotIn(name, names)

    @needs_seccomp
    def test_the_filter_bites(self):
        probe = ("import ctypes, errno, socket\n"
                 "libc = ctypes.CDLL(None, use_errno=True)\n"
                 "def call(*a): return 0 if libc.syscall(*a) >= 0 else ctypes.get_errno()\n"
                 "assert call(272, 0x10000000) == errno.EPERM\n"          # unshare
                 "assert call(435, 0, 0) == errno.ENOSYS\n"               # clone3
                 "assert call(56, 0x10000011, 0, 0, 0, 0) == errno.EPERM\n"  # clone, CLONE_NEWUSER
                 "assert call(425, 0, 0) != errno.EPERM\n"                # io_uring_setup
                 "socket.socket(socket.AF_INET6)\n"
                 "try: socket.socket(40, socket.SOCK_STREAM)\n"           # AF_VSOCK
                 "except PermissionError: print('fine')\n")
        code, out, err = run(*UNDER, "--profile", PROFILE, sys.executable, "-c", probe)
        self.assertEqual((code, out, err), (0, "fine\n", ""))

    test_the_filter_bites = unittest.skipUnless(
        under_seccomp.machine() == "x86_64", "numbers of x86_64")(test_the_filter_bites)


@needs_seccomp
class UnderFilters(GatewayTest):
    def round_trip(self, *filter_options):
        """Everything a gateway does in its life, once."""
        config = self.folder / "ringgate.toml"
        config.write_text("server.drain_timeout = '9s'\nstate.snapshot_interval = '1s'\n")
        gateway = self.start({"server.shards": "2", "jsonl.listen": "127.0.0.1:0"},
                             ["--config", str(config)], prefix=[*UNDER, *filter_options])
        host, port = gateway.address()
        code, out, err = run(LOAD, "jt808", "--target", f"{host}:{port}", "--devices", "20",
                             "--rate", "50", "--duration", "0.5", "--quiet")
        self.assertEqual(code, 0, out + err)
        client = Client(gateway.address("http"))
        self.addCleanup(client.close)
        self.assertEqual(client.get("/api/v1/devices").status, 200)
        config.write_text("server.drain_timeout = '8s'\nstate.snapshot_interval = '1s'\n")
        self.assertEqual(run(CTL, "--data", self.data_dir, "reload")[0], 0)
        self.assertEqual(run(CTL, "--data", self.data_dir, "stats")[0], 0)
        gateway.signal(signal.SIGUSR1)
        self.assertEqual(gateway.stop(), 0)
        self.assertNotRegex(gateway.output, r"level=error|Operation not permitted")
        self.assertGreater(len(frames(dump(self.data_dir), "0x0200")), 20)
        again = self.start({"server.shards": "1"}, prefix=[*UNDER, *filter_options])
        self.assertEqual(again.stop(), 0)
        self.assertNotRegex(again.output, r"level=error|Operation not permitted")

    def test_under_the_containers_profile(self):
        self.round_trip("--profile", str(PROFILE))

    @needs_systemd
    def test_under_the_units_filter(self):
        self.round_trip("--unit", str(UNIT))

    def test_without_io_uring_the_error_names_the_cure(self):
        for call in IO_URING:
            with self.subTest(call=call):
                code, out, err = run(*UNDER, "--profile", PROFILE, "--without", call, GATEWAY,
                                     "--set", f"server.data_dir={self.data_dir}",
                                     "--set", "jt808.listen=127.0.0.1:0", "--set", "http.listen=")
                self.assertEqual(code, 1, out + err)
                self.assertIn("io_uring", err)
                self.assertIn("--security-opt seccomp=", err)


RUNTIMES = [name for name in ("runc", "crun") if shutil.which(name)]


@needs_root
@unittest.skipUnless(RUNTIMES, "no runc, no crun")
@unittest.skipIf(SANITIZED, "the leak check traces, which no profile allows")
class Container(GatewayTest):
    """What Docker, containerd and podman do with the profile, without them."""

    def configuration(self, no_new_privileges):
        profile = json.loads(PROFILE.read_text())
        rules = [{key: value for key, value in rule.items() if key != "comment"}
                 for rule in profile["syscalls"]]
        life = ("/opt/ringgate --set server.data_dir=/tmp/d --set jt808.listen=127.0.0.1:0 "
                "--set http.listen=127.0.0.1:0 >/tmp/said & until grep -q ^ready /tmp/said; do "
                "kill -0 $! || exit 9; sleep 0.05; done; grep Seccomp: /proc/$!/status; "
                "kill -TERM $!; wait $!")
        mounts = [("/proc", "proc"), ("/dev", "tmpfs"), ("/tmp", "tmpfs")]
        return {
            "ociVersion": "1.0.2", "hostname": "test",
            "root": {"path": str(self.system.top / "root")},
            "process": {"user": {"uid": 1000, "gid": 1000}, "args": ["/bin/sh", "-c", life],
                        "env": ["PATH=/usr/bin:/bin"], "cwd": "/",
                        "noNewPrivileges": no_new_privileges,
                        "capabilities": {"bounding": [], "effective": [], "permitted": []}},
            "mounts": [{"destination": place, "type": kind, "source": kind}
                       for place, kind in mounts],
            "linux": {"namespaces": [{"type": kind} for kind in ("pid", "ipc", "uts", "mount")],
                      "seccomp": {"defaultAction": profile["defaultAction"],
                                  "defaultErrnoRet": profile["defaultErrnoRet"],
                                  "syscalls": rules}}}

    def test_runtimes_start_the_gateway_with_it(self):
        self.system = System(self)
        self.system.put(GATEWAY)
        for runtime in RUNTIMES:
            # With and without it the filter begins at different places of a runtime's start.
            for no_new_privileges in (True, False):
                with self.subTest(runtime=runtime, no_new_privileges=no_new_privileges):
                    bundle = self.folder / f"{runtime}-{no_new_privileges}"
                    bundle.mkdir()
                    (bundle / "config.json").write_text(
                        json.dumps(self.configuration(no_new_privileges)))
                    code, out, err = run(*self.system.outside(), runtime, "run", "--bundle",
                                         bundle, f"ringgate-test-{os.getpid()}")
                    self.assertEqual(code, 0, out + err)
                    self.assertIn("Seccomp:\t2", out)


if __name__ == "__main__":
    unittest.main()
