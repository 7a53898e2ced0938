"""ringgate-chaos from outside: its plan's mistakes, its exit codes, and its HTTP interface."""

import json
import socket
import unittest

import harness
import test_chaos
from chaos_rig import Chaos, Peer, TcpServer


class CommandLine(test_chaos.ChaosTest):
    def check(self, plan, *arguments):
        path = self.folder / "plan.toml"
        path.write_text(plan)
        return path, harness.run(harness.CHAOS, path, *arguments)

    def test_all_mistakes_with_their_places(self):
        path, (code, out, err) = self.check("""[proxies.a]
listen = "127.0.0.1:0"
[proxies.a.rules.slow]
kind = "latency"
latency = "100"
jiter = "2ms"
[control]
listen = "nowhere"
""", "--check")
        self.assertEqual((code, out), (1, ""))
        self.assertEqual([line.split(": ", 1)[0] for line in err.splitlines()],
                         [f"{path}:1:10", f"{path}:5:11", f"{path}:6:1", f"{path}:8:10"])
        self.assertIn("target is missing", err)
        self.assertIn('did you mean "jitter"?', err)

    def test_a_good_plan(self):
        path, (code, out, err) = self.check(
            '[proxies.a]\nlisten = "127.0.0.1:0"\ntarget = "127.0.0.1:1"\n', "--check")
        self.assertEqual((code, out, err), (0, f"{path}: 1 proxies, no mistakes\n", ""))

    def test_what_can_not_be_opened(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            _, (code, out, err) = self.check(f"""control.listen = "127.0.0.1:{port}"
[proxies.a]
listen = "127.0.0.1:{port}"
target = "127.0.0.1:1"
""")
        self.assertEqual((code, out), (1, ""))
        self.assertIn(f"control.listen: cannot listen on 127.0.0.1:{port}", err)
        self.assertIn(f"proxy a: cannot listen on 127.0.0.1:{port}", err)

    def test_wrong_usage(self):
        for arguments in (["--nonsense"], ["--check"], ["--control", "nowhere"]):
            code, out, err = harness.run(harness.CHAOS, *arguments)
            self.assertEqual((code, out), (2, ""), arguments)
            self.assertTrue(err)
        code, out, _ = harness.run(harness.CHAOS, "--help")
        self.assertEqual(code, 0)
        self.assertIn("Examples:", out)
        code, _, err = harness.run(harness.CHAOS, self.folder / "none.toml")
        self.assertEqual(code, 1)
        self.assertIn("none.toml", err)

    def test_json_lines(self):
        self.start()
        self.stop()
        chaos = self.chaos = Chaos(self.folder, "[proxies.it]\nlisten = \"127.0.0.1:0\"\n"
                                   "target = \"127.0.0.1:1\"\n", ["--json"])
        line = json.loads(chaos.process.stdout.readline())
        self.assertEqual(line["proxies"]["it"]["tcp"], "%s:%d" % chaos.address("it"))


class Http(test_chaos.ChaosTest):
    def start(self, more="", transport="tcp"):
        super().start(more, transport)
        self.target = f"127.0.0.1:{self.server.port}"
        return self.chaos

    def ask(self, method, path, body=None, **fields):
        status, _, text = self.chaos.ask(method, path, body, **fields)
        return status, json.loads(text) if text else None

    def refused(self, expected, method, path, body=None, **fields):
        """The problem (RFC 9457)."""
        status, head, text = self.chaos.ask(method, path, body, **fields)
        self.assertEqual((status, head["Content-Type"]), (expected, "application/problem+json"))
        problem = json.loads(text)
        self.assertEqual(problem["status"], expected)
        return problem

    def test_rules(self):
        self.start()
        rule = "/proxies/it/rules/slow"
        self.refused(404, "GET", rule)
        self.refused(404, "DELETE", rule)
        status, made = self.ask("PUT", rule, {"kind": "latency", "latency": "1500ms"})
        self.assertEqual((status, made["latency"], made["direction"]), (201, "1s500ms", "both"))
        self.assertEqual(self.ask("GET", rule), (200, made))
        self.assertEqual(self.ask("PUT", rule, made), (200, made))
        self.assertEqual(self.ask("GET", "/proxies/it/rules"), (200, {"rules": {"slow": made}}))
        self.assertEqual(self.ask("GET", "/proxies/it")[1]["rules"], {"slow": made})
        self.assertEqual(self.ask("DELETE", rule), (204, None))
        self.refused(404, "GET", rule)
        self.assertEqual(self.ask("DELETE", "/proxies/it/rules"), (204, None))

    def test_proxies(self):
        self.start()
        plan = {"listen": "127.0.0.1:0", "target": self.target, "transport": "both",
                "rules": {"far": {"kind": "latency", "latency": "1ms"}}}
        status, made = self.ask("PUT", "/proxies/new", plan)
        self.assertEqual((status, made["buffer"], made["rules"]["far"]["latency"]),
                         (201, "256KiB", "1ms"))
        self.assertEqual(set(self.ask("GET", "/proxies")[1]["proxies"]), {"it", "new"})
        state = self.chaos.status("new")
        self.assertEqual(state["tcp"], state["udp"])
        self.chaos.addresses["new"] = state["tcp"]
        client = Peer(socket.create_connection(self.chaos.address("new"), harness.LIMIT_S))
        self.addCleanup(client.close)
        server = self.server.accept()
        self.addCleanup(server.close)
        # Another target and no UDP: who is connected stays so, who comes goes there.
        other = TcpServer()
        self.addCleanup(other.close)
        plan |= {"target": f"127.0.0.1:{other.port}", "transport": "tcp", "rules": {}}
        self.assertEqual(self.ask("PUT", "/proxies/new", plan)[0], 200)
        self.assertEqual((self.chaos.status("new")["tcp"], self.chaos.status("new")["udp"]),
                         (state["tcp"], None))
        client.send(b"still here")
        self.assertEqual(server.receive(10), b"still here")
        late = Peer(socket.create_connection(self.chaos.address("new"), harness.LIMIT_S))
        self.addCleanup(late.close)
        other.accept().close()
        # Another place to listen: the old one and its connections end.
        with socket.create_server(("127.0.0.1", 0)) as found:
            free = found.getsockname()[1]
        plan["listen"] = f"127.0.0.1:{free}"
        self.assertEqual(self.ask("PUT", "/proxies/new", plan)[0], 200)
        self.assertEqual(self.chaos.status("new")["tcp"], f"127.0.0.1:{free}")
        self.assertEqual(client.to_the_end(), (b"", "reset"))
        with self.assertRaises(ConnectionRefusedError):
            socket.create_connection(self.chaos.address("new"))
        # Where somebody else listens nothing changes.
        wrong = plan | {"listen": f"127.0.0.1:{self.server.port}"}
        self.assertIn("cannot listen", self.refused(409, "PUT", "/proxies/new", wrong)["detail"])
        self.refused(409, "PUT", "/proxies/newer", wrong)
        self.assertEqual(self.chaos.status("new")["tcp"], f"127.0.0.1:{free}")
        # Gone, and the port free at once.
        self.assertEqual(self.ask("DELETE", "/proxies/new"), (204, None))
        self.assertEqual(self.ask("PUT", "/proxies/newest", plan)[0], 201)
        self.refused(404, "DELETE", "/proxies/new")

    def test_what_is_wrong_is_told_all_at_once(self):
        self.start()
        problem = self.refused(400, "PUT", "/proxies/it/rules/x",
                               {"kind": "latency", "latency": 5, "probability": 2, "foo": {}})
        self.assertEqual([error["pointer"] for error in problem["errors"]],
                         ["/probability", "/latency", "/foo"])
        problem = self.refused(400, "PUT", "/proxies/p", {"listen": "x", "rules": {"r": 5}})
        self.assertEqual([error["pointer"] for error in problem["errors"]],
                         ["/listen", "", "/rules/r"])
        problem = self.refused(400, "PUT", "/proxies/it/rules/x", '{"kind":\n nonsense}')
        self.assertEqual((problem["errors"][0]["line"], problem["errors"][0]["column"]), (2, 3))
        self.refused(400, "PUT", "/proxies/it/rules/b%20d", {"kind": "reset"})
        self.refused(400, "PUT", "/proxies/it/rules/", {"kind": "reset"})
        self.assertEqual(self.ask("GET", "/proxies/it/rules"), (200, {"rules": {}}))

    def test_what_is_not_there_or_not_done(self):
        self.start()
        for path in ("/", "/nothing", "/proxies/none", "/proxies/none/rules", "/proxies/it/x",
                     "/proxies/it/rules/x/y"):
            self.refused(404, "GET", path)
        self.refused(404, "PUT", "/proxies/none/rules/x", {"kind": "reset"})
        status, head, _ = self.chaos.ask("POST", "/proxies/it")
        self.assertEqual((status, head["Allow"]), (405, "GET, HEAD, PUT, DELETE"))
        self.refused(405, "DELETE", "/proxies")
        self.refused(405, "PUT", "/status", {})
        self.refused(415, "PUT", "/proxies/it/rules/x", {"kind": "reset"},
                     **{"Content-Type": "text/plain"})
        status, _, _ = self.chaos.ask("PUT", "/proxies/it/rules/x", " " * 300_000)
        self.assertEqual(status, 413)
        self.chaos.connection.close()

    def test_a_page_of_elsewhere_can_not_drive_it(self):
        self.start()
        rule = {"kind": "reset"}
        for fields in ({"Host": "evil.example"}, {"Origin": "https://evil.example"},
                       {"Origin": "null"}):
            self.refused(403, "PUT", "/proxies/it/rules/x", rule, **fields)
            self.refused(403, "GET", "/proxies", **fields)
        host = "localhost:%d" % self.chaos.address("control")[1]
        self.assertEqual(self.ask("PUT", "/proxies/it/rules/x", rule, Host=host,
                                  Origin=f"http://{host}")[0], 201)

    def test_metrics(self):
        self.start()
        client, server = self.pair()
        client.send(b"12345")
        server.receive(5)
        self.chaos.rule("it", "cut", kind="reset")
        client.to_the_end()
        text = self.chaos.ask("GET", "/metrics")[2]
        self.assertIn('ringgate_chaos_bytes_total{proxy="it",direction="up"} 5\n', text)
        self.assertIn('ringgate_chaos_rule_hits_total{proxy="it",rule="cut",kind="reset"} 1\n',
                      text)


if __name__ == "__main__":
    unittest.main()
