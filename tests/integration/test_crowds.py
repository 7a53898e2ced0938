"""The crowds of ringgate-load's workers against a real gateway: what users do, what is counted of
it, and what a worker says to its coordinator (load_worker.py)."""

import unittest

import harness
import test_tls
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
        target = [f'jt808 = "{jt808[0]}:{jt808[1]}"', f'jt808_udp = "{jt808[0]}:{jt808[1]}"',
                  f'http = "{http[0]}:{http[1]}"']
        if "jt808_tls=" in self.gateway.ready_line:
            target.append('jt808_tls = "%s:%d"' % self.gateway.address("jt808_tls"))
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

    def over(self, transport, settings=None, more=""):
        worker = self.begin(terminals(20, f'transport = "{transport}"\n'
                                          f'interval = "100ms"\n{more}'), settings)
        worker.aim((20, 1))
        worker.until(lambda cars: cars["acknowledged"] > 200, "200 acknowledged")
        worker.aim((5, 1))
        worker.until(lambda cars: cars["left"] == 15, "15 gone")
        cars = worker.stop().totals[0]
        self.assertEqual(cars.errors, {})
        self.assertEqual(cars["sent"], cars["acknowledged"])

    def test_over_udp_what_gets_lost_is_sent_again(self):
        self.over("udp", more="loss = 0.05")

    def test_over_udp_nothing_is_left_of_those_that_went(self):
        worker = self.begin(terminals(20, 'transport = "udp"\ninterval = "50ms"\nloss = 0.3'))
        worker.aim((20, 1))
        worker.until(lambda cars: cars["acknowledged"] > 100, "100 acknowledged")
        worker.aim((1, 1))
        worker.until(lambda cars: cars["left"] == 19, "19 gone")
        worker.aim((20, 1))
        worker.until(lambda cars: cars.last.get("ready") == 20, "back again")
        # Those that were cut off with a report unanswered say so, and nothing else happens.
        self.assertLessEqual(set(worker.stop().totals[0].errors), {"unanswered", "link_broken"})

    def test_over_tls(self):
        certificate, key = test_tls.make_certificate(self.folder, "own", ["localhost"])
        self.over("tls", {"jt808.tls_listen": "127.0.0.1:0", "tls.certificates": str(certificate),
                          "tls.keys": str(key)})


class Flapping(CrowdTest):
    def test_they_go_hard_and_soft_and_come_back(self):
        worker = self.begin('''
[[class]]
name = "flaps"
kind = "flapping"
users = 12
interval = "100ms"
stay = "100ms..400ms"
away = "50ms..200ms"
leave = "either"
''')
        worker.aim((12, 1))
        worker.until(lambda flaps: flaps.notes.get("left_hard", 0) > 5
                     and flaps.notes.get("left_soft", 0) > 10 and flaps["acknowledged"] > 20)
        flaps = worker.stop().totals[0]
        self.assertEqual(flaps.errors, {})
        self.assertGreater(flaps["connected"], 20)


class Silent(CrowdTest):
    def silent(self, silence):
        worker = self.begin(
            f'[[class]]\nname = "mute"\nkind = "silent"\nusers = 6\nsilence = "{silence}"\n',
            {"jt808.auth_timeout": "300ms", "jt808.idle_timeout": "500ms"})
        worker.aim((6, 1))
        worker.until(lambda mute: mute.notes.get("closed_by_server", 0) >= 9)
        mute = worker.stop().totals[0]
        self.assertEqual(mute.errors, {})
        return mute

    def test_who_says_nothing_is_ended_and_that_is_no_error(self):
        self.assertEqual(self.silent("connect")["sent"], 0)

    def test_half_a_frame(self):
        self.assertGreater(self.silent("half_frame")["sent_bytes"], 100)

    def test_signed_in_and_then_mute(self):
        self.assertGreater(self.silent("sign_in")["authenticated"], 6)


