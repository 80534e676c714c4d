import { LANES } from '../packet/burst.js';
import type { WeftError } from '../packet/error.js';
import * as Pcap from '../wire/pcap.js';
import { type CaptureInput, openCaptureInput, UNBOUNDED } from './captureInput.js';
import { bindCaptureKernel, type CaptureContext, type CaptureKernel } from './captureKernel.js';
import { type CaptureOutput, openCaptureOutput } from './captureOutput.js';
import type { LinkDevice } from './linkLayer.js';
import { definePort, type Port } from './port.js';

/** What a capture port may take in its next rx. */
export interface CaptureGate {
  /** Lanes, 0 for none. */
  open(): number;
  /** Records that are due then or later wait. */
  boundSeconds: number;
  boundNanoseconds: number;
}

/** Where a capture port writes: an interface of a file that other ports may write to as well. */
export interface CaptureTarget {
  output: CaptureOutput;
  id: number;
  linkType: number;
  /** Records stand at the interface of their input. */
  keepsInterfaces: boolean;
}

export interface CapturePortOptions {
  id: number;
  name: string;
  input: CaptureInput | null;
  target: CaptureTarget | null;
  gate: CaptureGate;
  /** Changes a packet in place; returns how far its start moved. */
  edit: ((bytes: Uint8Array, at: number, len: number) => number) | null;
}

/** A port over capture files that are open already. */
export interface CapturePort {
  readonly port: Port;
  readonly input: CaptureInput | null;
  /** Records written, and the bytes of their packets. */
  readonly written: number;
  readonly writtenBytes: number;
}

const OPEN_GATE: CaptureGate = { open: () => LANES, boundSeconds: UNBOUNDED, boundNanoseconds: 0 };

export function makeCapturePort(kernel: CaptureKernel, options: CapturePortOptions): CapturePort {
  const { msgResult } = kernel.outbox;
  const { bytes } = kernel.arena;
  const { at, len, drop } = kernel.burst;
  const { input, target, gate, edit } = options;
  let written = 0;
  let writtenBytes = 0;

  /** Without a file, what is sent is gone, and counts as sent. */
  function discard(n: number): number {
    for (let m = 0; m < n; m++) msgResult[m] = 0;
    return n;
  }

  function tx(n: number): number {
    if (target === null) return discard(n);
    const sent = target.output.write(n, target);
    for (let m = 0; m < n; m++) if (msgResult[m] > 0) writtenBytes += msgResult[m];
    written += sent;
    return sent;
  }

  function editLanes(n: number, change: NonNullable<typeof edit>): void {
    for (let i = 0; i < n; i++) {
      if (drop[i] !== 0) continue;
      const moved = change(bytes, at[i], len[i]);
      at[i] += moved;
      len[i] -= moved;
    }
  }

  const port = definePort({
    id: options.id,
    name: options.name,
    rx() {
      if (input === null) return 0;
      const lanesMax = gate.open();
      const n = lanesMax === 0 ? 0 : input.fill(lanesMax, gate.boundSeconds, gate.boundNanoseconds);
      if (edit !== null) editLanes(n, edit);
      return n;
    },
    hasMore: () => input !== null && !input.isAtEnd && gate.open() > 0,
    tx,
    // Frames lie in the rx window, like those of kernel devices.
    release() {
      kernel.lanes.count = 0;
    },
    vnetHdrLen: 0,
    takesPartialChecksum: false,
    takesTso4: false,
    takesTso6: false,
    takesUso: false,
    close() {
      input?.close();
    },
  });
  return {
    port,
    input,
    get written() {
      return written;
    },
    get writtenBytes() {
      return writtenBytes;
    },
  };
}

export interface PcapPortOptions {
  id: number;
  name: string;
  input?: string | null;
  output?: string | null;
  device?: LinkDevice;
}

/** A port of a live node over capture files. */
export interface PcapPort {
  readonly port: Port;
  /** Time of the last frame that came in: seconds and nanoseconds since 1970. */
  readonly seconds: number;
  readonly nanoseconds: number;
  /** The input has been read to its end, or to where it is wrong. */
  readonly isAtEnd: boolean;
  /** What is wrong with the input; null while nothing is. */
  readonly error: WeftError | null;
  /** The input has been read, and ends inside of a record. */
  readonly isCutOff: boolean;
}

const ETHERNET: LinkDevice = { carries: 'ethernet', isUnderlay: false };

/** Opens capture ports and the capture devices of frame underlays. */
export type OpenCapture = (options: PcapPortOptions) => { readonly port: Port };

/**
 * Ports of a live node: frames of `input` come in as fast as they are taken, what goes out is appended to `output` (pcapng) before the turn
 * goes on. Files are read and written in pieces; memory stays constant.
 */
export function bindPcapPorts(context: CaptureContext) {
  const kernel = bindCaptureKernel(context);
  const { pool } = context;
  return function openPcapPort(options: PcapPortOptions): PcapPort {
    const { id, name, device = ETHERNET } = options;
    const object = `port ${name}`;
    const files = { object, pool, pieceSlots: 1 };
    const input = options.input ? openCaptureInput(kernel, { ...files, path: options.input, device }) : null;
    const linkType = device.carries === 'ip' ? Pcap.LINK_RAW : Pcap.LINK_ETHERNET;
    let output: CaptureOutput | null = null;
    try {
      if (options.output) {
        const path = options.output;
        output = openCaptureOutput(kernel, { ...files, path, format: 'pcapng', isMicro: false, isLive: true });
        output.addInterface(linkType, name);
        output.flush();
        if (output.error !== null) throw output.error;
      }
    } catch (cause) {
      input?.close();
      output?.close();
      throw cause;
    }
    const target = output && { output, id: 0, linkType, keepsInterfaces: false };
    const { port } = makeCapturePort(kernel, { id, name, input, target, gate: OPEN_GATE, edit: null });
    return {
      port: definePort({
        ...port,
        close() {
          port.close();
          output?.close();
        },
      }),
      get seconds() {
        return input?.seconds ?? 0;
      },
      get nanoseconds() {
        return input?.nanoseconds ?? 0;
      },
      get isAtEnd() {
        return input?.isAtEnd ?? true;
      },
      get error() {
        return input?.error ?? null;
      },
      get isCutOff() {
        return input?.isCutOff ?? false;
      },
    };
  };
}
