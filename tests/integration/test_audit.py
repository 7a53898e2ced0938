"""Audit records: whatever is changed through the API, ringgate-ctl or a reload says in the log who
did it, also where no device is concerned; they outlive kill -9."""

import json
import signal
import urllib.parse

import api_client
import harness
import jt808
import servers

PHONE = "13800138000"

# What asks and changes nothing, or nothing that stays; what goes to many devices leaves a record of
# each. A new route that is not in one of these lists, or in the test below, fails it.
NO_EFFECT = {("post", "/api/v1/messages/decode"), ("post", "/api/v1/messages/explain"),
             ("post", "/api/v1/messages/encode")}
PASSING = "/api/v1/runs"  # what a load generator shows on the page while it runs
OF_DEVICES = {("post", "/api/v1/commands")}
WITHOUT_DEVICE = {("post", "/api/v1/login"), ("post", "/api/v1/logout"),
                  ("delete", "/api/v1/commands/{id}")}
OF_REGISTRY = {("post", "/api/v1/registrations"), ("put", "/api/v1/registrations/{id}"),
               ("patch", "/api/v1/registrations/{id}"), ("delete", "/api/v1/registrations/{id}")}


class Audit(harness.GatewayTest):
    def begin(self, **settings):
        config = self.folder / "gateway.toml"
        config.write_text('[jt808]\nidle_timeout = "3m"\n')
        self.config = config
        self.gateway = self.start({"server.shards": "2", **settings}, ["--config", str(config)])
        self.client = api_client.Client(self.gateway.address("http"))
        self.addCleanup(self.client.close)

    def ctl(self, *words):
        code, out, err = harness.run(harness.CTL, "--data", self.data_dir, *words)
        self.assertEqual(code, 0, err)
        return out

    def deeds(self):
        """Of the log as ringgate-log reads it: (device, audit)."""
        return [(record["device"], record["audit"]) for record in harness.dump(self.data_dir)
                if record["kind"] == "audit"]

    def until(self, action, **details):
        """The newest deed without a device, once the log has it."""
        found = []

        def there():
            found[:] = [audit for device, audit in self.deeds()
                        if device == "" and audit["action"] == action
                        and details.items() <= audit.items()]
            return found

        servers.wait_until(there, f"the record of {action} {details}")
        return found[-1]

    def test_what_concerns_no_device(self):
        self.begin()
        token = self.ctl("token", "create", "--name", "ops", "--scope", "read,command,admin",
                         "--expires", "90d").strip()
        made = self.until("token create", token="ops")
        self.assertIn("(uid ", made["by"])
        self.assertEqual(made["scopes"], "read,command,admin")
        self.assertIn("expires", made)
        answer = self.client.post("/api/v1/login", {"token": token})
        self.assertEqual(answer.status, 200, answer.body)
        cookie = {"Cookie": answer.headers["Set-Cookie"].split(";")[0],
                  "X-Ringgate-CSRF": answer.body["csrf"]}
        self.assertEqual(self.until("login")["by"], "token ops from 127.0.0.1")
        many = self.client.post("/api/v1/commands",
                                {"message": "0x8300", "filter": "phone=1",
                                 "fields": {"flags": ["display"], "text": "x"}})
        self.assertEqual(many.status, 202, many.body)
        self.assertEqual(self.client.post("/api/v1/logout", {}, headers=cookie).status, 200)
        self.assertEqual(self.until("logout")["by"], "token ops from 127.0.0.1")
        self.config.write_text('[jt808]\nidle_timeout = "5m"\n')
        self.gateway.signal(signal.SIGHUP)
        reload = self.until("config reload")
        self.assertEqual((reload["by"], reload["jt808.idle_timeout"]), ("SIGHUP", "3m -> 5m"))
        self.ctl("token", "revoke", "ops")
        self.until("token revoke", token="ops")
        for device, audit in self.deeds():
            self.assertNotIn(token[3:], json.dumps(audit))
        # The same by HTTP.
        page = self.client.get("/api/v1/records?kind=audit&from=-1h").body["records"]
        said = {record["audit"]["action"]: record for record in page if record["device"] == ""}
        self.assertLessEqual({"token create", "login", "logout", "config reload", "token revoke"},
                             said.keys())
        one = self.client.get("/api/v1/records/" + urllib.parse.quote(
            said["login"]["record_id"], safe="")).body
        self.assertEqual(one["audit"], said["login"]["audit"])
        # What has no effect leaves none.
        before = len(self.deeds())
        self.assertEqual(self.client.post("/api/v1/login", {"token": token}).status, 401)
        self.assertEqual(self.client.post("/api/v1/logout", {}).status, 200)
        code, _, _ = harness.run(harness.CTL, "--data", self.data_dir, "token", "revoke", "ops")
        self.assertNotEqual(code, 0)
        self.assertEqual(self.gateway.kill(), -signal.SIGKILL)
        self.assertEqual(len(self.deeds()), before)
        self.begin()
        self.assertEqual(len(self.deeds()), before)

    def test_commands_to_many_that_are_ended(self):
        self.begin()
        terminal = jt808.Terminal(self.gateway.address(), PHONE)
        self.addCleanup(terminal.close)
        terminal.sign_in()
        many = self.client.post("/api/v1/commands",
                                {"message": "0x8300", "devices": [PHONE],
                                 "fields": {"flags": ["display"], "text": "x"}})
        self.assertEqual(many.status, 202, many.body)
        path = f"/api/v1/commands/{many.body['id']}"
        self.assertEqual(self.client.delete(path).status, 200)
        self.until("cancel command", command=many.body["id"])
        self.assertIn("send 0x8300", [audit["action"] for device, audit in self.deeds()
                                      if device == PHONE])

    def test_the_registry(self):
        self.begin()
        client, path = self.client, f"/api/v1/registrations/{PHONE}"
        self.assertEqual(client.put(path, {"plate": "A1"}).status, 200)
        self.assertEqual(client.patch(path, {"plate": "A1"}).status, 200)  # nothing new
        self.assertEqual(client.patch(path, {"plate": "A2"}).status, 200)
        self.assertEqual(client.post("/api/v1/registrations", [{"phone": PHONE, "plate": "A3"}])
                         .status, 200)
        self.assertEqual(client.delete(path).status, 204)
        self.ctl("registry", "add", PHONE, "--plate", "A4")
        self.ctl("registry", "remove", PHONE)
        expected = ["registry put"] * 3 + ["registry remove", "registry put", "registry remove"]
        acts = []

        # A live log shows what is proven to be durable, which is a commit behind.
        def there():
            acts[:] = [audit for device, audit in self.deeds() if device == PHONE]
            return len(acts) >= len(expected)

        servers.wait_until(there, "the records")
        self.assertEqual([act["action"] for act in acts], expected)
        self.assertEqual(acts[0]["by"], "127.0.0.1 by HTTP")
        self.assertIn("(uid ", acts[-1]["by"])

    def test_every_route_that_changes_something_is_known_here(self):
        self.begin()
        unknown = []
        for path, item in self.client.document["paths"].items():
            for method in item.keys() & {"post", "put", "patch", "delete"}:
                known = NO_EFFECT | OF_DEVICES | WITHOUT_DEVICE | OF_REGISTRY
                of_device = path.startswith("/api/v1/devices/{id}/")
                if (method, path) not in known and not of_device and not path.startswith(PASSING):
                    unknown.append((method, path))
        self.assertEqual(unknown, [])
