/**
 * What a replay is asked to do, and what it says afterwards. Plain values: they cross a thread, and a report is printed as JSON.
 */
import type { ConfigInput } from '../control/config/config.js';
import type { DropName } from '../packet/drop.js';
import type { Plan } from '../pipeline/plan.js';

export interface ReplayOptions {
  /** The node that the captures run through. Exactly one of `config` and `plan` is given. */
  config?: ConfigInput;
  /** The same as a plan: ports of kind `pcap` and frame underlays, whose `input` and `output` are ignored. For rewriting. */
  plan?: Plan;
  inputs: readonly ReplayInput[];
  /** One file for all that leaves; '-' is the standard output. Ends in .pcap: pcap, of one link type; otherwise pcapng. */
  out?: string;
  /** In place of `out`: a file for each port and underlay, NAME.pcapng. */
  outDir?: string;
  /** Only these ports and underlays are written; all of them unless given. */
  outOnly?: readonly string[];
  /**
   * Output packets stand at the interface of their input packet, which is described as it was there (name, comments, resolution), and not
   * at one for each port and underlay. Needs one `outOnly`, or a plan with one device that sends.
   */
  keepInterfaces?: boolean;
  /** What is done to packets beside the walk; see edits.ts. */
  edits?: readonly PacketEdit[];
  /** virtual (default): the capture's timestamps are the time. real: packets are sent when they are due, and ports are real devices. */
  clock?: 'virtual' | 'real';
  pace?: Pace;
  /** Reads the inputs that often; 0: for ever. Default 1. Real clock only. */
  loop?: number;
  /** Ends after that many packets. */
  limit?: number;
  /** Ends after that many seconds: of the capture (virtual), of the clock on the wall (real). */
  durationSec?: number;
  /** Ends the replay; what was written is closed properly and reported. */
  signal?: AbortSignal;
  /** Called a few times a second. */
  onProgress?: (progress: ReplayProgress) => void;
}

/** A capture and the port or underlay that it comes in at: exactly one of the two, unless the node has only one that could be meant. */
export interface ReplayInput {
  /** Path; '-' is the standard input. */
  file: string;
  port?: string;
  underlay?: string;
}

/** One change to a field of every packet that comes in at `device` (any, unless given), before it is looked at. */
export interface PacketEdit {
  field: string;
  value: string;
  device?: string;
}

/** Speed on the real clock, as tcpreplay names it; at most one of the first four. Default: the original timing. */
export interface Pace {
  /** Of the original speed. */
  multiplier?: number;
  pps?: number;
  /** Million bits a second. */
  mbps?: number;
  topspeed?: boolean;
}

export interface ReplayProgress {
  packets: number;
  /** Of the input files. `bytesTotal` is null while an input is a pipe. */
  bytes: number;
  bytesTotal: number | null;
}

/** read + received + copied + made = forwarded + dropped + consumed, and forwarded = written + unwritten. */
export interface ReplayReport {
  version: 1;
  inputs: InputReport[];
  /** Packets that came out of the inputs. */
  read: number;
  /** Packets that came in at real devices, on the real clock. */
  received: number;
  /** Packets that left at a port or underlay. */
  forwarded: number;
  /** Of these: in an output. */
  written: number;
  /** Of these: left where nothing is written. */
  unwritten: number;
  dropped: Partial<Record<DropName, number>>;
  /** More outputs than inputs: a flooded packet counts once for each receiver after the first. */
  copied: number;
  /** Packets that the node sent or took in by itself. */
  made: number;
  consumed: number;
  held: number;
  outputs: OutputReport[];
  ports: DeviceReport[];
  underlays: DeviceReport[];
  /** Different flows (by their hash), of packets as they are inside of the tunnels. */
  flows: number;
  /** There were more flows than are counted. */
  flowsAreMore: boolean;
  /** From the first to the last timestamp. */
  captureSeconds: number;
  /** On the wall. */
  seconds: number;
  /** Million packets read in a second on the wall. */
  mpps: number;
  /** Ended by the signal, the limit or the duration, with input left. */
  stopped: boolean;
}

export interface InputReport {
  file: string;
  /** Port or underlay. */
  device: string;
  format: 'pcap' | 'pcapng' | 'unknown';
  packets: number;
  /** Of the file. */
  bytes: number;
  /** Packets of which the capture holds only a part: they are dropped as `truncated`. */
  cut: number;
  /** The file ends inside of a record. */
  truncated: boolean;
  /** What is wrong with the file; what stands in front of it was replayed. */
  error: string | null;
}

export interface OutputReport {
  file: string;
  /** Port or underlay. */
  device: string;
  packets: number;
  /** Of the packets, without the file's own headers. */
  bytes: number;
}

/** Counters of a port or underlay. */
export interface DeviceReport {
  name: string;
  rxPackets: number;
  rxBytes: number;
  txPackets: number;
  txBytes: number;
  dropped: Partial<Record<DropName, number>>;
}
