"""A virtual machine's side of vhost-user, without the machine: messages, memory and rings, each of which can be wrong.

The layouts are those of the virtio 1.2 specification (2.7 split and 2.8 packed virtqueues) and of QEMU's docs/interop/vhost-user.rst.
"""
import array
import ctypes
import mmap
import os
import socket
import struct
import time

GET_FEATURES, SET_FEATURES, SET_OWNER, RESET_OWNER, SET_MEM_TABLE, SET_LOG_BASE, SET_LOG_FD = 1, 2, 3, 4, 5, 6, 7
SET_VRING_NUM, SET_VRING_ADDR, SET_VRING_BASE, GET_VRING_BASE = 8, 9, 10, 11
SET_VRING_KICK, SET_VRING_CALL, SET_VRING_ERR, GET_PROTOCOL, SET_PROTOCOL, GET_QUEUE_NUM, SET_VRING_ENABLE = range(12, 19)
SEND_RARP, NET_SET_MTU = 19, 20
VERSION = 1
NEED_REPLY = 8
NO_FD = 0x100
F_INDIRECT, F_EVENT_IDX, F_PROTOCOL, F_VERSION_1, F_PACKED, F_MERGEABLE = 1 << 28, 1 << 29, 1 << 30, 1 << 32, 1 << 34, 1 << 15
NEXT, WRITE, INDIRECT = 1, 2, 4
AVAIL, USED = 1 << 7, 1 << 15
RX, TX = 0, 1
NET_HEADER = 12

GPA = 0x40000000
UVA = 0x7F0000000000
MEMORY = 4 << 20
BUFFER = 2048
SIZE = 64


class Gone(Exception):
    """The other end has closed the connection, or does not answer."""


class Queue:
    """One virtqueue: where its three parts lie in the memory, and what the driver knows of it."""

    def __init__(self, at, size, packed):
        self.size, self.packed = size, packed
        self.desc, self.avail, self.used = at, at + 16 * size, at + 16 * size + 4096
        self.next, self.seen, self.wrap, self.usedWrap = 0, 0, 1, 1
        self.kick = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.call = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.buffers = at + 16384

    def close(self):
        os.close(self.kick)
        os.close(self.call)


