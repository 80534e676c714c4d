/**
 * Geneve options in the configuration: class, type and data, or one of the layouts that others use. Facts of the layouts: OVN's
 * ovn-architecture(7), and Cilium's bpf/lib/nodeport.h.
 */
import { z } from 'zod';
import type { GeneveMatch, GeneveOption } from '../../tunnel/tunnel.js';
import * as Address from '../../wire/address.js';
import { type Fault, quote } from './text.js';
import { address, text, udpPort } from './values.js';

/** RFC 8926 section 3.5: class, type and length of an option. */
const OPTION_HEADER_BYTES = 4;
/** What all options of a packet may have: the headroom in front of a frame also holds the outer headers. */
export const OPTIONS_BYTES_MAX = 120;
const DATA_BYTES_MAX = OPTIONS_BYTES_MAX - OPTION_HEADER_BYTES;

const OVN = { class: 0x0102, type: 0x80 };
const CILIUM = { class: 0x014b, type: 0x81 };

/** A number, or the same as text in hex. YAML reads a bare 0x0102 as a number. */
function code(max: number) {
  return z.union([z.int(), z.string()]).superRefine((value, context) => {
    const fault = codeFault(value, max);
    if (fault) context.addIssue({ code: 'custom', message: fault.message, params: { remedy: fault.remedy } });
  });
}

function codeFault(value: number | string, max: number): Fault | null {
  const hex = `0x${max.toString(16)}`;
  const number = codeNumber(value);
  if (number >= 0 && number <= max) return null;
  const shown = typeof value === 'number' ? String(value) : quote(value);
  return { message: `${shown} is not 0 to ${hex}`, remedy: `give a number of 0 to ${max}, or text like "${hex}"` };
}

function codeNumber(value: number | string): number {
  if (typeof value === 'number') return value;
  return /^0x[0-9a-f]{1,8}$/i.test(value) ? Number.parseInt(value, 16) : Number.NaN;
}

function dataFault(value: string): Fault | null {
  const remedy = 'write the bytes in hex between quotation marks, a multiple of four, like "00010002"';
  if (!/^([0-9a-f]{2})*$/i.test(value)) return { message: `${quote(value)} is not a row of bytes in hex`, remedy };
  const bytes = value.length / 2;
  if (bytes % 4 !== 0) return { message: `${bytes} bytes are not a multiple of four (RFC 8926)`, remedy };
  if (bytes <= DATA_BYTES_MAX) return null;
  return { message: `${bytes} bytes in one option, at most ${DATA_BYTES_MAX} are possible`, remedy: 'shorten it' };
}

const data = text(dataFault);
const optionClass = code(0xffff).describe('Option class (RFC 8926 section 3.5), 0 to 0xffff');
const optionType = code(0xff).describe('Option type, 0 to 0xff; 0x80 is the critical bit');

const OptionSchema = z
  .strictObject({
    class: optionClass.optional(),
    type: optionType.optional(),
    data: data.optional().describe('Bytes of the option in hex, a multiple of four, like "00010002"'),
    ovn: z
      .strictObject({
        ingress: z.int().min(0).max(0x7fff).describe('Logical ingress port, 0 to 32767'),
        egress: z.int().min(0).max(0xffff).describe('Logical egress port, 0 to 65535'),
      })
      .optional()
      .describe('Option of OVN: class 0x0102, type 0x80, {ingress, egress}'),
    cilium: z
      .strictObject({
        address: address.describe('Address of the service (IPv4 or IPv6)'),
        port: udpPort.describe('Port of the service, 1 to 65535'),
      })
      .optional()
      .describe('Option of Cilium for direct server return: class 0x014B, type 0x81, {address, port}'),
  })
  .superRefine((option, context) => {
    const fault = formFault(option);
    if (fault) context.addIssue({ code: 'custom', message: fault.message, params: { remedy: fault.remedy } });
  });

export type GeneveOptionConfig = z.output<typeof OptionSchema>;

/** One form and only one. */
function formFault(option: Record<string, unknown>): Fault | null {
  const given = Object.keys(option).filter((key) => option[key] !== undefined);
  const isPreset = given.length === 1 && (given[0] === 'ovn' || given[0] === 'cilium');
  const isPlain = given.includes('class') && given.includes('type') && given.every((key) => PLAIN.includes(key));
  if (isPreset || isPlain) return null;
  const remedy = 'write {class, type, data}, {ovn: {ingress, egress}} or {cilium: {address, port}}';
  return { message: `an option of ${given.join(', ') || 'nothing'} is not possible`, remedy };
}

const PLAIN = ['class', 'type', 'data'];

export const OptionsSchema = z.array(OptionSchema).superRefine((options, context) => {
  const bytes = options.reduce((sum, option) => sum + OPTION_HEADER_BYTES + geneveOption(option).data.length, 0);
  if (bytes <= OPTIONS_BYTES_MAX) return;
  const message = `the options have ${bytes} bytes with their headers, at most ${OPTIONS_BYTES_MAX} are possible`;
  context.addIssue({ code: 'custom', message, params: { remedy: 'send fewer or shorter ones' } });
});

export const MatchesSchema = z.array(
  z.strictObject({
    class: optionClass,
    type: optionType,
    data: data.optional().describe('Bytes that the option must have, in hex; default: any'),
  }),
);

export type GeneveMatchConfig = z.output<typeof MatchesSchema>[number];

export function geneveOption(option: GeneveOptionConfig): GeneveOption {
  if (option.ovn) return { ...OVN, data: ovnData(option.ovn) };
  if (option.cilium) return { ...CILIUM, data: ciliumData(option.cilium) };
  return {
    class: codeNumber(option.class ?? 0),
    type: codeNumber(option.type ?? 0),
    data: hexBytes(option.data ?? ''),
  };
}

export function geneveMatch(match: GeneveMatchConfig): GeneveMatch {
  const bytes = match.data === undefined ? null : hexBytes(match.data);
  return { class: codeNumber(match.class), type: codeNumber(match.type), data: bytes };
}

/**
 *  0                   1                   2                   3
 *  |R|        ingress port         |          egress port          |
 */
function ovnData({ ingress, egress }: { ingress: number; egress: number }): Uint8Array {
  return Uint8Array.of(ingress >>> 8, ingress & 0xff, egress >>> 8, egress & 0xff);
}

/** Address of 4 or 16 bytes, port, two bytes of padding. */
function ciliumData(service: { address: string; port: number }): Uint8Array {
  const bytes = Address.fromText(service.address) ?? new Uint8Array(Address.IPV4_BYTES);
  return Uint8Array.of(...bytes, service.port >>> 8, service.port & 0xff, 0, 0);
}

function hexBytes(hex: string): Uint8Array {
  return Uint8Array.from(Buffer.from(hex, 'hex'));
}
