"""ringgate-doctor on this machine, on a made one, and with cures that really run."""

import json
import os
import shutil
import subprocess
import unittest

import harness

DOCTOR = harness.BUILD / "tools" / "doctor" / "ringgate-doctor"


def run(*arguments, **options):
    return harness.run(DOCTOR, *arguments, **options)


class Doctor(harness.GatewayTest):
    def examine(self, *arguments):
        code, out, err = run("--json", "--data", self.folder, *arguments)
        self.assertIn(code, (0, 1), err)
        found = json.loads(out)
        self.assertEqual(code, 1 if found["costs"] + found["blocks"] else 0)
        return {row["check"]: row for row in found["findings"]}, found

    def test_every_check_says_something_of_this_machine(self):
        rows, found = self.examine("--devices", "1000")
        code, listed, _ = run("--list")
        self.assertEqual(code, 0)
        self.assertEqual(list(rows), [line.split()[0] for line in listed.splitlines()])
        for row in rows.values():
            self.assertTrue(row["found"], row)
            self.assertEqual(row["state"] in ("costs", "blocks"), bool(row["costs"]), row)
            self.assertTrue(row["state"] not in ("costs", "blocks") or row["cures"], row)
        # Gateways run here, so rings open and the disk takes durable writes.
        self.assertEqual(rows["io_uring"]["state"], "good")
        self.assertIn("p99", rows["disk_speed"]["found"])
        self.assertEqual(found["fleet"]["devices"], 1000)
        self.assertEqual(list(self.folder.iterdir()), [], "the doctor leaves nothing behind")

    def test_the_configuration_counts(self):
        config = self.folder / "ringgate.toml"
        config.write_text('[server]\nshards = 3\nmax_links = 500\n[jt808]\nbacklog = 60000\n')
        rows, found = self.examine("--config", config, "--only", "nofile,backlog")
        self.assertEqual(set(rows), {"nofile", "backlog"})
        self.assertEqual(found["fleet"]["shards"], 3)
        self.assertEqual((found["fleet"]["devices"], found["fleet"]["devices_from"]),
                         (500, "server.max_links"))
        self.assertIn("60,000", rows["backlog"]["found"])
        config.write_text("[server]\nshard = 3\n")
        code, out, err = run("--config", config, "--only", "nofile")
        self.assertEqual((code, out), (2, ""))
        self.assertIn("server.shard", err)

    def test_wrong_usage_exits_with_2(self):
        for arguments in (["--only", "nofiles"], ["--dry-run"], ["--pid", "x"], ["--devices", "0"],
                          ["--nonsense"], ["--gateway", "/nowhere"]):
            code, _, err = run(*arguments)
            self.assertEqual(code, 2, arguments)
            self.assertTrue(err, arguments)
        code, out, _ = run("--help")
        self.assertEqual(code, 0)
        self.assertIn("Examples:", out)

    def test_a_running_gateway_by_its_limits(self):
        gateway = self.start(prefix=["prlimit", "--nofile=2000:2000"]
                             if shutil.which("prlimit") else [])
        if not shutil.which("prlimit"):
            self.skipTest("no prlimit")
        rows, _ = self.examine("--pid", gateway.process.pid, "--only", "nofile", "--devices",
                               "5000")
        self.assertEqual(rows["nofile"]["state"], "blocks")
        self.assertIn("hard 2,000", rows["nofile"]["found"])
        self.assertIn("3,756 of 5,000", rows["nofile"]["costs"])

    def test_a_made_machine(self):
        def put(path, text):
            file = self.folder / "root" / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        put("proc/sys/net/core/somaxconn", "128\n")
        put("proc/self/limits", "Max open files            100   200   files\n")
        put("proc/sys/fs/nr_open", "1048576\n")
        rows, _ = self.examine("--root", self.folder / "root", "--only",
                               "backlog,nofile,tcp_memory")
        self.assertEqual(rows["backlog"]["state"], "costs")
        self.assertEqual(rows["nofile"]["state"], "blocks")
        self.assertEqual(rows["tcp_memory"]["state"], "unknown")

    def test_cures_run_and_hold(self):
        """In a network of its own somaxconn is its own; files below /etc are made on a tmpfs."""
        script = (f"mount -t tmpfs none /etc/sysctl.d && sysctl -qw net.core.somaxconn=100 && "
                  f"{DOCTOR} --only backlog --data {self.folder} --apply --dry-run; "
                  f"cat /proc/sys/net/core/somaxconn; "
                  f"{DOCTOR} --only backlog --data {self.folder} --apply; echo code $?; "
                  f"cat /proc/sys/net/core/somaxconn /etc/sysctl.d/90-ringgate.conf; "
                  f"{DOCTOR} --only backlog --data {self.folder} --apply; echo code $?; "
                  f"wc -l < /etc/sysctl.d/90-ringgate.conf")
        if os.geteuid() != 0 or not shutil.which("sysctl") or not os.path.isdir("/etc/sysctl.d"):
            self.skipTest("needs root, sysctl and /etc/sysctl.d")
        done = subprocess.run(["unshare", "--net", "--mount", "sh", "-c", script],
                              capture_output=True, text=True, timeout=harness.LIMIT_S)
        if "unshare" in done.stderr or "mount:" in done.stderr:
            self.skipTest(f"no namespaces here: {done.stderr.strip()}")
        out = done.stdout
        self.assertIn("would cure backlog:\n  sysctl -w net.core.somaxconn=4096", out)
        dry, wet = out.split("\n100\n", 1)  # the dry run has changed nothing
        self.assertIn("curing backlog:", wet)
        self.assertIn("now good", wet)
        self.assertIn("code 0\n4096\nnet.core.somaxconn = 4096\n", wet)
        self.assertNotIn("curing", wet.split("net.core.somaxconn = 4096\n", 1)[1])
        self.assertTrue(wet.rstrip().endswith("code 0\n1"), wet)


if __name__ == "__main__":
    unittest.main()
