"""Does wrong things to one vhost-user port while two good machines talk through the same node.

    vhostFaults.py DIRECTORY [--seconds N --seed N | --sample N --seed N | NAME ...]

DIRECTORY has the sockets good0, good1, victim and other, which is in one network with victim. One line of JSON for each fault: whether the good machines lost frames meanwhile, whether the
connection was closed, and whether a good machine can use the port afterwards. With --seconds, messages and rings are mutated at random. With --sample, N of each family that has a
fault for each number of a request, drawn by the seed, and all others.
"""
import json
import random
import select
import sys

from vhostFrontend import *

FAULTS = {}


def fault(function):
    FAULTS[function.__name__] = function
    return function


def each(name, cases):
    """A fault for each case: the frontend, and the case."""
    def decorate(function):
        for label, case in cases.items():
            FAULTS[f"{name}: {label}"] = lambda path, case=case: function(path, case)
        return function
    return decorate


def frame(to, of, number, length=60):
    head = bytes([2, 0, 0, 0, 0, to, 2, 0, 0, 0, 0, of]) + struct.pack(">HI", 0x88B5, number)
    return head + bytes((i * 7 + number) & 255 for i in range(length - len(head)))


# Messages

RAW = {
    "half a header": b"\x01\0\0\0\x01",
    "half a message": struct.pack("<III", SET_FEATURES, VERSION, 8) + b"\1\2\3",
    "size of 4 GB": struct.pack("<III", SET_FEATURES, VERSION, 0xFFFFFFFF) + bytes(64),
    "request 0": struct.pack("<III", 0, VERSION, 0),
    "request 200": struct.pack("<III", 200, VERSION, 8) + bytes(8),
    "request -1": struct.pack("<III", 0xFFFFFFFF, VERSION, 0),
    "no version": struct.pack("<III", SET_OWNER, 0, 0),
    "version 2, a reply": struct.pack("<III", SET_OWNER, 6, 0),
    "noise": bytes(range(256)) * 16,
}


@each("message", RAW)
def message(path, data):
    with Frontend(path) as machine:
        machine.raw(data)
        if len(data) > 12:
            return machine.isClosed(0.3)


SHORT = {f"request {request}": request for request in range(1, 42)}
FAMILIES = ["empty", "all ones", "descriptors with"]


def sampled(count, seed):
    """The faults without most of those that differ in the number of a request alone."""
    choice = random.Random(seed)
    drawn = {f"{family}: {request}" for family in FAMILIES for request in choice.sample(list(SHORT), count)}
    return [name for name in FAULTS if name.split(": ")[0] not in FAMILIES or name in drawn]


@each("empty", SHORT)
def empty(path, request):
    with Frontend(path) as machine:
        machine.negotiate()
        machine.send(request)
        return machine.isClosed(0.05)


@each("all ones", SHORT)
def allOnes(path, request):
    with Frontend(path) as machine:
        machine.negotiate()
        machine.memTable()
        machine.send(request, b"\xff" * 56, flags=VERSION | NEED_REPLY)
        return machine.isClosed(0.05)


@each("descriptors with", SHORT)
def strangeDescriptors(path, request):
    with Frontend(path) as machine:
        machine.start()
        null = os.open("/dev/null", os.O_RDWR)
        machine.send(request, struct.pack("<Q", 0) + bytes(48), [null] * 8)
        os.close(null)
        return machine.isClosed(0.05)


@each("order", {"rings first": "ring", "addresses only": "addr", "enable only": "enable", "kick only": "kick", "twice": "twice",
                "backwards": "backwards", "reset": "reset", "features while running": "features"})
def order(path, what):
    with Frontend(path) as machine:
        if what == "ring":
            for index in (TX, RX):
                machine.ring(index)
        elif what == "addr":
            machine.vringAddr(TX)
        elif what == "enable":
            machine.enable(TX)
        elif what == "kick":
            machine.vringFd(SET_VRING_KICK, 0, machine.queues[0].kick)
        elif what == "backwards":
            machine.negotiate()
            for index in (RX, TX):
                machine.enable(index)
                machine.vringFd(SET_VRING_CALL, index, machine.queues[index].call)
                machine.vringFd(SET_VRING_KICK, index, machine.queues[index].kick)
                machine.vringNum(index)
            machine.memTable()
            for index in (RX, TX):
                machine.vringAddr(index)
        else:
            machine.start()
            if what == "twice":
                machine.start()
            elif what == "reset":
                machine.send(RESET_OWNER)
            else:
                machine.send(SET_FEATURES, struct.pack("<Q", 0))
        machine.transmit(frame(255, 10, 1))
        return machine.isClosed(0.1)


