/**
 * Values that the parts of the schema share.
 */
import { z } from 'zod';
import {
  canonicalAddress,
  canonicalPrefix,
  type Fault,
  interfaceNameFault,
  macFault,
  nameFault,
  prefixFault,
  routePrefixFault,
  stationAddressFault,
  underlayAddressFault,
} from './text.js';

/** Smallest MTU of a network: every IPv4 host must take 68 bytes (RFC 791). */
export const MTU_MIN = 68;
/** Largest MTU of a network: with its headers it still fits a large slot and an IP packet. */
export const MTU_MAX = 65000;
export const WORKERS_MAX = 16;

export function text(fault: (value: string) => Fault | null) {
  return z.string().superRefine((value, context) => {
    const found = fault(value);
    if (found) context.addIssue({ code: 'custom', message: found.message, params: { remedy: found.remedy } });
  });
}

export const name = text(nameFault);
export const mac = text(macFault);
export const address = text(underlayAddressFault).overwrite(canonicalAddress);
/** An address of a station of a network. */
export const stationAddress = text(stationAddressFault).overwrite(canonicalAddress);
export const device = text(interfaceNameFault);
/** An address of an interface, with the length of its prefix. */
export const interfaceAddress = text(prefixFault);
/** A prefix of a route. */
export const prefix = text(routePrefixFault).overwrite((value) => canonicalPrefix(value) ?? value);
export const udpPort = z.int().min(1).max(65535);
export const mtu = z.int().min(MTU_MIN).max(MTU_MAX);
export const account = z.union([z.int().min(0), z.string().min(1)]);
