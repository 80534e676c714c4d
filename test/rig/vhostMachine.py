"""Machines of vhost-user, held by a test: vhostMachine.py COMMAND PATH; stays until stdin ends.

    machine  a good one, complete
    half     sends the head of a message, which the other end has read then, and waits
    wrong    complete, then a message that is refused, again and again
    listen   listens and takes nobody
    serve    listens, and is a good machine of each node that connects, one after the other
"""
import fcntl
import struct
import sys
import termios
import threading
import time

from vhostFrontend import *


def machine(path):
    return Frontend(path).start()


def half(path):
    frontend = Frontend(path)
    frontend.raw(struct.pack("<III", SET_FEATURES, VERSION, 8))
    # What the other end has not read yet counts as ours.
    while struct.unpack("i", fcntl.ioctl(frontend.socket, termios.TIOCOUTQ, bytes(4)))[0] > 0:
        time.sleep(0.01)
    return frontend


def wrong(path):
    for _ in range(20):
        with Frontend(path) as frontend:
            frontend.negotiate()
            frontend.send(SET_MEM_TABLE, struct.pack("<II", 1, 0) + bytes(32))
            frontend.isClosed(0.5)


def listen(path):
    server = socket.socket(socket.AF_UNIX)
    server.bind(path)
    server.listen()
    return server


def serve(path):
    server = listen(path)

    def life():
        while True:
            with Frontend(path, connection=server.accept()[0]) as frontend:
                try:
                    frontend.start().isClosed(60)
                except Gone:
                    pass

    threading.Thread(target=life, daemon=True).start()
    return server


if __name__ == "__main__":
    held = globals()[sys.argv[1]](sys.argv[2])
    print("ready", flush=True)
    sys.stdin.read()