# Memory

HUGE = 1 << 63
REGIONS = {
    "none": [],
    "size 0": [(GPA, 0, UVA, 0)],
    "size 2^63": [(GPA, HUGE, UVA, 0)],
    "size 2^64 - 1": [(GPA, (1 << 64) - 1, UVA, 0)],
    "size 256 TB": [(GPA, 1 << 48, UVA, 0)],
    "address wraps": [((1 << 64) - 4096, MEMORY, (1 << 64) - 4096, 0)],
    "offset unaligned": [(GPA, MEMORY - 4096, UVA, 4095)],
    "offset wraps": [(GPA, MEMORY, UVA, (1 << 64) - 4096)],
    "offset behind the file": [(GPA, MEMORY, UVA, 1 << 40)],
    "overlapping": [(GPA, MEMORY, UVA, 0), (GPA + 4096, MEMORY - 4096, UVA + 4096, 0)],
    "the same eight times": [(GPA, MEMORY, UVA, 0)] * 8,
    "elsewhere": [(GPA * 4, MEMORY, UVA * 2, 0)],
}


@each("memory", REGIONS)
def memory(path, regions):
    with Frontend(path) as machine:
        machine.negotiate()
        machine.memTable(regions)
        for index in (RX, TX):
            machine.ring(index)
            machine.enable(index)
        machine.descriptor(TX, 0, GPA + MEMORY - 64, 128)
        machine.offer(TX, [0])
        return machine.isClosed(0.1)


@each("memory count", {"9": 9, "4 billion": 0xFFFFFFFF, "more than descriptors": 2, "less than descriptors": 0})
def memoryCount(path, count):
    with Frontend(path) as machine:
        machine.negotiate()
        machine.memTable(count=count)
        return machine.isClosed(0.3)


def otherFiles(machine):
    inner, outer = socket.socketpair()
    reading, writing = os.pipe()
    sealed = os.memfd_create("sealed", os.MFD_ALLOW_SEALING)
    os.ftruncate(sealed, MEMORY)
    import fcntl
    fcntl.fcntl(sealed, 1033, 8)
    return {"eventfd": os.eventfd(0), "null": os.open("/dev/null", os.O_RDWR), "socket": inner.detach(), "pipe": reading,
            "write-only": writing, "directory": os.open("/tmp", os.O_RDONLY), "read-only file": os.open(__file__, os.O_RDONLY),
            "sealed": sealed, "other socket": outer.detach()}


FILES = ["eventfd", "null", "socket", "pipe", "write-only", "directory", "read-only file", "sealed"]


@each("memory in", {name: name for name in FILES})
def memoryIn(path, name):
    with Frontend(path) as machine:
        files = otherFiles(machine)
        machine.negotiate()
        machine.memTable(fds=[files[name]])
        for fd in files.values():
            os.close(fd)
        return machine.isClosed(0.3)


@fault
def memoryAgain(path):
    """Another table while the rings run, and one that has the rings no more."""
    with Frontend(path) as machine:
        machine.start()
        for _ in range(20):
            machine.memTable([(GPA, MEMORY, UVA, 0), (GPA + MEMORY, 4096, UVA + MEMORY, 0)])
            machine.memTable()
        machine.memTable([(GPA * 2, MEMORY, UVA * 2, 0)])
        machine.transmit(frame(255, 10, 1))
        return machine.isClosed(0.1)


# Rings, as messages have them

@each("ring size", {str(num): num for num in (0, 1, 3, 100, 32769, 65535, 0xFFFFFFFF)})
def ringSize(path, num):
    with Frontend(path) as machine:
        machine.negotiate()
        machine.memTable()
        for index in (RX, TX):
            machine.vringNum(index, num)
            machine.vringAddr(index)
            machine.vringFd(SET_VRING_KICK, index, machine.queues[index].kick)
            machine.vringFd(SET_VRING_CALL, index, machine.queues[index].call)
            machine.enable(index)
        machine.transmit(frame(255, 10, 1))
        return machine.isClosed(0.1)


