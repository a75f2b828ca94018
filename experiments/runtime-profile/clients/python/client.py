"""A client of an edge that works through a workload file and prints what it did, as one line of JSON.

    client.py noop
    client.py write|read|delete store WORKLOAD
    client.py write|read|delete https WORKLOAD URL CA SECRET

The same in C++, Go and Python: one connection, one request at a time, standard means of the language.
SECRET is a file with USER:PASSWORD. With store the keys go to a dict in this process instead.
"""

import base64
import http.client
import json
import platform
import ssl
import sys
import time
import urllib.parse
import zlib

CHUNKS = 50  # parts of a run that are timed one by one


class Edge:
    """A key-value store behind HTTPS, over one connection that is kept."""

    def __init__(self, url, ca, secret):
        with open(secret, "rb") as file:
            credentials = base64.b64encode(file.read().strip()).decode()
        self.headers = {
            "Authorization": "Basic " + credentials,
            "Accept": "*/*",
            "Accept-Encoding": "identity",
            "User-Agent": "metronome-profile",
        }
        self.typed = dict(self.headers, **{"Content-Type": "application/octet-stream"})
        self.connection = http.client.HTTPSConnection(
            urllib.parse.urlsplit(url).netloc, context=ssl.create_default_context(cafile=ca), timeout=60
        )

    def request(self, method, key, body, headers, statuses):
        self.connection.request(method, "/v1/kv/" + key.decode(), body, headers)
        response = self.connection.getresponse()
        content = response.read()
        if response.status not in statuses:
            raise RuntimeError(f"{method} {key.decode()}: {response.status} {content[:200]!r}")
        return content

    def write(self, key, value):
        self.request("PUT", key, value, self.typed, (201, 204))

    def read(self, key):
        return self.request("GET", key, None, self.headers, (200,))

    def delete(self, key):
        self.request("DELETE", key, None, self.headers, (204,))


class Store:
    """The language's own hash table behind the same three methods."""

    def __init__(self):
        self.values = {}

    def write(self, key, value):
        self.values[key] = value

    def read(self, key):
        return self.values[key]

    def delete(self, key):
        del self.values[key]


def load(path):
    """Reads a workload file: a list of (key, offset, end) and the pool of bytes that values are cut from."""
    with open(path, "rb") as file:
        magic, version, count, size = file.readline().split()
        if (magic, version) != (b"metronome-workload", b"1"):
            raise ValueError(f"{path}: no workload file of version 1")
        operations = []
        for _ in range(int(count)):
            key, offset, length = file.readline().split()
            operations.append((key, int(offset), int(offset) + int(length)))
        pool = file.read()
    if len(pool) != int(size):
        raise ValueError(f"{path}: {len(pool)} bytes of values, not {int(size)}")
    return operations, pool


def work(verb, target, operations, pool, crc):
    """Does a part of the operations and returns the checksum so far."""
    if verb == "write":
        write = target.write
        for key, start, end in operations:
            value = pool[start:end]
            write(key, value)
            crc = zlib.crc32(value, zlib.crc32(key, crc))
    elif verb == "read":
        read = target.read
        for key, _, _ in operations:
            crc = zlib.crc32(read(key), zlib.crc32(key, crc))
    else:
        delete = target.delete
        for key, _, _ in operations:
            delete(key)
            crc = zlib.crc32(key, crc)
    return crc


def run(verb, target, operations, pool):
    """Does all operations: the checksum, when the first was done and when each part was, in nanoseconds."""
    count, crc, done, marks = len(operations), 0, 0, []
    start = time.perf_counter_ns()
    crc = work(verb, target, operations[:1], pool, crc)
    first, done = time.perf_counter_ns() - start, 1
    for part in range(1, CHUNKS + 1):
        end = max(1, count * part // CHUNKS)
        crc = work(verb, target, operations[done:end], pool, crc)
        done = end
        marks.append(time.perf_counter_ns() - start)
    return crc, first, marks


def peak():
    """Peak resident memory in KiB, as the kernel counts it for this address space."""
    with open("/proc/self/status", "rb") as file:
        for line in file:
            if line.startswith(b"VmHWM:"):
                return int(line.split()[1])
    return 0


def main(arguments):
    began = time.perf_counter_ns()
    report = {"runtime": platform.python_implementation() + " " + platform.python_version(), "operations": 0}
    if arguments != ["noop"]:
        verb, place, path = arguments[:3]
        if verb not in ("write", "read", "delete") or place not in ("store", "https"):
            raise SystemExit(__doc__)
        operations, pool = load(path)
        if place == "store":
            target = Store()
            if verb != "write":
                work("write", target, operations, pool, 0)
        else:
            target = Edge(*arguments[3:])
        report["load_ns"] = time.perf_counter_ns() - began
        crc, first, marks = run(verb, target, operations, pool)
        report.update(operations=len(operations), checksum=f"{crc:08x}", first_ns=first, marks_ns=marks)
    report["peak_kib"] = peak()
    print(json.dumps(report))


if __name__ == "__main__":
    main(sys.argv[1:])
