"""Numbered UDP datagrams at a steady rate, each with the time at which it was sent.

    steady.py receive ADDRESS PORT             "ready"; at the end (a datagram numbered -1, or 5 s of silence) what became of them
    steady.py send ADDRESS PORT SECONDS PPS    how many were sent

Times are those of the kernel (SO_TIMESTAMPNS), so a receiver that is slow does not count.
"""
import json
import socket
import struct
import sys
import time

SO_RCVBUFFORCE = 33
SO_TIMESTAMPNS = 35
#: How much of a pause is made up for.
AT_ONCE_SEC = 0.1


def receive(address, port):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 24)
    s.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    s.bind((address, port))
    print("ready", flush=True)
    seen, twice, late, last = set(), 0, 0, -1
    delays, gaps, before = [], [], None
    while True:
        try:
            data, ancillary, _, _ = s.recvmsg(2048, 64)
        except socket.timeout:
            break
        s.settimeout(5)
        number, sent = struct.unpack_from("!qq", data)
        if number < 0:
            break
        seconds, nanos = struct.unpack("@qq", ancillary[0][2])
        at = seconds * 10**9 + nanos
        twice += number in seen
        late += number < last
        seen.add(number)
        last = max(last, number)
        delays.append(at - sent)
        if before is not None:
            gaps.append(at - before)
        before = at
    delays.sort()
    us = lambda ns: round(ns / 1000)
    at = lambda share: us(delays[min(len(delays) - 1, int(len(delays) * share))]) if delays else 0
    print(json.dumps({
        "received": len(seen), "twice": twice, "late": late, "gapUsMax": us(max(gaps, default=0)),
        "delayUs": {"median": at(0.5), "p99": at(0.99), "p999": at(0.999), "max": at(1)},
    }), flush=True)


def send(address, port, seconds, pps):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    start, count = time.monotonic(), int(seconds * pps)
    for n in range(count):
        wait = start + n / pps - time.monotonic()
        if wait > 0:
            time.sleep(wait)
        # All that is due after a long pause of this process would fill the queue of a device: it is sent later instead.
        start += max(0, -wait - AT_ONCE_SEC)
        s.sendto(struct.pack("!qq", n, time.time_ns()) + bytes(112), (address, port))
    time.sleep(0.3)
    s.sendto(struct.pack("!qq", -1, 0), (address, port))
    print(json.dumps({"sent": count}), flush=True)


role, address, port, *rest = sys.argv[1:]
{"receive": receive, "send": send}[role](address, int(port), *map(float, rest))
