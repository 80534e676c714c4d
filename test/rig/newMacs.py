"""New MACs out of a tunnel at a steady rate, and frames to some of them, to see from when on a switch no longer floods those.

    newMacs.py TUNNEL_NETNS PEER_ADDRESS SWITCH_ADDRESS UDP_PORT VNI STATION_NETNS STATION_DEVICE WITNESS_NETNS WITNESS_DEVICE
               FIRST COUNT RATE EVERY

The tunnel endpoint PEER_ADDRESS sends a VXLAN packet for each of COUNT stations, RATE a second. To each EVERYth of them the station sends frames:
at once, and while later stations come. What the switch floods gets to the witness as well. Prints JSON: seconds of the sending, and for each
of the probed stations the microseconds from its first frame to the first frame to it from which on none was flooded, null for never.
"""
import ctypes
import json
import os
import socket
import struct
import sys
import time

SO_RCVBUFFORCE = 33
TYPE = 0x88B5
STATION = bytes.fromhex("020000000002")
#: Stations that come between the first frame of one and a frame to it.
STEPS = (0, 1, 3, 10, 30, 100)
libc = ctypes.CDLL(None, use_errno=True)


def enter(namespace):
    with open(f"/run/netns/{namespace}") as file:
        if libc.setns(file.fileno(), 0) != 0:
            raise OSError(ctypes.get_errno(), f"setns {namespace}")


def packet_socket(namespace, device):
    enter(namespace)
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(TYPE))
    s.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 26)
    s.bind((device, TYPE))
    return s


def mac_of(station):
    return struct.pack("!HI", 0x02CC, station)


def probes_in(s, offset, is_ours):
    """(station, number) of the probes that wait in a socket."""
    s.settimeout(0.5)
    found = set()
    while True:
        try:
            data = s.recv(2048)
        except socket.timeout:
            return found
        frame = data[offset:]
        if len(frame) >= 22 and is_ours(frame):
            found.add(struct.unpack_from("!II", frame, 14))


tunnel, peer, switch, udp_port, vni, ns2, device2, ns3, device3, *numbers = sys.argv[1:]
first, count, rate, every = map(int, numbers)
enter(tunnel)
remote = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
remote.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 26)
remote.bind((peer, int(udp_port)))
station = packet_socket(ns2, device2)
witness = packet_socket(ns3, device3)

# The switch is to know where the station is.
body = struct.pack("!H", TYPE) + bytes(50)
station.send(b"\xff" * 6 + STATION + body)
time.sleep(0.3)
header = struct.pack("!II", 0x08000000, int(vni) << 8) + STATION
born, probed_at = {}, {}
start = time.monotonic()
for n in range(count + max(STEPS)):
    wait = start + n / rate - time.monotonic()
    if wait > 0.0005:
        time.sleep(wait)
    if n < count:
        if n % every == 0:
            born[n] = time.monotonic()
        remote.sendto(header + mac_of(first + n) + body, (switch, int(udp_port)))
    for number, step in enumerate(STEPS):
        k = n - step
        if 0 <= k < count and k % every == 0:
            probed_at[k, number] = time.monotonic()
            station.send(mac_of(first + k) + STATION + struct.pack("!HII", TYPE, k, number) + bytes(40))
took = time.monotonic() - start
is_probe = lambda frame: frame[0:2] == b"\x02\xcc"
flooded = probes_in(witness, 0, is_probe)
delivered = probes_in(remote, 8, is_probe)
lags = []
for k, at in born.items():
    lag = None
    for number in reversed(range(len(STEPS))):
        if (k, number) in flooded:
            break
        if (k, number) in delivered:
            lag = (probed_at[k, number] - at) * 1e6
    lags.append(lag)
print(json.dumps({
    "seconds": took, "lagsUs": lags, "probes": len(probed_at), "flooded": len(flooded), "lost": len(probed_at) - len(delivered),
}))
