"""HTTP against nginx (one worker, `return 200` of the same body) and against a bare ring that
answers without parsing: CPU of the server per request, from /proc, while wrk loads it from the
other CPU. Requests per second say nothing where the load tool is the limit. The same with TLS 1.3,
one certificate for both."""

import contextlib
import os
import re
import select
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from measuring import GATEWAY, RELEASE, Failed, alternate, median, pinned, ratios, show_ratio

FLOOR = RELEASE / "perf" / "floor" / "http-floor"
BODY = '{"status":"alive"}'
CASES = (("64 links", 64, 1), ("1,000 links", 1000, 1), ("64 links, 16 pipelined", 64, 16))
TLS_CASES = (("TLS 1.3, 64 links", 64, 1), ("TLS 1.3, 64 links, 16 pipelined", 64, 16))
TARGETS = {("64 links", "nginx"): 0.95, ("1,000 links", "nginx"): 0.95,
           ("64 links", "floor"): 1.3, ("1,000 links", "floor"): 1.3,
           ("64 links, 16 pipelined", "nginx"): 0.6,
           ("TLS 1.3, 64 links", "nginx"): 1.0}
PIPELINE = """
init = function(args)
  local r = {}
  for i = 1, %d do r[i] = wrk.format("GET", "/livez") end
  req = table.concat(r)
end
request = function() return req end
"""


def free_port():
    import socket
    with socket.socket() as chosen:
        chosen.bind(("127.0.0.1", 0))
        return chosen.getsockname()[1]


def needed(program):
    found = shutil.which(program, path="/usr/sbin:/usr/local/bin:/usr/bin")
    if found is None:
        raise Failed(f"{program} is needed: apt-get install {program}")
    return found


def make_certificate(place):
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
               "-nodes", "-keyout", place / "tls.key", "-out", place / "tls.pem", "-days", "2",
               "-subj", "/CN=localhost"]
    subprocess.run(command, check=True, capture_output=True)
    return place / "tls.pem", place / "tls.key"


def wait_http(process, name="http", seconds=20):
    deadline = time.monotonic() + seconds
    text = ""
    while time.monotonic() < deadline:
        if select.select([process.stdout], [], [], 0.1)[0]:
            chunk = os.read(process.stdout.fileno(), 65536).decode(errors="replace")
            text += chunk
            found = re.search(rf"^ready\b.*?\b{name}=127\.0\.0\.1:(\d+)", text, re.MULTILINE)
            if found:
                return int(found[1])
            if not chunk:
                break
    raise Failed(f"it did not get ready: {text.strip()}")


def nginx_command(place, port, pair):
    config = place / "nginx.conf"
    tls = "" if pair is None else (f"    ssl_certificate {pair[0]}; ssl_certificate_key {pair[1]};"
                                   " ssl_protocols TLSv1.3;\n")
    config.write_text(
        f"worker_processes 1; daemon off; pid {place}/pid; error_log {place}/error;\n"
        "events { worker_connections 4096; }\n"
        "http { access_log off; keepalive_requests 1000000000;\n"
        f"  client_body_temp_path {place}/body; proxy_temp_path {place}/proxy;\n"
        f"  fastcgi_temp_path {place}/fcgi; uwsgi_temp_path {place}/uwsgi;\n"
        f"  scgi_temp_path {place}/scgi;\n"
        f"  server {{ listen 127.0.0.1:{port}{' ssl' if pair else ''};\n{tls}"
        f"    location / {{ default_type application/json; return 200 '{BODY}'; }} }} }}\n")
    return [needed("nginx"), "-c", config, "-p", place]


def child_of(pid):
    for _ in range(200):
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        if text:
            return int(text[0])
        time.sleep(0.02)
    raise Failed("nginx has no worker")


@contextlib.contextmanager
def serving(settings, kind, tls=False):
    """(pid whose CPU counts, port)."""
    place = Path(tempfile.mkdtemp(prefix=f"http-{kind}-", dir=settings.directory))
    pair = make_certificate(place) if tls else None
    if kind == "nginx":
        port = free_port()
        command = nginx_command(place, port, pair)
    elif kind == "floor":
        command = [FLOOR]
    else:
        keys = [f"server.data_dir={place}/data", "jt808.listen=127.0.0.1:0", "server.shards=1",
                "http.listen=127.0.0.1:0"]
        if tls:
            keys += ["http.tls_listen=127.0.0.1:0", f"tls.certificates={pair[0]}",
                     f"tls.keys={pair[1]}", "tls.min_version=1.3"]
        command = [GATEWAY, *(word for key in keys for word in ("--set", key))]
    process = subprocess.Popen(pinned(settings.server_cpus, command), stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL)
    try:
        if kind == "nginx":
            pid = child_of(process.pid)
        else:
            pid, port = process.pid, wait_http(process, "http_tls" if tls else "http")
        yield pid, port
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)
        process.stdout.close()
        shutil.rmtree(place, ignore_errors=True)


def cpu_seconds(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(settings, kind, links, pipelined, tls=False):
    with serving(settings, kind, tls) as (pid, port), \
            tempfile.NamedTemporaryFile("w", suffix=".lua", dir=settings.directory) as script:
        seconds = 2 if settings.quick else 4
        command = [needed("wrk"), "-t1", f"-c{links}", f"-d{seconds}s"]
        if pipelined > 1:
            script.write(PIPELINE % pipelined)
            script.flush()
            command += ["-s", script.name]
        command.append(f"http{'s' if tls else ''}://127.0.0.1:{port}/livez")
        before = cpu_seconds(pid)
        done = subprocess.run(pinned(settings.load_cpus, command), capture_output=True, text=True,
                              check=False, timeout=120)
        used = cpu_seconds(pid) - before
        found = re.search(r"(\d+) requests in", done.stdout)
        if done.returncode != 0 or not found or "Non-2xx" in done.stdout:
            raise Failed(f"wrk: {done.stdout} {done.stderr}")
        return {"cpu_us": 1e6 * used / int(found[1]), "per_s": int(found[1]) / seconds}


def run(settings):
    result = {}
    for name, links, pipelined in CASES:
        result[name] = alternate(settings, ["ringgate", "nginx", "floor"],
                                 lambda kind, a=links, b=pipelined: measure(settings, kind, a, b),
                                 f"http, {name}")
    for name, links, pipelined in TLS_CASES:
        result[name] = alternate(settings, ["ringgate", "nginx"],
                                 lambda kind, a=links, b=pipelined: measure(settings, kind, a, b,
                                                                            tls=True),
                                 f"http, {name}")
    return result


def show(result):
    print("  CPU per request of /livez   (below 1 is better)")
    for name, rounds in result.items():
        kinds = [kind for kind in ("ringgate", "nginx", "floor") if kind in rounds[0]]
        for other in kinds[1:]:
            values = ratios(rounds, "ringgate", other, "cpu_us")
            target = TARGETS.get((name, other))
            verdict = "" if target is None else \
                f", wanted {target}: {'met' if median(values) <= target else 'MISSED'}"
            print(f"  {name}: ringgate / {other} {show_ratio(values)}{verdict}")
        for kind in kinds:
            us = median([each[kind]["cpu_us"] for each in rounds])
            rate = median([each[kind]["per_s"] for each in rounds])
            print(f"    {kind}: {us:.2f} us, {rate:,.0f} requests/s")
