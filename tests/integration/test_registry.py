"""The registry: who is in it may come, who leaves it must go; files in and out."""

import json
import signal
import subprocess
import unittest
from pathlib import Path

import harness
import jt808
import servers


class Registry(harness.GatewayTest):
    def ctl(self, *words, code=0, **options):
        got, out, err = harness.run(harness.CTL, "--data", self.data_dir, *words, **options)
        self.assertEqual(got, code, out + err)
        return out + err

    def refused(self, address, phone, **fields):
        """The result of 0x8100."""
        with jt808.Terminal(address, phone) as terminal:
            terminal.send(0x0100, jt808.register_body(**fields))
            return terminal.receive().body[2]

    def listed(self):
        rows = self.ctl("registry", "list", "--json").splitlines()
        return {row["phone"]: row for row in map(json.loads, rows)}

    def test_only_who_is_registered_may_come(self):
        gateway = self.start({"jt808.admission": "registry", "server.shards": "2"})
        phone = "13800138000"
        self.assertEqual(self.refused(gateway.address(), phone), 4)
        self.ctl("registry", "add", phone, "--plate", "沪A12345", "--note", "the \"first\"")
        with jt808.Terminal(gateway.address(), phone) as terminal:
            terminal.sign_in()
            terminal.report()
            shown = json.loads(self.ctl("device", phone, "--json"))
            self.assertEqual(shown["registration"]["plate"], "沪A12345")
            code = terminal.code
            self.ctl("registry", "remove", phone)
            with self.assertRaises((ConnectionError, EOFError, AssertionError)):
                terminal.report()
        self.assertEqual(self.refused(gateway.address(), phone), 4)
        self.ctl("registry", "add", phone, "--disabled")
        self.assertEqual(self.refused(gateway.address(), phone), 4)
        self.ctl("registry", "add", phone)
        with jt808.Terminal(gateway.address(), phone) as terminal:
            terminal.authenticate(code)  # it was never revoked
        self.assertIn("not registered", self.ctl("registry", "show", "1", code=1))
        self.assertIn("not registered", self.ctl("registry", "remove", "1", code=1))

    def test_another_terminal_with_the_card_is_refused(self):
        gateway = self.start({"jt808.admission": "registry"})
        self.ctl("registry", "add", "13800138000", "--terminal-id", "OTHER")
        self.assertEqual(self.refused(gateway.address(), "13800138000"), 4)
        servers.wait_until(lambda: "other_terminal" in gateway.output, "the log says why")

    def test_with_open_admission_the_registry_bars_nobody(self):
        gateway = self.start()
        self.ctl("registry", "add", "13800138000", "--disabled")
        with jt808.Terminal(gateway.address(), "13800138000") as terminal:
            terminal.sign_in()
            self.ctl("registry", "remove", "13800138000")
            terminal.report()

    def test_files(self):
        self.start({"server.shards": "2"})
        rows = [f"1380013{index:04},沪A{index},{index % 7},\"a,\"\"{index}\"\"\"" for index in
                range(3000)]
        file = self.folder / "fleet.csv"
        file.write_text("phone,plate,plate_colour,note\n" + "\n".join(rows) + "\n")
        self.assertIn("3000 devices would be registered",
                      self.ctl("registry", "import", file, "--dry-run"))
        self.assertEqual(self.listed(), {})
        self.assertIn("3000 devices registered", self.ctl("registry", "import", file))
        listed = self.listed()
        self.assertEqual(len(listed), 3000)
        self.assertEqual(listed["13800130007"]["note"], 'a,"7"')
        for name in ("out.csv", "out.toml"):
            out = self.folder / name
            self.ctl("registry", "export", out)
            self.ctl("registry", "remove", *list(listed)[:10])
            self.ctl("registry", "import", out)
            self.assertEqual(self.listed(), listed)
        file.write_text("phone\n13800130001\n013800130002\n")
        self.assertIn("2 devices registered, 2998 removed",
                      self.ctl("registry", "import", file, "--replace"))
        self.assertEqual(sorted(self.listed()), ["13800130001", "13800130002"])
        file.write_text("phone,enabled\n1,x\n2\n3,true\n")
        told = self.ctl("registry", "import", file, code=1)
        self.assertIn("fleet.csv:2: enabled: true or false is expected, not 'x'", told)
        self.assertIn("fleet.csv:3: 1 columns", told)
        self.assertEqual(len(self.listed()), 2)
        file.write_text("phone\n1\nabc\n")
        self.assertIn("fleet.csv:3: phone: 1 to 20 digits are expected, not 'abc'",
                      self.ctl("registry", "import", file, code=1))
        self.assertEqual(len(self.listed()), 2)

    def test_a_stuck_gateway_does_not_hold_its_clients(self):
        gateway = self.start()
        file = self.folder / "fleet.csv"
        note = "n" * 200
        file.write_text("phone,note\n" + "".join(f"{i},{note}\n" for i in range(1, 20001)))
        gateway.signal(signal.SIGSTOP)
        try:
            client = subprocess.Popen([harness.CTL, "--data", self.data_dir, "registry", "import",
                                       file], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            # It waits: what it sends is more than the socket takes.
            stat, seen = Path(f"/proc/{client.pid}/stat"), []

            def waits():
                seen.append(stat.read_text().split()[2])
                return len(seen) >= 10 and set(seen[-10:]) <= set("SZ")

            servers.wait_until(waits, "ringgate-ctl waits")
            client.send_signal(signal.SIGINT)
            told = client.communicate(timeout=harness.LIMIT_S)[0].decode()
            self.assertEqual(client.returncode, 1, told)
            self.assertIn("interrupted", told)
        finally:
            gateway.signal(signal.SIGCONT)
        self.assertEqual(gateway.stop(), 0)

    def test_the_log_tells_of_every_change(self):
        gateway = self.start()
        self.ctl("registry", "add", "13800138000", "--plate", "X")
        self.ctl("registry", "add", "13800138000", "--plate", "X")  # no change
        self.ctl("registry", "remove", "13800138000")
        self.ctl("ban", "13800138000", "--why", "x")
        self.assertEqual(gateway.stop(), 0)
        kinds = [(record["kind"], record.get("message"))
                 for record in harness.dump(self.data_dir) if record["kind"] == "state"]
        self.assertEqual(len(kinds), 4)

    def test_everything_outlives_the_process(self):
        settings = {"jt808.admission": "registry", "server.shards": "2"}
        phones = [f"1380013{index:04}" for index in range(50)]
        for number in range(4):
            # Snapshots come early in some lives and never in others; the count of shards changes.
            settings["state.snapshot_interval"] = "1s" if number % 2 else "1h"
            settings["server.shards"] = str(1 + number % 2)
            gateway = self.start(settings)
            self.assertEqual(sorted(self.listed()), sorted(phones[:10 * number]))
            for phone in phones[10 * number:10 * number + 10]:
                self.ctl("registry", "add", phone, "--plate", f"P{phone}")
            if number == 0:
                with jt808.Terminal(gateway.address(), phones[0]) as terminal:
                    terminal.sign_in()
                    code = terminal.code
                self.ctl("ban", phones[0], "--why", "it floods")
            self.assertIn("it floods", self.ctl("bans"))
            self.assertEqual(self.refused(gateway.address(), phones[0]), 4)
            if number % 2:
                # Each registration, the ban, the generation that it raised.
                servers.wait_until(lambda: self.stat("ringgate_state_snapshot_records") ==
                                   10 * number + 12, "there is a snapshot with the changes")
            self.assertEqual(gateway.kill() if number % 3 else gateway.stop(),
                             -9 if number % 3 else 0)
        gateway = self.start(settings)
        self.assertEqual(sorted(self.listed()), sorted(phones[:40]))
        self.ctl("unban", phones[0])
        with jt808.Terminal(gateway.address(), phones[0]) as terminal:
            # The ban revoked what the terminal holds, for good.
            terminal.send(0x0102, jt808.authenticate_body(code))
            self.assertEqual(terminal.receive().body[4], 1)
            terminal.sign_in()

    def stat(self, name):
        return json.loads(self.ctl("stats", "--json"))[name]["value"]

    def test_a_snapshot_that_is_damaged_is_not_taken(self):
        settings = {"state.snapshot_interval": "1s"}
        gateway = self.start(settings)
        for number, phone in enumerate(("13800138000", "13800138001", "13800138002")):
            self.ctl("registry", "add", phone)
            servers.wait_until(lambda: self.stat("ringgate_state_snapshot_records") == number + 1,
                               "there is a snapshot with it")
        self.assertEqual(gateway.kill(), -9)
        snapshots = sorted((self.data_dir / "state").glob("snapshot-*"))
        self.assertEqual(len(snapshots), 2)
        whole = snapshots[-1].read_bytes()
        for damage in (lambda data: data[:len(data) // 2], lambda data: b"",
                       lambda data: data[:40] + bytes([data[40] ^ 1]) + data[41:]):
            snapshots[-1].write_bytes(damage(whole))
            gateway = self.start(settings | {"state.snapshot_interval": "1h"})
            self.assertEqual(len(self.listed()), 3)
            self.assertIn(snapshots[-1].name, gateway.output)
            self.assertEqual(gateway.kill(), -9)
            for extra in sorted((self.data_dir / "state").glob("snapshot-*")):
                if extra not in snapshots:
                    extra.unlink()
            (self.data_dir / "state" / snapshots[0].name).touch()
        # None that is good: the log alone has everything.
        for snapshot in (self.data_dir / "state").glob("snapshot-*"):
            snapshot.write_bytes(b"nothing")
        self.start(settings)
        self.assertEqual(len(self.listed()), 3)


if __name__ == "__main__":
    unittest.main()
