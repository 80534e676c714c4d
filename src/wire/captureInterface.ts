/*
 * What a capture file says of an interface. Made once per interface, so an object is right here.
 */
import { getOrdered16, getOrderedU32 } from './bytes.js';
import { interfaceOptions } from './captureOptions.js';
import { RESOLUTION_DEFAULT } from './captureTime.js';
import * as Pcapng from './pcapng.js';

export interface CaptureInterface {
  readonly linkType: number;
  /** 0 means no limit. */
  readonly snapLength: number;
  /** Empty where the file gives none. */
  readonly name: string;
  /** An if_tsresol: see captureTime.ts. */
  readonly resolution: number;
  /** Added to the seconds of every time. */
  readonly offsetSeconds: number;
  /** What else it says (description, comments, hardware, ...), as options of a little-endian file. */
  readonly options: Uint8Array;
}

export const NO_OPTIONS = new Uint8Array(0);

/** Reads a checked pcapng block of type BLOCK_INTERFACE. The resolution is as the file says, not checked. */
export function readInterface(bytes: Uint8Array, at: number, little: boolean): CaptureInterface {
  const name = optionValue(bytes, at, little, Pcapng.OPTION_IF_NAME, 0);
  const resolution = optionValue(bytes, at, little, Pcapng.OPTION_IF_TIME_RESOLUTION, 1);
  const offset = optionValue(bytes, at, little, Pcapng.OPTION_IF_TIME_OFFSET, 8);
  return {
    linkType: getOrdered16(bytes, at + Pcapng.INTERFACE_LINK_TYPE_OFF, little),
    snapLength: getOrderedU32(bytes, at + Pcapng.INTERFACE_SNAP_LENGTH_OFF, little),
    name: name === null ? '' : new TextDecoder().decode(name),
    resolution: resolution === null ? RESOLUTION_DEFAULT : resolution[0],
    offsetSeconds: offset === null ? 0 : signed64(offset, little),
    options: interfaceOptions(
      bytes,
      at + Pcapng.INTERFACE_OPTIONS_OFF,
      at + Pcapng.blockBytes(bytes, at, little) - 4,
      little,
    ),
  };
}

function optionValue(
  bytes: Uint8Array,
  at: number,
  little: boolean,
  code: number,
  bytesMin: number,
): Uint8Array | null {
  const end = at + Pcapng.blockBytes(bytes, at, little) - 4;
  const found = Pcapng.optionAt(bytes, at + Pcapng.INTERFACE_OPTIONS_OFF, end, little, code);
  if (found < 0) return null;
  const valueBytes = Pcapng.optionBytes(bytes, found, little);
  const valueAt = Pcapng.optionValueAt(found);
  return valueBytes < bytesMin ? null : bytes.slice(valueAt, valueAt + valueBytes);
}

function signed64(bytes: Uint8Array, little: boolean): number {
  const high = getOrderedU32(bytes, little ? 4 : 0, little) | 0;
  return high * 2 ** 32 + getOrderedU32(bytes, little ? 0 : 4, little);
}