ADDRESSES = {
    "outside": UVA + MEMORY + 4096, "last byte": UVA + MEMORY - 1, "0": 0, "-1": (1 << 64) - 1, "unaligned": UVA + 0x10001,
    "physical": GPA,
}


@each("ring address", {f"{part} {label}": (part, at) for part in ("desc", "avail", "used") for label, at in ADDRESSES.items()})
def ringAddress(path, case):
    part, at = case
    with Frontend(path) as machine:
        machine.negotiate()
        machine.memTable()
        for index in (RX, TX):
            machine.ring(index)
            machine.vringAddr(index, **{part: at})
            machine.enable(index)
        machine.transmit(frame(255, 10, 1))
        return machine.isClosed(0.05)


@each("ring index", {str(index): index for index in (2, 3, 7, 127, 255, 256, 0xFFFFFFFF)})
def ringIndex(path, index):
    with Frontend(path) as machine:
        machine.start()
        machine.send(SET_VRING_NUM, struct.pack("<II", index, 64))
        machine.enable(index)
        machine.send(GET_VRING_BASE, struct.pack("<II", index, 0))
        return machine.isClosed(0.1)


@each("ring base", {f"{kind} {base:#x}": (kind == "packed", base)
                    for kind in ("split", "packed") for base in (1, 63, 64, 0x7FFF, 0xFFFF, 0x40004000)})
def ringBase(path, case):
    packed, base = case
    with Frontend(path, packed) as machine:
        machine.negotiate()
        machine.memTable()
        for index in (RX, TX):
            machine.ring(index)
            machine.vringBase(index, base)
            machine.enable(index)
        machine.transmit(frame(255, 10, 1))
        return machine.isClosed(0.05)


@each("running", {"larger ring": 32768, "no ring": 0})
def sizeWhileRunning(path, num):
    with Frontend(path) as machine:
        machine.start()
        for index in (RX, TX):
            machine.vringNum(index, num)
        for number in range(100):
            machine.transmit(frame(255, 10, number))
        return machine.isClosed(0.1)


@each("event", {f"{kind} {name}": (kind, name) for kind in ("kick", "call") for name in FILES + ["nothing", "the connection"]})
def eventFile(path, case):
    kind, name = case
    with Frontend(path) as machine:
        files = otherFiles(machine)
        machine.start()
        request = SET_VRING_KICK if kind == "kick" else SET_VRING_CALL
        for index in (RX, TX):
            if name == "nothing":
                machine.send(request, struct.pack("<Q", index | NO_FD))
            else:
                machine.vringFd(request, index, machine.socket.fileno() if name == "the connection" else files[name])
        for number in range(20):
            machine.transmit(frame(255, 10, number))
        closed = machine.isClosed(0.1)
        for fd in files.values():
            os.close(fd)
        return closed


@fault
def kickStorm(path):
    with Frontend(path) as machine:
        machine.start()
        until = time.monotonic() + 0.5
        while time.monotonic() < until:
            machine.kick(TX)
            machine.kick(RX)


# Rings, as the guest has them

def rxTables(machine, case):
    """All buffers for frames in tables, and none of these is right. Tables of both kinds of rings differ in the order of an entry's last two words."""
    table = machine.bufferOf(RX, 1)
    at, length = {"rx table outside": (GPA + MEMORY + 4096, 64), "rx table cut off": (GPA + MEMORY - 24, 1600), "rx table of 17 bytes": (GPA + table, 17),
                  "rx table of 0 bytes": (GPA + table, 0), "rx table of 4 GB": (GPA + table, 0xFFFFFFF0)}.get(case, (GPA + table, 32))
    flags = WRITE | {"rx table in a table": INDIRECT, "rx table that loops": NEXT}.get(case, 0)
    entry = (GPA + table, 32) if case == "rx table in a table" else (GPA + machine.bufferOf(RX, 0), 16)
    for slot in range(2):
        machine.put(table + 16 * slot, "<QIHH", *entry, *((0, flags) if machine.packed else (flags, 1 - slot)))
    queue = machine.queues[RX]
    for slot in range(SIZE):
        if machine.packed:
            machine.put(queue.desc + 16 * slot, "<QI", at, length)
            machine.putWord(queue.desc + 16 * slot + 14, AVAIL | INDIRECT)
        else:
            machine.descriptor(RX, slot, at, length, INDIRECT)


