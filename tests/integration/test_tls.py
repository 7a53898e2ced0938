"""Listeners with TLS, with lists of networks and behind a PROXY header: Python's and openssl's
clients against a real gateway of two shards."""

import http.client
import signal
import socket
import ssl
import struct
import subprocess
import time
import unittest
import zlib

import harness
import jt808

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def make_certificate(folder, name, hosts, days=90, issuer=None, extra=()):
    """(certificate, key) files in `folder`; signed by `issuer`'s, or by itself."""
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
               "-nodes", "-keyout", key, "-out", certificate, "-days", str(days),
               "-subj", f"/O=fleet/CN={name}", *extra]
    if hosts:
        command += ["-addext", "subjectAltName=" + ",".join(f"DNS:{host}" for host in hosts)]
    if issuer:
        command += ["-CA", issuer[0], "-CAkey", issuer[1]]
    subprocess.run(command, check=True, capture_output=True)
    key.chmod(0o600)
    return certificate, key


def make_expired(folder, name):
    certificate, key = make_certificate(folder, name, ["localhost"])
    request = folder / f"{name}.csr"
    subprocess.run(["openssl", "req", "-new", "-key", key, "-subj", f"/CN={name}", "-out", request],
                   check=True, capture_output=True)
    # Only `openssl ca` takes dates, and it wants to keep books.
    config = folder / "books"
    (folder / "index").write_text("")
    config.write_text("[ca]\ndefault_ca = books\n[books]\npolicy = any\ndefault_md = sha256\n"
                      f"database = {folder}/index\nnew_certs_dir = {folder}\nrand_serial = yes\n"
                      "[any]\ncommonName = supplied\n")
    subprocess.run(["openssl", "ca", "-batch", "-selfsign", "-config", config, "-keyfile", key,
                    "-in", request, "-out", certificate, "-startdate", "20200101000000Z",
                    "-enddate", "20200201000000Z"], check=True, capture_output=True)
    return certificate, key


class TlsTerminal(jt808.Terminal):
    def __init__(self, address, phone, context, before=b""):
        super().__init__(address, phone)
        self.socket.sendall(before)
        plain = self.socket
        try:
            self.socket = context.wrap_socket(plain, server_hostname="localhost")
        except OSError:
            plain.close()
            raise