class Api(CrowdTest):
    def test_requests_at_a_rate(self):
        worker = self.begin('[[class]]\nname = "apps"\nkind = "api"\nusers = 20\n'
                            'interval = "100ms"\n')
        worker.aim((10, 1))
        worker.until(lambda apps: apps["acknowledged"] > 200, "200 answers")
        worker.aim((3, 2))
        worker.until(lambda apps: apps["left"] == 7, "7 gone")
        apps = worker.stop().totals[0]
        self.assertEqual(apps.errors, {})
        self.assertEqual(apps["sent"], apps["acknowledged"])
        self.assertEqual(apps["due"], apps["sent"] + apps["dropped"])
        self.assertEqual(apps.count("response"), apps["acknowledged"])
        self.assertEqual(apps["connected"], 10)

    def test_users_that_think_and_statuses_by_name(self):
        worker = self.begin('''
[[class]]
name = "apps"
kind = "api"
users = 5
think = "1ms..20ms"
[[class.route]]
path = "/api/v1/devices/{phone}"
[[class.route]]
path = "/no/such/page"

[[class]]
name = "cars"
kind = "terminal"
users = 3
interval = "0s"
''')
        worker.aim((5, 1), (3, 1))
        worker.until(lambda apps, cars: apps["acknowledged"] > 20
                     and apps.errors.get("http_404", 0) > 20 and cars["authenticated"] == 3)
        apps, cars = worker.stop().totals
        self.assertEqual(set(apps.errors), {"http_404"})
        self.assertEqual(cars.errors, {})
        self.assertEqual(apps["connected"], 5)  # a 404 ends no connection

    def test_nobody_is_there(self):
        worker = self.begin('[[class]]\nname = "apps"\nkind = "api"\nusers = 2\n')
        worker.stop()
        classes = '[[class]]\nname = "apps"\nkind = "api"\nusers = 2\n'
        text = f'[target]\nhttp = "127.0.0.1:1"\n{classes}{STAGE}'
        worker = Worker(text)
        self.addCleanup(worker.kill)
        worker.start()
        worker.aim((2, 1))
        worker.until(lambda apps: apps.errors.get("connect_failed", 0) >= 4, "refused twice")
        self.assertIn("refused", worker.stop().intervals[0]["classes"][0]["last_error"])


class Subscribers(CrowdTest):
    def subscribe(self, feed):
        worker = self.begin(f'''
[[class]]
name = "maps"
kind = "subscriber"
users = 4
feed = "{feed}"
filter = "types=position"

[[class]]
name = "cars"
kind = "terminal"
users = 10
interval = "100ms"
''')
        worker.aim((4, 1), (0, 1))
        worker.until(lambda maps, cars: maps.last.get("ready") == 4, "subscribed")
        worker.aim((4, 1), (10, 1))
        worker.until(lambda maps, cars: maps["delivered"] > 400, "400 events")
        worker.aim((4, 1), (10, 0))
        worker.until(lambda maps, cars: maps["delivered"] >= 4 * cars["acknowledged"]
                     and "outstanding" not in cars.last, "all told")
        maps, cars = worker.stop().totals
        self.assertEqual(maps.errors, {})
        self.assertEqual(cars.errors, {})
        self.assertEqual(maps["delivered"], 4 * cars["acknowledged"])
        self.assertEqual(maps.count("delivery"), maps["delivered"])
        self.assertEqual(maps.count("connect"), 4)

    def test_by_websocket_everything_once(self):
        self.subscribe("websocket")

    def test_by_server_sent_events_everything_once(self):
        self.subscribe("sse")

    def test_who_comes_again_misses_nothing(self):
        worker = self.begin('''
[[class]]
name = "maps"
kind = "subscriber"
users = 3
filter = "types=position"

[[class]]
name = "cars"
kind = "terminal"
users = 5
interval = "50ms"
''', {"http.listen": "127.0.0.1:0"})
        worker.aim((3, 1), (5, 1))
        worker.until(lambda maps, cars: maps["delivered"] > 100)
        address = self.gateway.address(), self.gateway.address("http")
        self.gateway.kill()
        ports = {"jt808.listen": "%s:%s" % address[0], "http.listen": "%s:%s" % address[1]}
        self.gateway = self.start(ports)
        before = worker.totals[0]["delivered"]
        worker.until(lambda maps, cars: maps["delivered"] > before + 500, "told more")
        maps = worker.stop().totals[0]
        self.assertEqual(set(maps.errors) - {"link_closed", "link_broken", "connect_failed"}, set())
        self.assertGreaterEqual(maps["connected"], 6)


class Hostile(CrowdTest):
    def test_what_a_gateway_does_to_attackers(self):
        worker = self.begin(
            '[[class]]\nname = "foes"\nkind = "hostile"\nusers = 10\n',
            {"jt808.auth_timeout": "500ms", "http.frame_timeout": "1s"})
        worker.aim((10, 4))
        worker.until(lambda foes: foes["acknowledged"] >= 30, "30 attacks over")
        foes = worker.stop().totals[0]
        self.assertEqual(foes.errors, {})
        self.assertGreater(foes.notes.get("refused", 0), 0)
        self.assertGreater(foes.notes.get("closed", 0), 0)
        self.assertEqual(foes.count("response"), 0)


if __name__ == "__main__":
    unittest.main()