def splitRing(machine, case):
    queue = machine.queues[TX]
    at = GPA + machine.bufferOf(TX, 0)
    d = lambda *values: machine.descriptor(TX, *values)
    table = machine.bufferOf(TX, 1)
    entry = lambda slot, *values: machine.put(table + 16 * slot, "<QIHH", *values)
    if case == "address outside":
        d(0, GPA + MEMORY + 4096, 64)
    elif case == "address -1":
        d(0, (1 << 64) - 1, 64)
    elif case == "end outside":
        d(0, GPA + MEMORY - 32, 1500)
    elif case == "length 4 GB":
        d(0, at, 0xFFFFFFFF)
    elif case == "length wraps":
        d(0, at, 0xFFFFFFFF, NEXT, 1)
        d(1, at, 0xFFFFFFFF, NEXT, 2)
        d(2, at, 64)
    elif case == "length 0":
        d(0, at, 0)
    elif case == "header only":
        d(0, at, 12)
    elif case == "half a header":
        d(0, at, 6, NEXT, 1)
        d(1, at + 6, 3)
    elif case == "header in pieces":
        d(0, at, 5, NEXT, 1)
        d(1, at + 5, 5, NEXT, 2)
        d(2, at + 10, 1)
    elif case == "one byte":
        d(0, at, 13)
    elif case == "loop of one":
        d(0, at, 64, NEXT, 0)
    elif case == "loop of two":
        d(0, at, 64, NEXT, 1)
        d(1, at, 64, NEXT, 0)
    elif case == "next outside":
        d(0, at, 64, NEXT, 60000)
    elif case == "a chain of all":
        for slot in range(SIZE):
            d(slot, at, 2048, NEXT if slot < SIZE - 1 else 0, slot + 1)
    elif case == "writable":
        d(0, at, 64, WRITE)
    elif case == "all flags":
        d(0, at, 64, 0xFFFF, 0xFFFF)
    elif case == "table outside":
        d(0, GPA + MEMORY + 4096, 64, INDIRECT)
    elif case == "table cut off":
        d(0, GPA + MEMORY - 24, 1600, INDIRECT)
    elif case == "table of 17 bytes":
        d(0, GPA + table, 17, INDIRECT)
    elif case == "table of 0 bytes":
        d(0, GPA + table, 0, INDIRECT)
    elif case == "table of 4 GB":
        d(0, GPA + table, 0xFFFFFFF0, INDIRECT)
    elif case == "table in a table":
        entry(0, GPA + table, 32, INDIRECT, 0)
        d(0, GPA + table, 32, INDIRECT)
    elif case == "table that loops":
        entry(0, at, 64, NEXT, 1)
        entry(1, at, 64, NEXT, 0)
        d(0, GPA + table, 32, INDIRECT)
    elif case == "table and next":
        entry(0, at, 64, 0, 0)
        d(0, GPA + table, 16, INDIRECT | NEXT, 0)
    elif case == "head outside":
        machine.offer(TX, [60000])
        return
    elif case in ("index jumps", "index goes back"):
        machine.offer(TX, [0])
        machine.putWord(queue.avail + 2, 40000 if case == "index jumps" else 0xFFF0)
        machine.kick(TX)
        return
    elif case == "used ring over descriptors":
        machine.vringAddr(TX, used=UVA + queue.desc)
    elif case == "rings over buffers":
        machine.vringAddr(RX, desc=UVA + machine.bufferOf(RX, 0), avail=UVA + machine.bufferOf(RX, 0), used=UVA + machine.bufferOf(RX, 0))
    elif case == "bad metadata":
        machine.memory[machine.bufferOf(TX, 0):machine.bufferOf(TX, 0) + 76] = struct.pack("<BBHHHHH", 1, 1, 65535, 1, 65535, 65535, 0) + frame(1, 10, 7, 64)
        d(0, at, 76)
    elif case == "rx outside":
        for slot in range(SIZE):
            machine.descriptor(RX, slot, GPA + MEMORY - 8, 65535, WRITE)
    elif case == "rx loops":
        for slot in range(SIZE):
            machine.descriptor(RX, slot, at, 16, WRITE | NEXT, slot)
    elif case == "rx read-only, of no length":
        for slot in range(SIZE):
            machine.descriptor(RX, slot, at, 0, 0)
    elif case == "rx index jumps":
        machine.putWord(machine.queues[RX].avail + 2, 50000)
    elif case.startswith("rx table"):
        rxTables(machine, case)
    machine.offer(TX, [0] * 8)