class Listeners(harness.GatewayTest):
    def setUp(self):
        super().setUp()
        self.authority = make_certificate(self.folder, "authority", [])
        self.server = make_certificate(self.folder, "localhost",
                                       ["localhost", "*.fleet.example"], issuer=self.authority)

    def gateway(self, settings=None, **options):
        return self.start({"server.shards": "2", "http.tls_listen": "127.0.0.1:0",
                           "jt808.tls_listen": "127.0.0.1:0", "tls.certificates": self.server[0],
                           "tls.keys": self.server[1]} | (settings or {}), **options)

    def client(self, version=None, pair=None, protocols=None):
        context = ssl.create_default_context(cafile=str(self.authority[0]))
        if version:
            context.minimum_version = context.maximum_version = version
        if pair:
            context.load_cert_chain(*pair)
        if protocols:
            context.set_alpn_protocols(protocols)
        return context

    def connect(self, gateway, name="http_tls", host="localhost", **options):
        plain = socket.create_connection(gateway.address(name), timeout=harness.LIMIT_S)
        return self.client(**options).wrap_socket(plain, server_hostname=host)

    def ask(self, gateway, **options):
        """The status line's code and the body of /livez."""
        with self.connect(gateway, **options) as link:
            link.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            answer = http.client.HTTPResponse(link)
            answer.begin()
            return answer.status, answer.read()

    def counters(self, gateway, name):
        """{rest of the line's labels: value} of one counter, from SIGUSR1."""
        seen = len(gateway.lines)
        gateway.signal(signal.SIGUSR1)
        patience = time.monotonic() + harness.LIMIT_S
        while True:
            found = {}
            for line in gateway.lines[seen:]:
                if line.startswith(name + "{"):
                    labels, value = line[len(name) + 1:].rsplit("} ", 1)
                    found[labels] = int(value)
            # The print is over when its last group is there; a value may only be taken then.
            if found and any(line.startswith("ringgate_links_closed_total{shard=\"1\"")
                             for line in gateway.lines[seen:]):
                time.sleep(0.05)
                return found
            self.assertLess(time.monotonic(), patience, f"no {name}")
            time.sleep(0.01)

    def said(self, gateway, wanted, since=0):
        patience = time.monotonic() + harness.LIMIT_S
        while not any(wanted in line for line in gateway.lines[since:]):
            self.assertLess(time.monotonic(), patience, f"no {wanted!r} in\n{gateway.output}")
            time.sleep(0.01)

    def ends(self, link):
        """That the gateway ends it; what it sent before."""
        got = b""
        try:
            while piece := link.recv(65536):
                got += piece
        except (ConnectionResetError, ssl.SSLError):
            pass
        return got

    def test_https_with_both_versions_and_names(self):
        other = make_certificate(self.folder, "other", ["other.example"], issuer=self.authority)
        gateway = self.gateway({"tls.certificates": f"{self.server[0]},{other[0]}",
                                "tls.keys": f"{self.server[1]},{other[1]}"})
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            for host in ("localhost", "a.fleet.example", "other.example"):
                self.assertEqual(self.ask(gateway, version=version, host=host)[0], 200)
        with self.assertRaises(ssl.SSLCertVerificationError):
            self.connect(gateway, host="elsewhere.example")
        with self.connect(gateway, protocols=["h2", "http/1.1"]) as link:
            self.assertEqual(link.selected_alpn_protocol(), "http/1.1")
        with self.assertRaises(ssl.SSLError):
            self.connect(gateway, protocols=["h2"])
        self.assertEqual(gateway.stop(), 0)

    def test_plain_where_tls_is_spoken_and_the_other_way_round(self):
        gateway = self.gateway()
        with socket.create_connection(gateway.address("http_tls"), timeout=20) as link:
            link.sendall(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n")
            self.assertIn(b"This port speaks TLS", self.ends(link))
        with socket.create_connection(gateway.address("jt808_tls"), timeout=20) as link:
            link.sendall(jt808.frame(jt808.HEARTBEAT, "13800000001", 0))
            self.ends(link)
        for name in ("http", "jt808"):
            with socket.create_connection(gateway.address(name), timeout=2) as plain, \
                    self.assertRaises((ssl.SSLError, ConnectionError, TimeoutError)):
                self.client().wrap_socket(plain, server_hostname="localhost")
        self.assertEqual(self.ask(gateway)[0], 200)
        failures = self.counters(gateway, "ringgate_tls_failures_total")
        self.assertEqual(sum(value for labels, value in failures.items() if "not_tls" in labels), 2)
        self.assertEqual(gateway.stop(), 0)

    def test_terminals_over_tls_are_answered_when_it_is_durable(self):
        gateway = self.gateway()
        phones = [f"1380000{number:04}" for number in range(12)]
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            terminals = [TlsTerminal(gateway.address("jt808_tls"), phone, self.client(version))
                         for phone in phones]
            for terminal in terminals:
                terminal.sign_in()
            for terminal in terminals:
                for _ in range(5):
                    self.assertEqual(terminal.report(), jt808.OK)
                terminal.close()
        moved = self.counters(gateway, "ringgate_links_moved_in_total")
        self.assertGreater(sum(moved.values()), 0, "no link moved to its home")
        self.assertEqual(gateway.kill(), -9)  # what is acknowledged is there all the same
        stored = harness.frames(harness.dump(self.data_dir), "0x0200")
        self.assertEqual(len(stored), 2 * 5 * len(phones))

    def test_a_simulated_fleet_over_tls(self):
        gateway = self.gateway()
        host, port = gateway.address("jt808_tls")
        code, out, err = harness.run(harness.LOAD, "jt808", "--tls", "--target", f"{host}:{port}",
                                     "--devices", "40", "--duration", "1", "--json", "-")
        self.assertEqual(code, 0, out + err)
        self.assertEqual(gateway.stop(), 0)
        self.assertGreater(len(harness.frames(harness.dump(self.data_dir), "0x0200")), 40)

    def test_client_certificates(self):
        reader = make_certificate(self.folder, "reader", [], issuer=self.authority)
        stranger = make_certificate(self.folder, "stranger", [])
        gateway = self.gateway({"tls.client_ca": self.authority[0],
                                "jt808.client_certificates": "required",
                                "http.client_certificates": "optional"})
        with TlsTerminal(gateway.address("jt808_tls"), "13800000001",
                         self.client(pair=reader)) as terminal:
            terminal.sign_in()
            self.assertEqual(terminal.report(), jt808.OK)
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            for pair in (None, stranger):
                with self.assertRaises((ssl.SSLError, ConnectionError, AssertionError)):
                    with TlsTerminal(gateway.address("jt808_tls"), "13800000002",
                                     self.client(version, pair)) as terminal:
                        terminal.sign_in()
            self.assertEqual(self.ask(gateway, version=version)[0], 200)
            self.assertEqual(self.ask(gateway, version=version, pair=reader)[0], 200)
        failures = self.counters(gateway, "ringgate_tls_failures_total")
        for reason in ("no_client_certificate", "bad_client_certificate"):
            self.assertEqual(sum(value for labels, value in failures.items() if reason in labels),
                             2, failures)
        self.assertEqual(gateway.stop(), 0)

    def test_sessions_are_resumed_by_any_shard(self):
        gateway = self.gateway()
        host, port = gateway.address("http_tls")
        session = self.folder / "session.pem"
        for version in ("-tls1_2", "-tls1_3"):
            def connect(*arguments):
                done = subprocess.run(
                    ["openssl", "s_client", "-connect", f"{host}:{port}", version, "-quiet",
                     "-no_ign_eof", *arguments],
                    input=b"GET /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
                    capture_output=True, timeout=harness.LIMIT_S)
                self.assertIn(b"alive", done.stdout, done.stderr)
            # Given time to answer, s_client has the ticket of TLS 1.3, too.
            connect("-sess_out", str(session), "-ign_eof")
            for _ in range(10):
                connect("-sess_in", str(session), "-ign_eof")
        handshakes = self.counters(gateway, "ringgate_tls_handshakes_total")
        resumed = [handshakes.get(f'shard="{shard}",result="resumed"', 0) for shard in (0, 1)]
        self.assertEqual(sum(resumed), 20, handshakes)
        self.assertGreater(min(resumed), 0, handshakes)
        self.assertEqual(gateway.stop(), 0)

    def test_certificates_are_renewed_while_links_are_open(self):
        gateway = self.gateway()
        old = self.connect(gateway)
        first = old.getpeercert()["serialNumber"]

        def exchange():
            old.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
            self.assertIn(b"200 OK", old.recv(65536))

        seen = len(gateway.lines)
        make_certificate(self.folder, "localhost", ["localhost"], issuer=self.authority)
        self.said(gateway, "certificates renewed", seen)
        patience = time.monotonic() + harness.LIMIT_S
        while True:  # the shards hear of it a little later
            with self.connect(gateway) as link:
                second = link.getpeercert()["serialNumber"]
            if second != first:
                break
            self.assertLess(time.monotonic(), patience)
        exchange()
        seen = len(gateway.lines)
        good = self.server[1].read_text()
        self.server[1].write_text("no key")
        self.said(gateway, "new certificates refused; the old ones stay in use", seen)
        self.said(gateway, "localhost.key", seen)
        with self.connect(gateway) as link:
            self.assertEqual(link.getpeercert()["serialNumber"], second)
        exchange()
        refusals = [line for line in gateway.lines if "refused; the old ones" in line]
        self.assertEqual(len(refusals), 1)
        self.server[1].write_text(good)
        gateway.signal(signal.SIGHUP)
        self.said(gateway, "source=tls", seen)
        exchange()
        expiry = self.counters(gateway, "ringgate_tls_certificate_expiry_timestamp_seconds")
        (value,) = expiry.values()
        self.assertGreater(value, time.time() + 80 * 86400)
        old.close()
        self.assertEqual(gateway.stop(), 0)

    def test_what_is_wrong_with_files_is_said_at_the_start(self):
        other = make_certificate(self.folder, "other", ["other.example"])
        cases = [({"tls.keys": other[1]}, "other.key: the key is not that of"),
                 ({"tls.keys": self.folder / "none.key"}, "there is no such file"),
                 ({"tls.keys": ""}, "each certificate needs its key"),
                 ({"tls.certificates": "", "tls.keys": ""}, "names no certificate"),
                 ({"http.client_certificates": "required"}, "tls.client_ca is empty"),
                 ({"tls.ciphers": "NONSENSE"}, "tls.ciphers")]
        for settings, reason in cases:
            gateway = self.gateway(settings, wait=False)
            self.assertEqual(gateway.wait(), 1, gateway.output)
            self.assertIn(reason, gateway.output)
        expired = make_expired(self.folder, "late")
        expired[1].chmod(0o644)
        gateway = self.gateway({"tls.certificates": expired[0], "tls.keys": expired[1]})
        self.said(gateway, "the certificate has expired")
        self.said(gateway, "everybody on this machine may read the private key")
        with self.assertRaises(ssl.SSLCertVerificationError):
            self.connect(gateway)
        self.assertEqual(gateway.stop(), 0)

    def test_slow_handshakes_end_at_the_frame_timeout(self):
        gateway = self.gateway({"http.frame_timeout": "300ms"})
        quick = self.connect(gateway)
        links = [socket.create_connection(gateway.address("http_tls"), timeout=20)
                 for _ in range(20)]
        for number, link in enumerate(links):
            link.sendall(b"\x16\x03\x01\x02\x00\x01"[:number % 7])
        for link in links:
            self.ends(link)
            link.close()
        quick.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
        self.assertIn(b"200 OK", quick.recv(65536))
        failures = self.counters(gateway, "ringgate_tls_failures_total")
        self.assertEqual(sum(value for labels, value in failures.items() if "timeout" in labels),
                         20, failures)
        quick.close()
        self.assertEqual(gateway.stop(), 0)

    def test_proxies_say_who_comes(self):
        gateway = self.gateway({"jt808.proxy_from": "127.0.0.1", "jt808.deny": "198.51.100.0/24"})

        def header(ip, tail=b""):
            addresses = socket.inet_aton(ip) * 2 + struct.pack(">HH", 4711, 7808)
            rest = addresses + tail
            return SIGNATURE + b"\x21\x11" + struct.pack(">H", len(rest)) + rest

        with jt808.Terminal(gateway.address(), "13800000001") as terminal:
            terminal.socket.sendall(header("203.0.113.9", b"\x04\0\x02ab"))
            terminal.sign_in()
            self.assertEqual(terminal.report(), jt808.OK)
        with TlsTerminal(gateway.address("jt808_tls"), "13800000002", self.client(),
                         before=header("203.0.113.77")) as terminal:
            terminal.sign_in()
            self.assertEqual(terminal.report(), jt808.OK)
        wrong_sum = header("203.0.113.9", b"\x03\0\x04" + struct.pack(">I", zlib.crc32(b"")))
        for before in (header("198.51.100.5"), wrong_sum, b"",
                       b"PROXY TCP4 203.0.113.9 127.0.0.1 1 2\r\n"):
            with jt808.Terminal(gateway.address(), "13800000003") as terminal:
                terminal.socket.sendall(before)
                terminal.send(jt808.REGISTER, jt808.register_body())
                self.assertIsNone(terminal.receive())
        refused = self.counters(gateway, "ringgate_links_refused_total")
        for reason, count in (("denied", 1), ("proxy_header", 3)):
            self.assertEqual(sum(value for labels, value in refused.items() if reason in labels),
                             count, refused)
        self.assertEqual(gateway.stop(), 0)
        sessions = [record for record in harness.dump(self.data_dir)
                    if record["kind"] == "session"]
        text = repr(sessions)
        self.assertIn("203.0.113.9:4711", text)
        self.assertIn("203.0.113.77:4711", text)
        self.assertNotIn("127.0.0.1", text)

    def test_lists_are_changed_by_a_reload(self):
        file = self.folder / "ringgate.toml"
        file.write_text('[jt808]\ndeny = ["127.0.0.0/8"]\n')
        gateway = self.gateway(arguments=("--config", str(file)))

        def attempt():
            with jt808.Terminal(gateway.address(), "13800000001") as terminal:
                try:
                    terminal.send(jt808.REGISTER, jt808.register_body())
                    return terminal.receive() is not None
                except (BrokenPipeError, ConnectionResetError):
                    return False

        self.assertFalse(attempt())
        self.assertEqual(self.ask(gateway)[0], 200)  # lists are a listener's own
        for text, taken in (('allow = ["127.0.0.0/8"]', True), ('allow = ["192.0.2.0/24"]', False),
                            ("", True)):
            file.write_text(f"[jt808]\n{text}\n")
            seen = len(gateway.lines)
            gateway.signal(signal.SIGHUP)
            self.said(gateway, "configuration reloaded", seen)
            patience = time.monotonic() + harness.LIMIT_S
            while attempt() != taken:
                self.assertLess(time.monotonic(), patience, text)
        seen = len(gateway.lines)
        file.write_text('[jt808]\nallow = ["127.0.0.1/8"]\n')
        gateway.signal(signal.SIGHUP)
        self.said(gateway, "bits behind its prefix", seen)
        self.assertEqual(gateway.stop(), 0)


if __name__ == "__main__":
    unittest.main()
