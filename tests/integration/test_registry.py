"""The registry: who is in it may come, who leaves it must go; files in and out."""

import json
import unittest

import harness
import jt808


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
        self.assertIn("other_terminal", gateway.output)

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
        file.write_text("phone\nabc\n")
        self.assertIn("abc", self.ctl("registry", "import", file, code=2))

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


if __name__ == "__main__":
    unittest.main()
