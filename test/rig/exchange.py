#!/usr/bin/env python3
"""TCP and UDP between two stations, both ways, compared byte by byte; UDP by superframes (UDP_SEGMENT) or one by one.

    exchange.py serve PORT                                         prints "ready"
    exchange.py ask ADDRESSES PORT BYTES DATAGRAMS SIZE SEGMENTS   prints a line of JSON for each address

ADDRESSES are joined by commas. BYTES of TCP go up and come down. DATAGRAMS of SIZE bytes go up and come down, SEGMENTS of them with one call; 1 is plain.
Datagrams are numbered, so that lost, repeated, late and damaged ones are told apart.
"""
import hashlib
import json
import socket
import struct
import sys
import threading
import time

UDP_SEGMENT = 103
SO_RCVBUFFORCE = 33
BLOCK = bytes(range(251)) * 1000  # 251 is prime: no two segments begin alike


def stream(sock, count):
    digest = hashlib.sha256()
    sent = 0
    while sent < count:
        piece = BLOCK[: min(len(BLOCK), count - sent)]
        sock.sendall(piece)
        digest.update(piece)
        sent += len(piece)
    return digest.digest()


def take(sock, count):
    digest = hashlib.sha256()
    while count > 0:
        piece = sock.recv(min(count, 1 << 20))
        if not piece:
            raise EOFError("the stream ended early")
        digest.update(piece)
        count -= len(piece)
    return digest.digest()


def exactly(sock, count):
    out = b""
    while len(out) < count:
        piece = sock.recv(count - len(out))
        if not piece:
            raise EOFError("the stream ended early")
        out += piece
    return out


PATTERN = bytes(range(256)) * 300


def datagram(number, size):
    first = number & 255
    return struct.pack("!I", number) + PATTERN[first : first + size - 4]


def send_datagrams(sock, to, count, size, segments):
    if segments > 1:
        sock.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, size)
    for first in range(0, count, segments):
        last = min(count, first + segments)
        sock.sendto(b"".join(datagram(n, size) for n in range(first, last)), to)
        time.sleep(0.0005 * (last - first) if segments == 1 else 0.002)


def receive_datagrams(sock, count, size):
    got = {"arrived": 0, "late": 0, "damaged": 0}
    seen = set()
    highest = -1
    while got["arrived"] < count:
        try:
            data, _ = sock.recvfrom(65536)
        except socket.timeout:
            break
        number = struct.unpack("!I", data[:4])[0] if len(data) >= 4 else -1
        if number in seen or number < 0 or number >= count or data != datagram(number, size):
            got["damaged"] += 1
            continue
        seen.add(number)
        got["arrived"] += 1
        got["late"] += number < highest
        highest = max(highest, number)
    return got


def udp_socket(family):
    sock = socket.socket(family, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 4 << 20)
    sock.settimeout(5)
    return sock


def answer(conn):
    with conn:
        conn.settimeout(10)
        count, datagrams, size, segments = struct.unpack("!QIII", exactly(conn, 20))
        conn.sendall(take(conn, count))
        conn.sendall(stream(conn, count))
        if datagrams == 0:
            return
        sock = udp_socket(conn.family)
        sock.bind((conn.getsockname()[0], 0))
        conn.sendall(struct.pack("!H", sock.getsockname()[1]))
        conn.sendall((json.dumps(receive_datagrams(sock, datagrams, size)) + "\n").encode())
        port = struct.unpack("!H", exactly(conn, 2))[0]
        send_datagrams(sock, (conn.getpeername()[0], port), datagrams, size, segments)
        exactly(conn, 1)


def serve(port):
    server = socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=16)
    print("ready", flush=True)
    while True:
        conn, _ = server.accept()
        threading.Thread(target=quietly, args=(conn,), daemon=True).start()


def quietly(conn):
    try:
        answer(conn)
    except (EOFError, OSError) as error:
        print(error, file=sys.stderr, flush=True)


def line(conn):
    out = b""
    while not out.endswith(b"\n"):
        out += exactly(conn, 1)
    return json.loads(out)


def ask(address, port, count, datagrams, size, segments):
    conn = socket.create_connection((address, port), timeout=10)
    conn.sendall(struct.pack("!QIII", count, datagrams, size, segments))
    up = stream(conn, count)
    told = exactly(conn, 32)
    down = take(conn, count)
    result = {"tcpUp": told == up, "tcpDown": down == exactly(conn, 32)}
    if datagrams:
        to = struct.unpack("!H", exactly(conn, 2))[0]
        sock = udp_socket(conn.family)
        sock.bind((conn.getsockname()[0], 0))
        send_datagrams(sock, (address, to), datagrams, size, segments)
        result["udpUp"] = line(conn)
        conn.sendall(struct.pack("!H", sock.getsockname()[1]))
        result["udpDown"] = receive_datagrams(sock, datagrams, size)
        conn.sendall(b".")
    conn.close()
    print(json.dumps(result))


if sys.argv[1] == "serve":
    serve(int(sys.argv[2]))
else:
    for each in sys.argv[2].split(","):
        ask(each, *(int(word) for word in sys.argv[3:]))