SPLIT = ["address outside", "address -1", "end outside", "length 4 GB", "length wraps", "length 0", "header only", "half a header",
         "header in pieces", "one byte", "loop of one", "loop of two", "next outside", "a chain of all", "writable", "all flags",
         "table outside", "table cut off", "table of 17 bytes", "table of 0 bytes", "table of 4 GB", "table in a table", "table that loops",
         "table and next", "head outside", "index jumps", "index goes back", "used ring over descriptors", "rings over buffers",
         "bad metadata", "rx outside", "rx loops", "rx read-only, of no length", "rx index jumps"]
RX_TABLES = ["rx table outside", "rx table cut off", "rx table of 17 bytes", "rx table of 0 bytes", "rx table of 4 GB", "rx table in a table"]


def answer():
    """Frames for the machine under test, from its neighbour."""
    for number in range(8):
        neighbour.transmit(frame(10, 3, number, 400))
    time.sleep(0.02)


@each("split", {name: name for name in [*SPLIT, *RX_TABLES, "rx table that loops"]})
def split(path, case):
    with Frontend(path, features=F_INDIRECT) as machine:
        machine.start()
        # Known to the others, so that frames come back into its rings.
        machine.transmit(frame(255, 10, 0))
        time.sleep(0.02)
        machine.queues[TX].next = machine.getWord(machine.queues[TX].avail + 2)
        splitRing(machine, case)
        answer()
        return machine.isClosed(0.05)


@each("packed", {name: name for name in ["address outside", "length 4 GB", "length 0", "one byte", "endless chain", "all flags", "table outside",
                                         "table of 17 bytes", "table of 4 GB", "table in a table", "id outside", "noise", "rx outside"]})
def packed(path, case):
    with Frontend(path, packed=True, features=F_INDIRECT) as machine:
        machine.start()
        queue = machine.queues[TX]
        at, table = GPA + machine.bufferOf(TX, 0), GPA + machine.bufferOf(TX, 1)
        machine.put(machine.bufferOf(TX, 1), "<QIHH", table, 32, 0, INDIRECT)
        one = {"address outside": (GPA + MEMORY, 64, 0, 0), "length 4 GB": (at, 0xFFFFFFFF, 0, 0), "length 0": (at, 0, 0, 0),
               "one byte": (at, 13, 0, 0), "all flags": (at, 64, 0x7F7F, 0xFFFF), "table outside": (GPA + MEMORY, 64, INDIRECT, 0),
               "table cut off": (GPA + MEMORY - 24, 1600, INDIRECT, 0), "table of 0 bytes": (table, 0, INDIRECT, 0),
               "table of 17 bytes": (table, 17, INDIRECT, 0), "table of 4 GB": (table, 0xFFFFFFF0, INDIRECT, 0),
               "table in a table": (table, 32, INDIRECT, 0), "id outside": (at, 64, 0, 65535)}.get(case)
        if one is not None:
            machine.offerPacked(TX, [one])
        elif case == "endless chain":
            machine.offerPacked(TX, [(at, 64, NEXT, 0)] * queue.size)
        elif case == "noise":
            machine.memory[queue.desc:queue.desc + 1024] = random.Random(7).randbytes(1024)
        elif case in RX_TABLES:
            rxTables(machine, case)
        else:
            for slot in range(SIZE):
                machine.put(machine.queues[RX].desc + 16 * slot, "<QI", GPA + MEMORY - 8, 65535)
        machine.kick(TX)
        machine.transmit(frame(255, 10, 3))
        answer()
        return machine.isClosed(0.05)


# Connections

@fault
def thousandConnections(path):
    for _ in range(1000):
        probe = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        probe.connect(path)
        probe.close()


@fault
def halfOpen(path):
    held = []
    for _ in range(100):
        probe = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        probe.connect(path)
        held.append(probe)
    time.sleep(0.3)
    for probe in held:
        probe.close()


