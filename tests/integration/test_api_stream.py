"""The live stream of a real gateway: events of what is committed over WebSocket and server-sent
events, subscriptions of all kinds, going on from a cursor (also after kill -9), slow subscribers
that are told and dropped while others go on, live traces, and what is refused."""

import http.client
import json
import socket
import struct
import threading
import time
import unittest

import harness
import jt808
from stream_client import CLOSE, Closed, Events, Socket, until

PHONES = [str(13800138000 + number) for number in range(8)]
OVERSPEED = 1 << 1


def speeding(serial=0):
    """A report whose alarm bit of overspeed is set. JT/T 808-2013 8.18."""
    body = bytearray(jt808.location_body(speed_kmh=90 + serial % 50))
    struct.pack_into(">I", body, 0, OVERSPEED)
    return bytes(body)


class Stream(harness.GatewayTest):
    def setUp(self):
        super().setUp()
        self.gateway = self.start({"server.shards": "2"})

    def socket(self, **options):
        made = Socket(self.gateway.address("http"), **options)
        self.addCleanup(made.close)
        self.assertEqual(made.status, 101, made.head)
        return made

    def sse(self, path, **options):
        made = Events(self.gateway.address("http"), path, **options)
        self.addCleanup(made.close)
        return made

    def sign_in(self, phone):
        terminal = jt808.Terminal(self.gateway.address(), phone)
        self.addCleanup(terminal.close)
        return terminal.sign_in()

    def consumers_gone(self, count):
        def gone():
            text = self.metrics()
            return f'ringgate_stream_subscribers{{thread="stream"}} {count}\n' in text
        until(gone, f"{count} subscribers")

    def metrics(self):
        connection = http.client.HTTPConnection(*self.gateway.address("http"),
                                                timeout=harness.LIMIT_S)
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
        connection.close()
        return text

    # ---- what is told ----

    def test_positions_of_one_device_with_their_fields(self):
        one, other = self.sign_in(PHONES[0]), self.sign_in(PHONES[1])
        live = self.socket()
        live.subscribe("mine", devices=["0" + PHONES[0]], types=["position"])
        other.report()
        one.report(latitude=31.230416, longitude=121.473701, speed_kmh=63.2)
        other.report()
        one.report(latitude=31.25, longitude=121.5)
        events, cursor = live.events(2)
        self.assertEqual([event["device"] for event in events], [PHONES[0]] * 2)
        first = events[0]
        self.assertEqual((first["type"], first["latitude_deg"], first["longitude_deg"],
                          first["speed_kmh"], first["heading_deg"], first["fixed"], first["sub"]),
                         ("position", 31.230416, 121.473701, 63.2, 90, True, 0))
        self.assertEqual(first["time"], "2026-11-20T14:30:00.000Z")
        self.assertRegex(first["received"], r"^20\d\d-\d\d-\d\dT[\d:]{8}\.\d{3}Z$")
        self.assertRegex(first["record"], r"^[0-9a-f-]{36}/\d+-[01]/\d+$")
        self.assertRegex(cursor, r"^[0-9a-f]{8}-\d+(-[0-9a-f]+){2}$")

    def test_everything_there_is_of_a_device(self):
        live = self.socket()
        live.subscribe("all", types=["position", "alarm", "session", "device", "command",
                                     "media", "message"], decode=True)
        terminal = self.sign_in(PHONES[2])
        terminal.exchange(jt808.LOCATION, speeding())
        terminal.close()
        seen = {}

        def complete():
            for event in live.wait("events")["events"]:
                seen.setdefault(event["type"], []).append(event)
            whats = {event["what"] for event in seen.get("session", [])}
            return {"position", "alarm", "message", "device"} <= set(seen) and \
                {"online", "offline"} <= whats
        until(complete, "all events")
        self.assertEqual(seen["alarm"][0]["alarm"], "overspeed")
        self.assertEqual(seen["device"][0]["plate"], "粤B12345")
        bodies = {event["message_id"]: event["body"] for event in seen["message"]
                  if event["direction"] == "up"}
        self.assertIn("latitude", json.dumps(bodies["0x0200"]))
        self.assertNotIn(terminal.code.decode(), json.dumps(seen), "codes are nobody's business")

    def test_areas_move_with_the_map(self):
        terminal = self.sign_in(PHONES[0])
        live = self.socket()
        live.subscribe("map", area="31,121,32,122", types=["position"])
        terminal.report(latitude=22.5, longitude=114)
        terminal.report(latitude=31.5, longitude=121.5)
        self.assertEqual(live.events(1)[0][0]["latitude_deg"], 31.5)
        live.subscribe("map", area="22,113,23,115", types=["position"])
        terminal.report(latitude=31.5, longitude=121.5)
        terminal.report(latitude=22.6, longitude=114)
        self.assertEqual(live.events(1)[0][0]["latitude_deg"], 22.6)
        live.send({"unsubscribe": "map"})
        live.wait("unsubscribed")

    def test_messages_and_alarm_types(self):
        terminal = self.sign_in(PHONES[0])
        live = self.socket()
        live.subscribe("beats", messages=["0x0704"], types=["message"])
        live.subscribe("named", messages=["location-report"], types=["message"])
        live.subscribe("none", types=["alarm"], alarms=["fatigue"])
        live.subscribe("fast", types=["alarm"], alarms=["overspeed"])
        terminal.exchange(jt808.LOCATION, speeding())
        terminal.report()
        got = [live.wait("events") for _ in range(2)]
        got = {message["id"]: message["events"] for message in got}
        self.assertEqual(set(got), {"named", "fast"})

    def test_batches(self):
        terminal = self.sign_in(PHONES[0])
        live = self.socket()
        live.subscribe(types=["position"], batch_max=5, batch_delay="40ms")
        for _ in range(3):
            frames = b"".join(terminal.frame(jt808.LOCATION, jt808.location_body())
                              for _ in range(20))
            terminal.socket.sendall(frames)
        seen = 0
        while seen < 60:
            batch = live.wait("events")["events"]
            self.assertLessEqual(len(batch), 5)
            seen += len(batch)
        self.assertEqual(seen, 60)

    def test_alarms_come_at_once(self):
        """Printed, not asserted: how long after its acknowledgement an alarm is there."""
        terminal = self.sign_in(PHONES[0])
        live = self.socket()
        live.subscribe(types=["alarm"])
        waits = []
        for number in range(50):
            terminal.exchange(jt808.LOCATION, speeding(number))
            acknowledged = time.monotonic()
            live.events(1)
            waits.append(1000 * (time.monotonic() - acknowledged))
        waits.sort()
        print(f"\nalarms after their acknowledgement: median {waits[25]:.1f} ms, "
              f"longest {waits[-1]:.1f} ms (wanted: below 50)")

    # ---- server-sent events ----

    def test_server_sent_events_and_last_event_id(self):
        terminal = self.sign_in(PHONES[0])
        first = self.sse(f"/api/v1/events?types=position&devices={PHONES[0]},{PHONES[1]}")
        self.assertEqual(first.status, 200, first.head)
        self.assertIn("text/event-stream", first.head)
        first.wait("subscribed")
        terminal.report(speed_kmh=1)
        self.assertEqual(first.wait("events")["events"][0]["speed_kmh"], 1)
        cursor = first.last_id
        first.close()
        for speed in (2, 3, 4):
            terminal.report(speed_kmh=speed)
        second = self.sse("/api/v1/events?types=position", last_id=cursor)
        speeds = []
        while len(speeds) < 3:
            speeds += [event["speed_kmh"] for event in second.wait("events")["events"]]
        self.assertEqual(speeds, [2, 3, 4])
        second.wait("live")
        terminal.report(speed_kmh=5)
        self.assertEqual(second.wait("events")["events"][0]["speed_kmh"], 5)

    def test_what_is_no_get(self):
        connection = http.client.HTTPConnection(*self.gateway.address("http"),
                                                timeout=harness.LIMIT_S)
        self.addCleanup(connection.close)
        connection.request("GET", "/api/v1/openapi.json")
        paths = json.loads(connection.getresponse().read())["paths"]
        for path, good in (("/api/v1/stream", "101"), ("/api/v1/events", "200"),
                           ("/api/v1/devices/{id}/trace", "200")):
            self.assertIn(good, paths[path]["get"]["responses"])
            for method in ("HEAD", "POST"):
                connection.request(method, path.replace("{id}", PHONES[0]),
                                   headers={"Content-Type": "application/json"})
                answer = connection.getresponse()
                answer.read()
                self.assertEqual(answer.status, 405)
        connection.request("GET", "/api/v1/stream")
        answer = connection.getresponse()
        answer.read()
        self.assertIn(answer.status, (400, 426))

    def test_bad_requests_for_events(self):
        for query, word in (("types=nothing", "nothing"), ("batch_max=0", "batch_max"),
                            ("from=rubbish", "cursor"), ("devices=abc", "abc"),
                            ("area=1,2,3", "area"), ("color=blue", "color")):
            with self.subTest(query=query):
                answer = self.sse(f"/api/v1/events?{query}")
                self.assertEqual(answer.status, 400)
                self.assertIn(word, json.loads(answer.body())["detail"])
        self.consumers_gone(0)

    # ---- going on from a cursor ----

    def report_many(self, terminals, counts, stop):
        """Reports as fast as they are acknowledged; how many each, in `counts`."""
        def one(terminal):
            number = 0
            while not stop.is_set():
                try:
                    if terminal.report(speed_kmh=number % 200, latitude=number / 1000) != 0:
                        return
                except (OSError, AssertionError):
                    return
                number += 1
                counts[terminal.phone] = number
        threads = [threading.Thread(target=one, args=(terminal,)) for terminal in terminals]
        for thread in threads:
            thread.start()
        return threads

    def check_whole(self, seen, counts):
        """Of each device all acknowledged reports, each once, in their order."""
        for phone, count in counts.items():
            numbers = [round(event["latitude_deg"] * 1000) for event in seen
                       if event["device"] == phone]
            self.assertGreaterEqual(len(numbers), count, phone)
            self.assertEqual(numbers, list(range(len(numbers))), phone)

    def test_nothing_is_missed_or_doubled_over_reconnects_and_kill(self):
        live = self.socket()
        cursor = live.subscribe(types=["position"])
        seen = []
        counts = {}
        stop = threading.Event()
        terminals = [self.sign_in(phone) for phone in PHONES[:4]]
        threads = self.report_many(terminals, counts, stop)
        for number in range(6):
            # Reads a while, then comes again from where it was.
            events, newer = live.events(40 + 10 * number)
            seen += events
            cursor = newer or cursor
            live.close()
            live = self.socket()
            live.subscribe(types=["position"], **{"from": cursor})
        events, cursor = live.events(50)
        seen += events
        self.gateway.kill()
        stop.set()
        for thread in threads:
            thread.join()
        try:
            while True:  # what was on its way
                message = live.wait("events")
                seen += message["events"]
                cursor = message.get("cursor", cursor)
        except (Closed, OSError):
            pass
        self.gateway = self.start({"server.shards": "2"})
        live = self.socket()
        live.subscribe(types=["position"], **{"from": cursor})
        while True:
            message = live.receive()
            seen += message.get("events", [])
            if "live" in message:
                break
        self.check_whole(seen, counts)

    def test_cursors_that_are_none(self):
        live = self.socket()
        cursor = live.subscribe()
        node, run, *_ = cursor.split("-")
        for text in ("", "x", "00000000-1-1", f"{node}-{run}-zz", f"{node}-99-8", f"{node}-",
                     f"{node}-{run}" + "-1" * 100):
            with self.subTest(cursor=text):
                live.send({"subscribe": {"id": "a", "from": text}})
                while True:
                    message = live.receive()
                    if "error" in message:
                        break
                self.assertEqual(message["error"]["id"], "a")

    # ---- slow subscribers, and hostile ones ----

    def test_a_slow_subscriber_is_told_and_dropped_while_others_go_on(self):
        terminals = [self.sign_in(phone) for phone in PHONES[:4]]
        slow = self.socket(receive_bytes=4096)
        # Frames can't be coalesced.
        slow.subscribe("s", types=["message"], decode=True)
        good = self.socket()
        good.subscribe("g", types=["position"], devices=PHONES[:1])
        seen = [0]

        def watch():
            try:
                while True:
                    seen[0] += len(good.wait("events")["events"])
            except (Closed, OSError):
                pass
        watcher = threading.Thread(target=watch)
        watcher.start()
        sent = 0

        def dropped():
            nonlocal sent
            for terminal in terminals:
                frames = b"".join(terminal.frame(jt808.LOCATION, jt808.location_body())
                                  for _ in range(100))
                terminal.socket.sendall(frames)
                for _ in range(100):
                    terminal.reply()
            sent += 100
            return 'ringgate_stream_ended_total{thread="stream",reason="slow"} 1\n' \
                in self.metrics()
        until(dropped, "a subscriber dropped")
        until(lambda: seen[0] == sent, "all positions of the good one")
        # What the kernel kept comes through in seconds rather than minutes.
        slow.link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        with self.assertRaises((Closed, OSError)) as end:
            while True:
                slow.receive()
        if isinstance(end.exception, Closed) and end.exception.code:
            self.assertEqual(end.exception.code, 1013)
        good.close()
        watcher.join()

    def test_positions_of_a_slow_subscriber_coalesce(self):
        terminal = self.sign_in(PHONES[0])
        # The kernel keeps some 4 MB for whoever does not read; the rest is the gateway's.
        slow = self.socket(receive_bytes=65536)
        slow.subscribe("s", types=["position"])
        sent = 30_000
        for first in range(0, sent, 100):
            frames = b"".join(terminal.frame(jt808.LOCATION, jt808.location_body(
                speed_kmh=(first + number) % 200)) for number in range(100))
            terminal.socket.sendall(frames)
            for _ in range(100):
                terminal.reply()
        terminal.report(speed_kmh=199.9)
        coalesced, events, last = 0, 0, None
        while last is None or last["speed_kmh"] != 199.9:
            message = slow.wait("events")
            coalesced += message.get("coalesced", 0)
            events += len(message["events"])
            last = message["events"][-1]
        self.assertEqual(coalesced + events, sent + 1)
        self.assertGreater(coalesced, 0)

    def test_hostile_clients_end_alone(self):
        good = self.socket()
        good.subscribe()
        for message in ("[]", "{", '{"subscribe":[]}', '{"a":1,"b":2}', "null", '"x"', "{}",
                        '{"unsubscribe":{}}', '{"subscribe":{}}', "[" * 1000,
                        '{"subscribe":{"id":"a","types":["nothing"]}}',
                        '{"subscribe":{"id":"a","devices":[1]}}',
                        '{"subscribe":{"id":"a","batch_delay":"1h"}}',
                        '{"subscribe":' * 20 + "1" + "}" * 20,
                        json.dumps({"subscribe": {"id": "x" * 65}})):
            good.send(message)
            self.assertIn("detail", self.error_of(good), message)
        for number in range(63):
            good.send({"subscribe": {"id": f"n{number}", "types": ["media"]}})
            good.wait("subscribed")
            time.sleep(0.011)
        good.send({"subscribe": {"id": "one more"}})
        self.assertIn("64", self.error_of(good)["detail"])
        for payload, opcode, code in ((b"\0" * 10, 2, 1003), (b" " * 70_000, 1, 1009)):
            bad = self.socket()
            bad.send(payload, opcode)
            self.assertEqual(self.close_code(bad), code)
        rude = self.socket()
        for _ in range(200):
            rude.send({"unsubscribe": "a"})
        self.assertEqual(self.close_code(rude), 1008)
        good.send({"unsubscribe": "n0"})
        good.wait("unsubscribed")

    def error_of(self, live):
        while True:
            message = live.receive()
            if "error" in message:
                return message["error"]

    def close_code(self, live):
        while True:
            opcode, payload = live.frame()
            if opcode == CLOSE:
                return struct.unpack(">H", payload[:2])[0]

    def test_clients_that_come_and_go(self):
        for number in range(100):
            live = Socket(self.gateway.address("http"))
            if number % 2:
                live.send({"subscribe": {"id": "a"}})
            live.close()
            Events(self.gateway.address("http"), "/api/v1/events").close()
        self.consumers_gone(0)
        refused = Socket(self.gateway.address("http"), fields=("Origin: http://evil.example",))
        self.assertEqual(refused.status, 403)

    def test_streams_of_a_revoked_token_end(self):
        gateway = self.start({"http.trust_loopback": "false"}, data_dir=self.folder / "closed")
        address = gateway.address("http")
        self.assertEqual(Socket(address).status, 401)
        self.assertEqual(Events(address, "/api/v1/events").status, 401)
        ctl = [harness.CTL, "--data", gateway.data_dir, "token"]
        code, out, err = harness.run(*ctl, "create", "--name", "viewer")
        self.assertEqual(code, 0, err)
        bearer = (f"Authorization: Bearer {out.split()[0]}",)
        live = Socket(address, fields=bearer)
        self.assertEqual(live.status, 101, live.head)
        live.subscribe()
        events = Events(address, "/api/v1/events", fields=bearer)
        self.assertEqual(events.status, 200)
        self.assertEqual(harness.run(*ctl, "revoke", "viewer")[0], 0)
        self.assertEqual(self.close_code(live), 1008)
        with self.assertRaises(Closed):
            while True:
                events.receive()

    # ---- traces ----

    def test_a_trace_shows_frames_both_ways(self):
        terminal = self.sign_in(PHONES[3])
        one = self.sse(f"/api/v1/devices/{PHONES[3]}/trace")
        two = self.sse(f"/api/v1/devices/0{PHONES[3]}/trace")
        self.assertEqual((one.status, two.status), (200, 200))
        terminal.report(speed_kmh=12.3)
        for trace in (one, two):
            up, down = trace.wait("frame")["frame"], trace.wait("frame")["frame"]
            self.assertEqual((up["direction"], up["message_id"], up["device"]),
                             ("up", "0x0200", PHONES[3]))
            self.assertIn("12.3", json.dumps(up["body"]))
            self.assertEqual((down["direction"], down["message_id"]), ("down", "0x8001"))
        one.close()
        two.close()
        # Nobody traces any more: another may.
        again = self.sse(f"/api/v1/devices/{PHONES[3]}/trace")
        self.assertEqual(again.status, 200)
        self.assertEqual(self.sse("/api/v1/devices/abc/trace").status, 400)


if __name__ == "__main__":
    unittest.main()
