"""Sends raw Ethernet frames out of a device: rawFrames.py DEVICE, with lines "VNET_HEADER FRAME" in hexadecimal on standard input.

VNET_HEADER is the 10-byte virtio_net_hdr that tells the kernel which checksum to finish and how to cut the frame; zeros: as it is.
"""
import socket
import sys
import time

SOL_PACKET = 263
PACKET_VNET_HDR = 15

sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
sender.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
sender.bind((sys.argv[1], 0))
for number, line in enumerate(sys.stdin):
    vnet, frame = line.split()
    sender.send(bytes.fromhex(vnet) + bytes.fromhex(frame))
    # Fewer than a device queue holds at a time.
    if number % 32 == 31:
        time.sleep(0.001)
