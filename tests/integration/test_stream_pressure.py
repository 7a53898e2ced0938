"""The live stream where something is short: memory, of which subscribers are the first to give up,
and log that retention took before a subscriber came again."""

import http.client
import re
import time
import unittest

import api_client
import harness
import jt808
import servers
from stream_client import Events, Socket

PHONE, OTHER, READ = "13800138000", "13800138001", "13800138002"
MIB = 1 << 20
LIMIT = 8 * MIB
# In parts of memory.limit (engine/flow/budget.hpp); and what a socket's queue is bounded by.
SHED, REFUSE = 0.95, 1.0
QUEUE_BYTES, QUEUE_BYTES_SHED = 256 << 10, 16 << 10
# What a shard takes in one receive buffer: where memory is short no link waits for a frame's rest.
REPORTS_AT_ONCE = 30


class Base(api_client.OneShard):
    def socket(self, **options):
        made = Socket(self.gateway.address("http"), **options)
        self.addCleanup(made.close)
        self.assertEqual(made.status, 101)
        return made

    def metric(self, name):
        text = self.client.get("/metrics").body.decode()
        return sum(float(value) for value in re.findall(rf"(?m)^{name}(?:{{.*?}})? (\S+)$", text))

    def report(self, terminal, count=REPORTS_AT_ONCE):
        """Reports that are all acknowledged."""
        terminal.socket.sendall(b"".join(
            terminal.frame(jt808.LOCATION, jt808.location_body(speed_kmh=number % 200))
            for number in range(count)))
        for _ in range(count):
            self.assertEqual(terminal.reply().result, jt808.OK)


class Memory(Base):
    """Memory is filled with registrations, some 300 bytes each, which nothing takes away again.
    From level 2 on nobody new is accepted: all connections are there before."""

    def setUp(self):
        super().setUp()
        self.begin(**{"memory.limit": f"{LIMIT}B"})
        self.rows = 0
        self.terminal, self.other, self.read = map(self.sign_in, (PHONE, OTHER, READ))

    def level(self):
        return self.metric("ringgate_memory_level")

    def fill(self, share):
        while self.metric("ringgate_memory_bytes") < share * LIMIT:
            left = share * LIMIT - self.metric("ringgate_memory_bytes")
            count = max(20, min(1000, int(left / 500)))
            rows = [{"phone": str(14000000000 + self.rows + number), "note": "n" * 200}
                    for number in range(count)]
            self.rows += count
            self.assertEqual(self.client.post("/api/v1/registrations", rows).body["done"], count)
            self.assertLess(self.rows, 100_000)

    def slow_one(self, phone):
        """Takes nothing, and of what it is told nothing can be left out."""
        slow = self.socket(receive_bytes=4096)
        slow.subscribe(phone, types=["message"], decode=True, devices=[phone])
        return slow

    def until_consumer(self, state, terminal):
        """Reports until somebody is in this state; what is listed of it."""
        def there():
            self.report(terminal)
            listed = self.client.get("/api/v1/consumers").body["consumers"]
            return next((each for each in listed if each["state"] == state), None)
        return servers.wait_until(there, f"a consumer is {state}")

    def test_level_3_cuts_queues_and_level_4_ends_whoever_is_beyond(self):
        self.slow_one(PHONE)
        self.slow_one(OTHER)
        good = self.socket()
        good.subscribe("good", types=["position"], devices=[READ])
        waiting = http.client.HTTPConnection(*self.gateway.address("http"),
                                             timeout=harness.LIMIT_S)
        self.addCleanup(waiting.close)
        waiting.connect()
        self.client.get("/api/v1/consumers")  # ours is accepted, so theirs are
        self.assertEqual(self.level(), 0)
        self.fill(SHED)
        servers.wait_until(lambda: self.level() >= 3, "memory level 3")
        self.assertEqual(self.level(), 3)
        # A queue ends at a sixteenth of what it may be else.
        cut = self.until_consumer("coalescing", self.terminal)
        self.assertEqual(self.level(), 3)
        self.assertGreater(cut["queued_bytes"], QUEUE_BYTES_SHED)
        self.assertLess(cut["queued_bytes"], QUEUE_BYTES / 2)
        self.assertEqual(self.metric("ringgate_stream_ended_total"), 0)
        self.fill(REFUSE)
        servers.wait_until(lambda: self.level() == 4, "memory level 4")
        ended = self.until_consumer("closed", self.other)
        self.assertLess(ended["queued_bytes"], QUEUE_BYTES / 2)
        # Nobody new is let in.
        waiting.request("GET", "/api/v1/events")
        answer = waiting.getresponse()
        self.assertEqual((answer.status, answer.getheader("Retry-After")), (503, "5"))
        self.assertIn(b"memory is short", answer.read())
        # Devices, and subscribers that read, have noticed nothing.
        self.report(self.read, 3)
        self.assertEqual(len(good.events(3)[0]), 3)
        self.assertEqual(self.metric("ringgate_jt808_devices_online"), 3)

    def test_what_is_kept_for_subscribers_is_memory_of_their_shard(self):
        before = self.metric("ringgate_memory_bytes")
        self.assertEqual(self.metric("ringgate_stream_kept_bytes"), 0)
        # A subscription of a thousand devices, sixty-three times.
        live = self.socket()
        phones = [str(15000000000 + number) for number in range(1000)]
        for number in range(63):
            live.subscribe(f"n{number}", devices=phones, types=["media"])
            time.sleep(0.011)  # a hundred messages a second may be said
        kept = self.metric("ringgate_stream_kept_bytes")
        self.assertGreater(kept, 63 * 1000 * 40)
        self.report(self.terminal)  # a commit: the shard looks
        servers.wait_until(lambda: self.metric("ringgate_memory_bytes") >= before + kept / 2,
                           "the shard's memory has it")
        live.close()
        servers.wait_until(lambda: self.metric("ringgate_stream_kept_bytes") < 100_000,
                           "it is given back")
        servers.wait_until(lambda: self.metric("ringgate_memory_bytes") < before + kept / 4,
                           "also by the shard")


