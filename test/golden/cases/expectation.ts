// What a golden case says by hand about its packets (expected.yaml), and what follows from it for the counters.
import { readFileSync } from 'node:fs';
import { parse } from 'yaml';

/** Field of tshark: its outermost value, or all values, from the outermost inwards, as a list. */
type Fields = Record<string, unknown>;

/** A packet that a port or underlay sent. */
export interface ExpectedPacket {
  device: string;
  /** Bytes in front of what it carries or quotes. */
  headers: number;
  /** The input packet that it carries, whole but for `except`; null for an answer. */
  from: PacketRef | null;
  /** The input packet that it quotes the beginning of. */
  answers: PacketRef | null;
  /** Bytes of what is carried that differ from the input, and are judged by their fields. */
  except: readonly number[];
  fields: Record<string, string>;
  /** Hexadecimal digits at a place of the packet, for what tshark has no reader for. */
  bytes: Record<string, string>;
  /** Bytes at the end of the input that belong to the link and not to the packet. */
  pad: number;
  /** tshark cannot read what is inside, or it is damaged and forwarded all the same. */
  odd: boolean;
}

/** `web 3+14`: the third packet of web.pcap from its byte 14 on. */
export interface PacketRef {
  device: string;
  /** Counted from 1, as tshark does. */
  number: number;
  at: number;
}

export interface Expectation {
  /** `-d` rules for tshark. */
  decode: string[];
  /** By device, in the order in which they left there. */
  packets: Map<string, ExpectedPacket[]>;
  /** Input packets by the reason for which they were dropped, at one receiver at least. */
  dropped: Map<string, PacketRef[]>;
}

interface Written {
  decode?: string[];
  /** Bytes of outer headers of packets that come in, where they are not those of packets that go out. */
  taken?: Record<string, number>;
  out?: Record<string, { headers?: number; each?: Fields; packets: (string | (Fields & Special))[] }>;
  dropped?: Record<string, string[]>;
}

interface Special {
  from?: string;
  answers?: string;
  headers?: number;
  except?: number[];
  bytes?: Record<string, string>;
  pad?: number;
  odd?: boolean;
}

function readRef(text: string, taken: (device: string) => number): PacketRef {
  const [, device, number, at] = /^(\S+) (\d+)(?:\+(\d+))?$/.exec(text) ?? [];
  if (device === undefined) throw new Error(`${text} is not a packet like "web 3" or "lan 3+50"`);
  return { device, number: Number(number), at: at === undefined ? taken(device) : Number(at) };
}

export function readExpectation(path: string): Expectation {
  const { decode = [], taken = {}, out = {}, dropped = {} } = parse(readFileSync(path, 'utf8')) as Written;
  const takenOf = (device: string) => taken[device] ?? out[device]?.headers ?? 0;
  const packets = new Map<string, ExpectedPacket[]>();
  for (const [device, { headers = 0, each = {}, packets: written }] of Object.entries(out)) {
    const list = written.map((entry): ExpectedPacket => {
      const packet: Fields & Special = typeof entry === 'string' ? { from: entry } : entry;
      const {
        from,
        answers,
        headers: own = headers,
        except = [],
        bytes = {},
        pad = 0,
        odd = false,
        ...fields
      } = packet;
      if ((from === undefined) === (answers === undefined))
        throw new Error(`${path}: a packet is from or answers another`);
      return {
        device,
        headers: own,
        from: from === undefined ? null : readRef(from, takenOf),
        answers: answers === undefined ? null : readRef(answers, takenOf),
        ...{ except, bytes, pad, odd },
        fields: fieldTexts({ ...each, ...fields }),
      };
    });
    packets.set(device, list);
  }
  const reasons = Object.entries(dropped).map(
    ([reason, refs]) => [reason, refs.map((ref) => readRef(ref, takenOf))] as const,
  );
  return { decode, packets, dropped: new Map(reasons) };
}

function fieldTexts(fields: Fields): Record<string, string> {
  const text = (value: unknown) => (Array.isArray(value) ? value.join('|') : String(value));
  return Object.fromEntries(
    Object.entries(fields)
      // `~`: a field that the others have, and this one does not.
      .filter(([, value]) => value !== null)
      .map(([name, value]) => [name, text(value)]),
  );
}

export const refKey = ({ device, number }: PacketRef) => `${device} ${number}`;

/** Counters that follow from the list of packets; `read` is the number of packets in the inputs. */
export function countersOf(expectation: Expectation, read: number) {
  const sent = [...expectation.packets.values()].flat();
  const drops = [...expectation.dropped].map(([reason, refs]) => [reason, refs.length] as const);
  const made = sent.filter(({ answers }) => answers !== null).length;
  const went = sent.length + drops.reduce((sum, [, count]) => sum + count, 0);
  return {
    read,
    forwarded: sent.length,
    written: sent.length,
    unwritten: 0,
    dropped: Object.fromEntries(drops),
    // A packet counts once more for each receiver after the first.
    copied: went - made - read,
    made,
    consumed: 0,
    held: 0,
  };
}