class Frontend:
    def __init__(self, path, packed=False, features=0, connection=None):
        self.packed = packed
        self.features = features | F_VERSION_1 | F_PROTOCOL | (F_PACKED if packed else 0)
        self.memfd = os.memfd_create("guest", os.MFD_CLOEXEC)
        os.ftruncate(self.memfd, MEMORY)
        self.memory = mmap.mmap(self.memfd, MEMORY)
        # What the device reads at any time goes there and comes from there in one access; struct goes byte by byte.
        self.words = memoryview(self.memory).cast("H")
        self.queues = [Queue(0x10000 * (1 + 8 * i), SIZE, packed) for i in (RX, TX)]
        self.socket = connection or socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(5)
        if connection is None:
            self.socket.connect(path)

    def close(self):
        self.socket.close()
        for queue in self.queues:
            queue.close()
        self.words.release()
        self.memory.close()
        os.close(self.memfd)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # Messages

    def raw(self, data, fds=()):
        try:
            socket.send_fds(self.socket, [data], list(fds))
        except OSError as error:
            raise Gone(str(error)) from error

    def send(self, request, payload=b"", fds=(), flags=VERSION):
        self.raw(struct.pack("<III", request, flags, len(payload)) + payload, fds)

    def reply(self):
        try:
            head = self.socket.recv(12, socket.MSG_WAITALL)
            if len(head) < 12:
                raise Gone("closed")
            size = struct.unpack("<III", head)[2]
            return self.socket.recv(size, socket.MSG_WAITALL) if size else b""
        except OSError as error:
            raise Gone(str(error)) from error

    def ask(self, request, payload=b""):
        self.send(request, payload)
        return self.reply()

    def isClosed(self, withinSec=2.0):
        """Whether the other end closes the connection; what it says before is read and dropped."""
        until = time.monotonic() + withinSec
        self.socket.settimeout(0.02)
        try:
            while time.monotonic() < until:
                try:
                    if self.socket.recv(4096) == b"":
                        return True
                except socket.timeout:
                    continue
                except OSError:
                    return True
            return False
        finally:
            self.socket.settimeout(5)

    # The order in which a machine sets up

    def negotiate(self):
        self.ask(GET_FEATURES)
        self.send(SET_OWNER)
        self.ask(GET_PROTOCOL)
        self.send(SET_PROTOCOL, struct.pack("<Q", 1))
        self.send(SET_FEATURES, struct.pack("<Q", self.features))

    def memTable(self, regions=None, fds=None, count=None):
        """`regions`: (guest address, size, user address, offset in the file) each."""
        if regions is None:
            regions = [(GPA, MEMORY, UVA, 0)]
        body = b"".join(struct.pack("<QQQQ", *region) for region in regions)
        self.send(SET_MEM_TABLE, struct.pack("<II", len(regions) if count is None else count, 0) + body,
                  [self.memfd] * len(regions) if fds is None else fds)

    def vringNum(self, index, num=None):
        self.send(SET_VRING_NUM, struct.pack("<II", index, self.queues[index].size if num is None else num))

    def vringBase(self, index, base=None):
        self.send(SET_VRING_BASE, struct.pack("<II", index, (0x8000 if self.packed else 0) if base is None else base))

    def vringAddr(self, index, desc=None, avail=None, used=None, flags=0, log=0):
        queue = self.queues[index]
        at = [UVA + given if asked is None else asked
              for given, asked in ((queue.desc, desc), (queue.used, used), (queue.avail, avail))]
        self.send(SET_VRING_ADDR, struct.pack("<IIQQQQ", index, flags, *at, log))

    def vringFd(self, request, index, fd):
        self.send(request, struct.pack("<Q", index), [fd])

    def enable(self, index, value=1):
        self.send(SET_VRING_ENABLE, struct.pack("<II", index, value))

    def ring(self, index):
        self.vringNum(index)
        self.vringBase(index)
        self.vringAddr(index)
        self.vringFd(SET_VRING_KICK, index, self.queues[index].kick)
        self.vringFd(SET_VRING_CALL, index, self.queues[index].call)

    def start(self):
        self.negotiate()
        self.memTable()
        for index in (RX, TX):
            self.ring(index)
        self.fillRx()
        for index in (RX, TX):
            self.enable(index)
        # Answered after everything before has been worked on.
        self.ask(GET_FEATURES)
        self.kick(RX)
        return self

    # Rings

    def kick(self, index):
        os.eventfd_write(self.queues[index].kick, 1)

    def put(self, at, layout, *values):
        struct.pack_into(layout, self.memory, at, *values)

    def get(self, at, layout):
        return struct.unpack_from(layout, self.memory, at)

    def putWord(self, at, value):
        self.words[at // 2] = value & 0xFFFF

    def getWord(self, at):
        return self.words[at // 2]

    def descriptor(self, index, slot, address, length, flags=0, following=0):
        self.put(self.queues[index].desc + 16 * slot, "<QIHH", address, length, flags, following)

    def offer(self, index, heads):
        """Makes chains of the split ring available, by the index of their first descriptor."""
        queue = self.queues[index]
        for head in heads:
            self.putWord(queue.avail + 4 + 2 * (queue.next % queue.size), head)
            queue.next += 1
        self.putWord(queue.avail + 2, queue.next)
        self.kick(index)

    def offerPacked(self, index, descriptors):
        """Makes one chain of the packed ring available: (address, length, flags, id) each; the first one's flags last."""
        queue = self.queues[index]
        written = []
        for address, length, flags, ident in descriptors:
            mark = AVAIL if queue.wrap else USED
            written.append((queue.desc + 16 * queue.next, address, length, ident, flags | mark))
            queue.next += 1
            if queue.next == queue.size:
                queue.next, queue.wrap = 0, queue.wrap ^ 1
        for at, address, length, ident, flags in reversed(written):
            self.put(at, "<QIH", address, length, ident)
            self.putWord(at + 14, flags)
        self.kick(index)

    def bufferOf(self, index, slot):
        return self.queues[index].buffers + slot * BUFFER

    def rxBuffer(self, slot):
        """Address, length and flags of the descriptor that a frame comes in by."""
        return GPA + self.bufferOf(RX, slot), BUFFER, WRITE

    def fillRx(self):
        queue = self.queues[RX]
        for slot in range(queue.size):
            if self.packed:
                self.offerPacked(RX, [(*self.rxBuffer(slot), slot)])
            else:
                self.descriptor(RX, slot, *self.rxBuffer(slot))
        if not self.packed:
            self.offer(RX, range(queue.size))

    def transmit(self, frame, header=bytes(NET_HEADER)):
        queue = self.queues[TX]
        slot = queue.next % queue.size
        at = self.bufferOf(TX, slot)
        data = header + frame
        self.memory[at:at + len(data)] = data
        if self.packed:
            self.offerPacked(TX, [(GPA + at, len(data), 0, slot)])
        else:
            self.descriptor(TX, slot, GPA + at, len(data))
            self.offer(TX, [slot])

    def receive(self, count=1, withinSec=2.0):
        """Frames that came in, given back to the ring; fewer than `count` when time is up."""
        frames = []
        until = time.monotonic() + withinSec
        while len(frames) < count:
            taken = self.takePacked() if self.packed else self.takeSplit()
            frames += taken
            if not taken:
                if time.monotonic() > until:
                    break
                time.sleep(0.0005)
        return frames

    def frameAt(self, slot, length):
        at = self.bufferOf(RX, slot)
        return bytes(self.memory[at + NET_HEADER:at + length])

    def takeSplit(self):
        queue = self.queues[RX]
        frames = []
        while queue.seen != self.getWord(queue.used + 2):
            slot, length = self.get(queue.used + 4 + 8 * (queue.seen % queue.size), "<II")
            frames.append(self.frameAt(slot, length))
            queue.seen = (queue.seen + 1) & 0xFFFF
            self.offer(RX, [slot])
        return frames

    def takePacked(self):
        queue = self.queues[RX]
        frames = []
        while True:
            at = queue.desc + 16 * (queue.seen % queue.size)
            # First the flags: what was read before them may be from before the device wrote.
            flags = self.getWord(at + 14)
            if not (bool(flags & AVAIL) == bool(flags & USED) == bool(queue.usedWrap)):
                return frames
            _, length, slot = self.get(at, "<QIH")
            frames.append(self.frameAt(slot, length))
            queue.seen += 1
            if queue.seen == queue.size:
                queue.seen, queue.usedWrap = 0, queue.usedWrap ^ 1
            self.offerPacked(RX, [(*self.rxBuffer(slot), slot)])
