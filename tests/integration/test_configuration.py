"""Mistakes in settings are told with the place and the cure; each value knows its source."""

import os
import re
import unittest

import harness


class Configuration(harness.GatewayTest):
    def check(self, text, *arguments, **environment):
        path = self.folder / "gateway.toml"
        path.write_text(text)
        code, out, err = harness.run(harness.GATEWAY, "--config", path, "--check-config",
                                     *arguments, env={**os.environ, **environment})
        return code, out + err, path

    def test_a_good_file_passes(self):
        code, said, _ = self.check("[server]\nshards = 1\n\n[jt808]\nlisten = [\"127.0.0.1:0\"]\n")
        self.assertEqual(code, 0, said)

    def test_an_unknown_key_names_place_and_neighbour(self):
        code, said, path = self.check("[server]\nshrads = 1\n")
        self.assertNotEqual(code, 0)
        self.assertIn(f"{path}:2:1", said)
        self.assertIn("shards", said)

    def test_a_wrong_type_names_the_place(self):
        code, said, path = self.check("[server]\n  shards = \"many\"\n")
        self.assertNotEqual(code, 0)
        self.assertIn(f"{path}:2:", said)

    def test_broken_toml_names_the_place(self):
        code, said, path = self.check("[server]\nshards = \n")
        self.assertNotEqual(code, 0)
        self.assertIn(f"{path}:2:", said)

    def test_a_missing_file_is_named(self):
        code, out, err = harness.run(harness.GATEWAY, "--config", "/nowhere/a.toml",
                                     "--check-config")
        self.assertNotEqual(code, 0)
        self.assertIn("/nowhere/a.toml", out + err)

    def test_a_wrong_set_is_named(self):
        code, said, _ = self.check("", "--set", "server.shrads=1")
        self.assertNotEqual(code, 0)
        self.assertIn("shards", said)

    def test_later_layers_win(self):
        path = self.folder / "gateway.toml"
        path.write_text("[server]\nshards = 2\ndrain_timeout = \"7s\"\n")
        code, out, err = harness.run(
            harness.GATEWAY, "--config", path, "--set", "server.shards=4", "--print-config",
            env={**os.environ, "RINGGATE_SERVER__SHARDS": "3"})
        self.assertEqual(code, 0, err)
        shards = next(line for line in out.splitlines() if "shards" in line)
        self.assertIn("4", shards)
        drain = next(line for line in out.splitlines() if "drain_timeout" in line)
        self.assertIn("7", drain)
        self.assertIn(str(path), drain)

    def test_values_may_be_written_as_in_a_file(self):
        code, out, err = harness.run(
            harness.GATEWAY, "--set", 'jt808.listen=["127.0.0.1:1", "[::1]:2"]', "--set",
            'server.drain_timeout="7s"', "--set", "jsonl.listen=[::1]:3,[::1]:4", "--print-config")
        self.assertEqual(code, 0, err)
        for line in ('listen = ["127.0.0.1:1", "[::1]:2"]', 'drain_timeout = "7s"',
                     'listen = ["[::1]:3", "[::1]:4"]'):
            self.assertIn(line, out)

    def test_programs_tell_their_version_and_help_with_examples(self):
        programs = [path for path in sorted((harness.BUILD / "tools").glob("*/ringgate*"))
                    if path.is_file() and re.fullmatch(r"ringgate(-[a-z]+)?", path.name)]
        self.assertGreaterEqual(len(programs), 8)
        for program in programs:
            code, out, err = harness.run(program, "--version")
            self.assertEqual((code, err), (0, ""), program)
            self.assertRegex(out, rf"^{program.name} \d+\.\d+\.\d+\n$")
            code, out, err = harness.run(program, "--help")
            self.assertEqual((code, err), (0, ""), program)
            self.assertRegex(out, r"(?m)^Examples:\n(  .*\n)+", program)
            self.assertRegex(out, r"(?m)^Exit codes?: 0 ", program)

    def test_a_port_in_use_is_named(self):
        first = self.start()
        host, port = first.address()
        second = self.start({"jt808.listen": f"{host}:{port}"}, wait=False,
                            data_dir=self.folder / "other")
        self.assertNotEqual(second.wait(), 0)
        self.assertIn(str(port), second.output)


if __name__ == "__main__":
    unittest.main()
