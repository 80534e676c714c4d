"""Sends a pool of raw Ethernet frames round and round: flood.py DEVICE SECONDS PPS, the frames on standard input, a line of hexadecimal
digits each. Prints how many were sent.

The rate is kept over ten milliseconds: what is due then goes at once. Where the sender was held up, what it missed is not made up for.
"""
import socket
import sys
import time

TICK = 0.01

device, seconds, pps = sys.argv[1], float(sys.argv[2]), float(sys.argv[3])
frames = [bytes.fromhex(line) for line in sys.stdin]
sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
sender.bind((device, 0))
send = sender.send
sent, due, at = 0, 0.0, time.monotonic()
end = at + seconds
while at < end:
    due += pps * TICK
    while due >= 1:
        due -= 1
        try:
            send(frames[sent % len(frames)])
            sent += 1
        except OSError:
            break
    due = min(due, pps * TICK)
    time.sleep(max(0.0, at + TICK - time.monotonic()))
    at = time.monotonic()
print(sent)