class Gaps(Base):
    """A subscriber comes again after retention took what it has not had."""

    def lose_some(self):
        """More log than is kept."""
        host, port = self.gateway.address()
        before = self.metric("ringgate_log_record_bytes_total")
        code, _, err = harness.run(
            harness.LOAD, "jt808", "--target", f"{host}:{port}", "--devices", "20", "--in-flight",
            "64", "--duration", "1", "--phone-base", "13700000000", "--quiet")
        self.assertEqual(code, 0, err)
        return self.metric("ringgate_log_record_bytes_total") - before

    def test_the_gap_is_told_then_what_is_there_then_what_comes(self):
        self.begin(**{"log.segment_size": "1MiB", "log.retention_bytes": "2MiB"})
        terminal = self.sign_in(PHONE)
        live = self.socket()
        live.subscribe("a", types=["position"], devices=[PHONE])
        self.report(terminal, 2)
        events, cursor = live.events(2)
        live.close()
        events = self.sse(f"/api/v1/events?types=position&devices={PHONE}")
        self.report(terminal, 1)
        events.wait("events")
        last_id = events.last_id
        events.close()
        written = 0
        while written < 6 * MIB:
            written += self.lose_some()
        self.report(terminal, 3)  # these are there still
        again = self.socket()
        again.subscribe("a", types=["position"], devices=[PHONE], **{"from": cursor})
        gap = again.wait("gap")
        self.assertEqual(gap["id"], "a")
        self.assertGreater(gap["gap"]["lost_bytes"], MIB)
        self.assertLessEqual(gap["gap"]["lost_bytes"], written + MIB)
        self.assertEqual(len(again.events(3)[0]), 3)
        again.wait("live")
        self.report(terminal, 1)
        newest, cursor = again.events(1)
        self.assertEqual(len(newest), 1)
        # Once it is told it is over: whoever goes on from there has missed nothing more.
        fresh = self.socket()
        fresh.subscribe("b", types=["position"], devices=[PHONE], **{"from": cursor})
        message = fresh.receive()
        while "live" not in message:
            self.assertNotIn("gap", message)
            message = fresh.receive()
        # A browser hears of it, too.
        back = self.sse(f"/api/v1/events?types=position&devices={PHONE}",
                        last_id=last_id)
        self.assertGreater(back.wait("gap")["gap"]["lost_bytes"], MIB)
        self.assertEqual(len(back.wait("events")["events"]), 4)

    def sse(self, path, **options):
        made = Events(self.gateway.address("http"), path, **options)
        self.addCleanup(made.close)
        return made


if __name__ == "__main__":
    unittest.main()
