"""Frames by descriptors that lie in tables of their own (VIRTIO_RING_F_INDIRECT_DESC, virtio 1.2 sections 2.7.5.3 and 2.8.7).

    vhostTables.py DIRECTORY

Two machines at the sockets good0 (split rings) and good1 (packed rings) send frames to each other, out of tables and into tables. One line of JSON for each way to cut a
frame into the entries of a table: how many were sent, and how many arrived as they were.
"""
import json
import sys

from vhostFrontend import *

SENT = [60, 61, 577, 1400, 1514]
# Lengths of the entries, the virtio-net header in front; what is left is one more.
CUTS = {
    "one entry": [],
    "header and frame": [NET_HEADER],
    "header in pieces": [1, 4, 7],
    "header with the first bytes": [NET_HEADER + 14],
    "a byte": [NET_HEADER, 1, 13, 20],
    # Of as many as the ring, which is right, DPDK 22.11 refuses those of packed rings.
    "one less than the ring has": [NET_HEADER] + [1] * (SIZE - 3),
}
# Into two, into many, the header alone and with others.
ROOM = [[1000, 1048], [NET_HEADER, 100, 1, 1935], [64] * 32]


class Tabled(Frontend):
    """A machine all of whose frames go by tables. Entries lie in an order of their own where the ring allows it."""

    def __init__(self, path, packed, backwards):
        self.backwards = backwards and not packed
        super().__init__(path, packed, F_INDIRECT)

    def table(self, index, slot, pieces, flags):
        """Writes entries (address in the file, length each); returns what the descriptor in the ring has."""
        at = 0x100000 + index * 0x80000 + slot * 0x1000 + (slot % 3) * 16
        places = list(range(len(pieces)))
        if self.backwards:
            places[1:] = places[:0:-1]
        for number, (where, length) in enumerate(pieces):
            last = number == len(pieces) - 1
            # The entries of a packed ring's table follow each other, and say nothing of it.
            more = 0 if last or self.packed else NEXT
            rest = (0, flags) if self.packed else (flags | more, 0 if last else places[number + 1])
            self.put(at + 16 * places[number], "<QIHH", GPA + where, length, *rest)
        return GPA + at, 16 * len(pieces), INDIRECT

    def pieces(self, at, lengths, total):
        """Bytes of a buffer as entries; they stay where they are."""
        cut, done = [], 0
        for length in [*lengths, total]:
            length = min(length, total - done)
            if length > 0:
                cut.append((at + done, length))
                done += length
        return cut

    def rxBuffer(self, slot):
        return self.table(RX, slot, self.pieces(self.bufferOf(RX, slot), ROOM[slot % len(ROOM)], BUFFER), WRITE)

    def transmit(self, frame, lengths=()):
        queue = self.queues[TX]
        slot = queue.next % queue.size
        at = self.bufferOf(TX, slot)
        data = bytes(NET_HEADER) + frame
        self.memory[at:at + len(data)] = data
        entry = self.table(TX, slot, self.pieces(at, lengths, len(data)), 0)
        if self.packed:
            self.offerPacked(TX, [(*entry, slot)])
        else:
            self.descriptor(TX, slot, *entry)
            self.offer(TX, [slot])


def frame(to, of, number, length):
    head = bytes([2, 0, 0, 0, 0, to, 2, 0, 0, 0, 0, of]) + struct.pack(">HI", 0x88B5, number)
    return head + bytes((i * 7 + number) & 255 for i in range(length - len(head)))


def main():
    folder = sys.argv[1]
    for backwards in (False, True):
        with Tabled(f"{folder}/good0.sock", False, backwards) as split, Tabled(f"{folder}/good1.sock", True, backwards) as packed:
            ends = (split.start(), packed.start())
            offered = all(struct.unpack("<Q", end.ask(GET_FEATURES))[0] & F_INDIRECT for end in ends)
            for name, lengths in CUTS.items():
                sent = arrived = 0
                # More than the rings have places, so that each is used again.
                for number in range(14):
                    for here, there in ((0, 1), (1, 0)):
                        frames = [frame(there + 1, here + 1, number, length) for length in SENT]
                        for one in frames:
                            ends[here].transmit(one, lengths)
                        sent += len(frames)
                        got = ends[there].receive(len(frames), 10)
                        arrived += sum(mine == theirs for mine, theirs in zip(frames, got))
                print(json.dumps({"cut": name, "backwards": backwards, "offered": offered, "sent": sent, "arrived": arrived}), flush=True)


main()