@fault
def startAndVanish(path):
    for number in range(30):
        machine = Frontend(path, packed=number % 2 == 1).start()
        for count in range(number % 7):
            machine.transmit(frame(255, 10, count))
        machine.close()


@fault
def vanishInTheMiddle(path):
    """The connection ends after each step of the set-up."""
    steps = [lambda m: m.negotiate(), lambda m: m.memTable(), lambda m: m.ring(RX), lambda m: m.ring(TX), lambda m: m.fillRx(),
             lambda m: m.enable(RX), lambda m: m.enable(TX), lambda m: m.transmit(frame(255, 10, 1))]
    for end in range(len(steps) + 1):
        with Frontend(path) as machine:
            for step in steps[:end]:
                step(machine)


@fault
def smallRing(path):
    """A ring of one descriptor, and an index that says 32."""
    with Frontend(path) as machine:
        machine.negotiate()
        machine.memTable()
        for queue in machine.queues:
            queue.size = 1
        for index in (RX, TX):
            machine.ring(index)
            machine.enable(index)
        for _ in range(200):
            machine.descriptor(TX, 0, GPA + machine.bufferOf(TX, 0), 64)
            machine.offer(TX, [0] * 32)
            time.sleep(0.002)
        return machine.isClosed(0.3)


# What DPDK's vhost library does not contain: not among those that run by default.

DEADLY = {}


def deadly(function):
    DEADLY[function.__name__] = function
    return function


@fault
def memoryCutOff(path):
    """The file behind the memory becomes shorter while the rings run: SIGBUS where it is touched."""
    with Frontend(path) as machine:
        machine.start()
        os.ftruncate(machine.memfd, 0)
        return machine.isClosed(0.3)


@fault
def memoryBehindTheFile(path):
    with Frontend(path) as machine:
        machine.negotiate()
        os.ftruncate(machine.memfd, 4096)
        machine.memTable()
        for index in (RX, TX):
            machine.vringNum(index)
            machine.vringAddr(index)
            machine.vringFd(SET_VRING_KICK, index, machine.queues[index].kick)
            machine.vringFd(SET_VRING_CALL, index, machine.queues[index].call)
            machine.enable(index)
        os.ftruncate(machine.memfd, MEMORY)
        return machine.isClosed(0.3)


@deadly
def smallerRing(path):
    """A ring that becomes smaller while it runs."""
    return sizeWhileRunning(path, 1)


def callBlocks(path, what):
    """What the device writes to, to say that something has come, takes nothing any more."""
    with Frontend(path) as machine:
        machine.start()
        if what == "pipe":
            reading, writing = os.pipe()
            os.set_blocking(writing, False)
            try:
                while True:
                    os.write(writing, bytes(4096))
            except BlockingIOError:
                pass
            os.set_blocking(writing, True)
        else:
            reading, writing = os.dup(0), os.eventfd(0)
            os.eventfd_write(writing, 0xFFFFFFFFFFFFFFFE)
        for index in (RX, TX):
            machine.vringFd(SET_VRING_CALL, index, writing)
        for number in range(50):
            machine.transmit(frame(255, 10, number))
            time.sleep(0.01)
        closed = machine.isClosed(0.5)
        os.close(reading)
        os.close(writing)
        return closed


@fault
def callIntoFullPipe(path):
    return callBlocks(path, "pipe")


@fault
def callIntoFullEventfd(path):
    return callBlocks(path, "eventfd")


@fault
def halfMessageHeld(path):
    """While a message is half there, other machines cannot be set up: the same thread reads them all."""
    with Frontend(path) as machine:
        machine.raw(RAW["half a message"])
        time.sleep(1)


# What surrounds a fault

class Talk:
    """Two good machines. `round` says how many of a number of frames came through as they were sent."""

    def __init__(self, folder):
        self.ends = [Frontend(f"{folder}/good0.sock").start(), Frontend(f"{folder}/good1.sock", packed=True).start()]
        self.number = 0
        self.other = Frontend(f"{folder}/other.sock").start()
        for end, machine in enumerate(self.ends):
            machine.transmit(frame(255, end + 1, 0))
            machine.receive(1, 0.2)
        self.drain()

    def drain(self):
        for machine in [*self.ends, self.other]:
            machine.receive(10_000, 0.01)

    def round(self, count=5):
        arrived = 0
        for _ in range(count):
            for sender, receiver in ((0, 1), (1, 0)):
                self.number += 1
                sent = frame(receiver + 1, sender + 1, self.number, 60 + self.number % 1400)
                self.ends[sender].transmit(sent)
                until = time.monotonic() + 2
                while time.monotonic() < until:
                    got = self.ends[receiver].receive(1, 0.5)
                    if sent in got:
                        arrived += 1
                        break
        return arrived, 2 * count


