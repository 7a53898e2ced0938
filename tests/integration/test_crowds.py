"""The crowds of ringgate-load's workers against a real gateway: what users do, what is counted of
it, and what a worker says to its coordinator (load_worker.py)."""

import unittest

import harness
from load_worker import Worker, read_acked

STAGE = """
[[stage]]
name = "all"
kind = "constant"
users = 0
duration = "60s"
"""


class CrowdTest(harness.GatewayTest):
    """A gateway and a worker of a scenario made for it."""

    def scenario(self, classes, seed=7):
        jt808, http = self.gateway.address(), self.gateway.address("http")
        target = [f'jt808 = "{jt808[0]}:{jt808[1]}"', f'http = "{http[0]}:{http[1]}"']
        return f"seed = {seed}\n[target]\n" + "\n".join(target) + "\n" + classes + STAGE

    def begin(self, classes, settings=None, **options):
        self.gateway = self.start(settings)
        worker = Worker(self.scenario(classes), **options)
        self.addCleanup(worker.kill)
        worker.start()
        return worker


def terminals(users, more=""):
    return f'[[class]]\nname = "cars"\nkind = "terminal"\nusers = {users}\n{more}\n'


class Terminals(CrowdTest):
    def test_users_come_report_and_go_as_the_aims_say(self):
        acked = self.folder / "acked"
        worker = self.begin(terminals(60, 'interval = "500ms"'), acked_file=acked)
        worker.aim((40, 1))
        worker.until(lambda cars: cars.last.get("ready") == 40, "40 ready")
        worker.until(lambda cars: cars["acknowledged"] > 80, "80 acknowledged")
        worker.aim((15, 4))
        worker.until(lambda cars: cars["left"] == 25, "25 gone")
        worker.until(lambda cars: cars.last.get("ready") == 15, "15 left")
        worker.aim((60, 0))
        worker.until(lambda cars: cars.last.get("ready") == 60, "60 ready")
        cars = worker.stop().totals[0]
        self.assertEqual(cars.errors, {})
        self.assertEqual(cars["connected"], 85)
        self.assertEqual(cars["authenticated"], 85)
        self.assertEqual(cars["sent"], cars["acknowledged"])
        self.assertEqual(cars["due"], cars["sent"] + cars["dropped"])
        for name in ("response", "service", "lag"):
            self.assertEqual(cars.count(name), cars["acknowledged"], name)
        self.assertEqual(cars.count("connect"), 85)
        self.assertEqual(self.gateway.stop(), 0)
        logged = harness.frames(harness.dump(self.data_dir), "0x0200")
        self.assertEqual(len(logged), cars["acknowledged"])
        kept = read_acked(acked)
        self.assertEqual(len(kept), cars["acknowledged"])
        self.assertEqual({str(phone) for phone, _, _ in kept},
                         {record["device"] for record in logged})

    def test_a_closed_model_and_silence_at_rate_0(self):
        worker = self.begin(terminals(20, "in_flight = 2"))
        worker.aim((20, 1))
        worker.until(lambda cars: cars["acknowledged"] > 1000, "1,000 acknowledged")
        worker.aim((20, 0))
        worker.until(lambda cars: "sent" not in cars.last and "outstanding" not in cars.last,
                     "silent")
        cars = worker.stop().totals[0]
        self.assertEqual(cars.errors, {})
        self.assertEqual(cars["sent"], cars["acknowledged"])

    def test_workers_share_the_users(self):
        classes = terminals(21, 'interval = "200ms"')
        first = self.begin(classes, worker=0, workers=2)
        second = Worker(self.scenario(classes), worker=1, workers=2)
        self.addCleanup(second.kill)
        second.start()
        for worker, users in ((first, 11), (second, 10)):
            worker.aim((users, 1))
            worker.until(lambda cars, users=users: cars.last.get("ready") == users, "ready")
            worker.until(lambda cars: cars["acknowledged"] > 20, "20 acknowledged")
            worker.stop()
        self.assertEqual(self.gateway.stop(), 0)
        logged = harness.frames(harness.dump(self.data_dir), "0x0200")
        self.assertEqual(len({record["device"] for record in logged}), 21)


if __name__ == "__main__":
    unittest.main()
