"""The gateway under a service manager: what it tells, and that its watchdog starves when one thread
stands still. The manager is a socket of the test; the thread is stopped as a debugger does it."""

import ctypes
import os
import signal
import socket
import time
import unittest
from pathlib import Path

from harness import CTL, LIMIT_S, GatewayTest, run

LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.ptrace.restype = ctypes.c_long
LIBC.ptrace.argtypes = [ctypes.c_ulong, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
PTRACE_SEIZE, PTRACE_INTERRUPT, PTRACE_DETACH = 0x4206, 0x4207, 17
WALL = 0x40000000  # __WALL: threads that are no children of ours


def thread_of(pid, name):
    for task in Path(f"/proc/{pid}/task").iterdir():
        if (task / "comm").read_text().strip() == name:
            return int(task.name)
    raise AssertionError(f"no thread {name}")


class Frozen:
    """A thread that does not run for a while; everything else of its process does."""

    def __init__(self, test, pid, name):
        self.tid = thread_of(pid, name)
        if LIBC.ptrace(PTRACE_SEIZE, self.tid, None, None) != 0:
            test.skipTest(f"ptrace is not allowed here: {os.strerror(ctypes.get_errno())}")
        LIBC.ptrace(PTRACE_INTERRUPT, self.tid, None, None)
        os.waitpid(self.tid, WALL)

    def thaw(self):
        if self.tid is not None:
            LIBC.ptrace(PTRACE_DETACH, self.tid, None, None)
            self.tid = None


class Service(GatewayTest):
    def setUp(self):
        super().setUp()
        self.path = self.folder / "notify"
        self.manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(self.manager.close)
        self.manager.bind(str(self.path))
        self.manager.settimeout(LIMIT_S)

    def start_service(self, watchdog_us=None, settings=None, arguments=()):
        told = {"NOTIFY_SOCKET": str(self.path)}
        if watchdog_us:
            told["WATCHDOG_USEC"] = str(watchdog_us)
        prefix = ["env", *(f"{key}={value}" for key, value in told.items())]
        settings = {"server.shards": "2", "server.status_interval": "0s"} | (settings or {})
        return self.start(settings, arguments, prefix=prefix)

    def next(self):
        return self.manager.recv(65536).decode()

    def wait_for(self, start):
        """The first message that starts so, and all that came before it."""
        before, patience = [], time.monotonic() + LIMIT_S
        while time.monotonic() < patience:
            message = self.next()
            if message.startswith(start):
                return message, before
            before.append(message)
        self.fail(f"no {start} among {before}")

    def test_what_a_life_tells(self):
        gateway = self.start_service()
        self.assertTrue(self.next().startswith("STATUS=starting"))
        ready = self.next().split("\n")
        self.assertEqual(ready[0], "READY=1")
        self.assertTrue(ready[1].startswith("STATUS=ready jt808="), ready)
        gateway.stop()
        stopping = self.next().split("\n")
        self.assertEqual(stopping[0], "STOPPING=1")
        # 10 s of draining and a minute.
        self.assertEqual(stopping[1], "EXTEND_TIMEOUT_USEC=70000000")
        self.assertTrue(stopping[2].startswith("STATUS=draining"), stopping)

    def test_a_start_that_fails_says_why(self):
        taken = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(taken.close)
        port = taken.getsockname()[1]
        code, _, err = run("env", f"NOTIFY_SOCKET={self.path}", *self.command(port))
        self.assertEqual(code, 1)
        self.assertIn(str(port), err)
        self.next()
        self.assertIn(f"127.0.0.1:{port}", self.next())

    def command(self, port):
        from harness import GATEWAY
        return [str(GATEWAY), "--set", f"server.data_dir={self.data_dir}",
                "--set", f"jt808.listen=127.0.0.1:{port}", "--set", "http.listen="]

    def test_status_lines_come_with_the_interval(self):
        self.start_service(settings={"server.status_interval": "100ms"})
        self.wait_for("READY=1")
        status, _ = self.wait_for("STATUS=")
        self.assertRegex(status, r"STATUS=0 devices online, 0 frames/s, a commit takes .* ms")

    def test_reloads_are_told_with_the_clock_and_their_end(self):
        config = self.folder / "ringgate.toml"
        config.write_text("server.drain_timeout = '10s'\n")
        gateway = self.start_service(arguments=["--config", str(config)])
        self.wait_for("READY=1")
        config.write_text("server.drain_timeout = '3s'\n")
        before_us = time.monotonic_ns() // 1000
        code, out, err = run(CTL, "--data", self.data_dir, "reload")
        self.assertEqual((code, err), (0, ""))
        self.assertEqual(out.splitlines(), ["server.drain_timeout = 3s (was 10s)",
                                            "reloaded, 1 changed"])
        reloading = self.next().split("\n")
        self.assertEqual(reloading[0], "RELOADING=1")
        clock = int(reloading[1].removeprefix("MONOTONIC_USEC="))
        self.assertTrue(before_us <= clock <= time.monotonic_ns() // 1000)
        self.assertEqual(self.next(), "READY=1")
        self.assertEqual(self.next(), "STATUS=configuration reloaded")

        # By signal too, and a bad file is refused aloud.
        config.write_text("server.drain_timeout = 'soon'\njt808.idle = 1\n")
        gateway.signal(signal.SIGHUP)
        self.assertTrue(self.next().startswith("RELOADING=1\n"))
        self.assertEqual(self.next(), "READY=1")
        self.assertIn("reload refused, nothing changed: ", self.next())
        code, out, err = run(CTL, "--data", self.data_dir, "reload")
        self.assertEqual(code, 1)
        self.assertIn("ringgate.toml:1", err)
        self.assertIn("ringgate.toml:2", err)
        self.assertIn("nothing was changed", err)

        config.write_text("server.shards = 3\n")
        code, out, err = run(CTL, "--data", self.data_dir, "reload")
        self.assertEqual(code, 0, "the command line wins over the file")
        config.write_text("control.enabled = false\n")
        code, out, err = run(CTL, "--data", self.data_dir, "reload", "--json")
        self.assertEqual(code, 1)
        self.assertIn("takes a restart", out)

    def test_the_watchdog_starves_when_one_thread_stands_still(self):
        gateway = self.start_service(watchdog_us=400_000)
        self.wait_for("READY=1")
        for _ in range(3):
            self.wait_for("WATCHDOG=1")
        for name in ("shard-1", "shard-0", "api", "stream", "control"):
            with self.subTest(thread=name):
                frozen = Frozen(self, gateway.process.pid, name)
                self.addCleanup(frozen.thaw)
                try:
                    # What was due before the thread stopped, then the alarm.
                    while name not in self.wait_for("STATUS=stuck: ")[0]:
                        pass
                    for _ in range(6):  # longer than the interval
                        message = self.next()
                        self.assertTrue(message.startswith("STATUS=stuck: "), message)
                        self.assertIn(name, message)
                finally:
                    frozen.thaw()
                self.wait_for("WATCHDOG=1\nSTATUS=all threads turn again")
                self.wait_for("WATCHDOG=1")
        self.assertIn('msg=stuck who="', gateway.output)
        self.assertEqual(gateway.stop(), 0)

    def test_without_a_watchdog_nothing_is_fed(self):
        gateway = self.start_service()
        gateway.stop()
        messages = []
        self.manager.setblocking(False)
        while True:
            try:
                messages.append(self.next())
            except BlockingIOError:
                break
        self.assertEqual([m.split("=")[0] for m in messages], ["STATUS", "READY", "STOPPING"])


if __name__ == "__main__":
    unittest.main()