def works(path, talk, packed):
    """Whether a good machine can use the port: a frame out and one in."""
    try:
        with Frontend(path, packed) as machine:
            machine.start()
            talk.drain()
            for attempt in range(3):
                sent = frame(3, 10, 1000 + attempt)
                machine.transmit(sent)
                if sent not in talk.other.receive(1, 1.0):
                    continue
                answer = frame(10, 3, 2000 + attempt)
                talk.other.transmit(answer)
                if answer in machine.receive(1, 1.0):
                    return True
            return False
    except (Gone, OSError):
        return False


def run(name, action, path, talk, packed):
    since = time.monotonic()
    error = None
    try:
        closed = action(path)
    except (Gone, OSError) as failure:
        closed, error = True, str(failure)
    arrived, sent = talk.round()
    usable = works(path, talk, packed)
    took = round((time.monotonic() - since) * 1000)
    print(json.dumps({"fault": name, "sent": sent, "arrived": arrived, "closed": closed, "usable": usable, "ms": took, "error": error}), flush=True)
    return arrived == sent and usable


def mutated(seed):
    """A set-up with a few of its messages changed, and then rings full of noise."""
    def action(path):
        choice = random.Random(seed)
        with Frontend(path, packed=choice.random() < 0.4, features=F_INDIRECT) as machine:
            said = []
            machine.raw = lambda data, fds=(): said.append((data, list(fds)))
            machine.send(SET_OWNER)
            machine.send(SET_PROTOCOL, struct.pack("<Q", 1))
            machine.send(SET_FEATURES, struct.pack("<Q", machine.features))
            machine.memTable()
            for index in (RX, TX):
                machine.ring(index)
            machine.fillRx()
            for index in (RX, TX):
                machine.enable(index)
            del machine.raw
            for _ in range(choice.randrange(4)):
                at = choice.randrange(len(said))
                data, fds = said[at]
                kind = choice.randrange(5)
                if kind == 0:
                    changed = bytearray(data)
                    changed[choice.randrange(len(changed))] ^= 1 << choice.randrange(8)
                    said[at] = (bytes(changed), fds)
                elif kind == 1:
                    said.insert(choice.randrange(len(said)), said[at])
                elif kind == 2:
                    del said[at]
                elif kind == 3:
                    said[at] = (data, fds * 2 if choice.random() < 0.5 else [])
                elif len(data) >= 20:
                    word = choice.choice([0, 1, 0xFFFFFFFF, 0x7FFFFFFF, 0x80000000, choice.getrandbits(32)])
                    place = 12 + 4 * choice.randrange((len(data) - 12) // 4)
                    said[at] = (data[:place] + struct.pack("<I", word) + data[place + 4:], fds)
            for data, fds in said:
                machine.raw(data, fds)
            for _ in range(choice.randrange(30)):
                queue = machine.queues[choice.randrange(2)]
                place = choice.choice([queue.desc, queue.avail, queue.used]) + choice.randrange(256)
                machine.memory[place:place + 4] = choice.randbytes(4)
                machine.kick(choice.randrange(2))
            return machine.isClosed(0.01)
    return action


def main():
    folder, *rest = sys.argv[1:]
    path = f"{folder}/victim.sock"
    talk = Talk(folder)
    global neighbour
    neighbour = talk.other
    if rest[:1] == ["--seconds"]:
        seconds, seed = float(rest[1]), int(rest[3])
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if not run(f"seed {seed}", mutated(seed), path, talk, seed % 2 == 0):
                return
            seed += 1
        return
    wanted = sampled(int(rest[1]), int(rest[3])) if rest[:1] == ["--sample"] else rest or list(FAULTS)
    for number, name in enumerate(wanted):
        run(name, {**FAULTS, **DEADLY}[name], path, talk, number % 2 == 1)


main()
