"""Load runs in progress over HTTP: what a run tells of itself is shown, within bounds."""

import re

import api_client
import harness

RUN = {"scenario": "peak", "stage": "rush", "phase": "running", "elapsed_s": 12.5, "planned_s": 60,
       "users": 90, "users_wanted": 100, "sent_per_s": 450.5, "acknowledged_per_s": 450,
       "errors": 2, "p50_ms": 0.4, "p99_ms": 12.25, "workers": 2, "workers_lost": 1,
       "faults": ["cut"]}


class Runs(harness.GatewayTest):
    def client(self, token=None):
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        client = api_client.Client(self.gateway.address("http"), headers)
        self.addCleanup(client.close)
        return client

    def test_what_a_run_tells_is_shown(self):
        self.gateway = self.start()
        client = self.client()
        self.assertEqual(client.get("/api/v1/runs").body, {"runs": []})
        self.assertEqual(client.put("/api/v1/runs/a1", RUN).status, 204)
        self.assertEqual(client.put("/api/v1/runs/b2", {"scenario": "day"}).status, 204)
        self.assertEqual(client.put("/api/v1/runs/a1", RUN | {"users": 91}).status, 204)
        found = client.get("/api/v1/runs").body["runs"]
        self.assertEqual([one["id"] for one in found], ["a1", "b2"])
        self.assertGreaterEqual(found[0].pop("silent_s"), 0)
        self.assertEqual(found[0], RUN | {"id": "a1", "users": 91})
        # It comes each second: no line of the gateway's log for each.
        self.assertNotIn("/api/v1/runs/", self.gateway.output)

    def test_bounds(self):
        self.gateway = self.start()
        client = self.client()
        for number in range(16):
            self.assertEqual(client.put(f"/api/v1/runs/{number}", RUN).status, 204)
        self.assertEqual(client.put("/api/v1/runs/more", RUN).status, 409)
        self.assertEqual(client.put("/api/v1/runs/3", RUN).status, 204)
        for path in ("a%20b", "%3Cb%3E", "x" * 65):
            self.assertEqual(client.put(f"/api/v1/runs/{path}", RUN).status, 400, path)
        for bad in ({}, {"scenario": 1}, {"scenario": "x" * 129}, RUN | {"users": -1},
                    RUN | {"users": 1.5}, RUN | {"p99_ms": "1"}, RUN | {"p99_ms": -1},
                    RUN | {"p99_ms": 1e300}, RUN | {"faults": ["x"] * 17}, RUN | {"faults": [1]},
                    RUN | {"faults": "x"}, RUN | {"other": 1}):
            self.assertEqual(client.put("/api/v1/runs/3", bad).status, 400, bad)
        self.assertEqual(client.put("/api/v1/runs/3", b"[").status, 400)
        self.assertEqual(client.put("/api/v1/runs/3", b" " * 10_000).status, 413)
        self.assertEqual(client.delete("/api/v1/runs/3").status, 405)
        self.assertEqual(client.get("/api/v1/runs").body["runs"][0]["scenario"], "peak")

    def test_readers_see_runs_and_put_none(self):
        self.gateway = self.start()
        tokens = {}
        for name, scope in (("read", "read"), ("command", "read,command")):
            code, out, err = harness.run(harness.CTL, "--data", self.data_dir, "token",
                                         "create", "--name", name, "--scope", scope)
            self.assertEqual(code, 0, err)
            tokens[name] = re.search(r"rg_\S+", out)[0]
        self.assertEqual(self.client(tokens["command"]).put("/api/v1/runs/a", RUN).status, 204)
        reader = self.client(tokens["read"])
        self.assertEqual(len(reader.get("/api/v1/runs").body["runs"]), 1)
        self.assertEqual(reader.put("/api/v1/runs/a", RUN).status, 403)
