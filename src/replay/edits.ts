/**
 * Changes to fields of packets as they are read (`--set ttl=3`): checksums that cover a changed field stay as right, or as wrong, as they
 * were (RFC 1624).
 *
 * A field is that of the outermost header that has it. A packet without the field stays as it is: `src-ip=10.0.0.1` changes IPv4 packets
 * and no ARP, `fd00::1` IPv6 packets.
 */
import { WeftError } from '../packet/error.js';
import * as Address from '../wire/address.js';
import * as Ethernet from '../wire/ethernet.js';
import { compilePacketEdit, type PacketValues } from './editPacket.js';
import type { PacketEdit } from './options.js';

/**
 * Edits one packet in place. Returns how many bytes its start moved forward; negative when a VLAN tag was added, for which four bytes
 * before `at` must be free. The end stays where it is: `at += shift; len -= shift`.
 */
export type EditPacket = (bytes: Uint8Array, at: number, len: number) => number;

/** What a field takes, for messages and the help text. */
export const EDIT_FIELDS = {
  'dst-mac': 'a MAC',
  'src-mac': 'a MAC',
  vlan: 'a VLAN ID (0 to 4094) or none',
  'src-ip': 'an address',
  'dst-ip': 'an address',
  ttl: '1 to 255',
  dscp: '0 to 63',
  'src-port': '0 to 65535',
  'dst-port': '0 to 65535',
  vni: '0 to 16777215, the key for GRE',
} as const;

export type EditField = keyof typeof EDIT_FIELDS;

const VLAN_KEEP = -1;
const VLAN_NONE = -2;
const VLAN_ID_MAX = 4094;

/** Null when no edit is for this device. Throws a WeftError for a field or a value that does not exist. */
export function compileEdits(edits: readonly PacketEdit[], device: string, hasEthernet = true): EditPacket | null {
  const values = new Map<string, string>();
  for (const edit of edits) {
    check(edit);
    if (edit.device === undefined || edit.device === device) values.set(edit.field, edit.value);
  }
  if (values.size === 0) return null;
  const editPacket = compilePacketEdit(packetValues(values));
  if (!hasEthernet)
    return (bytes, at, len) => {
      editPacket(bytes, at, at + len);
      return 0;
    };
  return compileFrameEdit(values, editPacket);
}

function compileFrameEdit(
  values: ReadonlyMap<string, string>,
  editPacket: (bytes: Uint8Array, at: number, end: number) => void,
): EditPacket {
  const { macFromText, MAC_BYTES, TAG_BYTES, TYPE_OFF, HEADER_BYTES, TYPE_VLAN, TYPE_IPV4, TYPE_IPV6 } = Ethernet;
  const dstText = values.get('dst-mac');
  const srcText = values.get('src-mac');
  const dst = dstText === undefined ? null : macFromText(dstText);
  const src = srcText === undefined ? null : macFromText(srcText);
  const vlanText = values.get('vlan');
  const vlan = vlanText === undefined ? VLAN_KEEP : vlanText === 'none' ? VLAN_NONE : Number(vlanText);

  /** Where the frame starts afterwards. */
  function tag(bytes: Uint8Array, at: number, end: number): number {
    const isTagged = Ethernet.isTagType(Ethernet.type(bytes, at));
    if (vlan === VLAN_NONE) {
      const l3 = isTagged ? Ethernet.l3At(bytes, at, end) : -1;
      if (l3 < 0) return at;
      const start = l3 - HEADER_BYTES;
      bytes.copyWithin(start, at, at + 2 * MAC_BYTES);
      return start;
    }
    const start = isTagged ? at : at - TAG_BYTES;
    if (!isTagged) bytes.copyWithin(start, at, at + 2 * MAC_BYTES);
    else if (end - at < HEADER_BYTES + TAG_BYTES) return at;
    const priority = isTagged ? Ethernet.vlanPriority(bytes, start + TYPE_OFF) : 0;
    const type = isTagged ? Ethernet.type(bytes, start) : TYPE_VLAN;
    Ethernet.writeTag(bytes, start + TYPE_OFF, type, priority, vlan);
    return start;
  }

  return (bytes, at, len) => {
    const end = at + len;
    if (len < HEADER_BYTES) return 0;
    if (dst !== null) Ethernet.setDst(bytes, at, dst, 0);
    if (src !== null) Ethernet.setSrc(bytes, at, src, 0);
    const start = vlan === VLAN_KEEP ? at : tag(bytes, at, end);
    const l3 = Ethernet.l3At(bytes, start, end);
    if (l3 >= 0) {
      const type = Ethernet.l3Type(bytes, l3);
      if (type === TYPE_IPV4 || type === TYPE_IPV6) editPacket(bytes, l3, end);
    }
    return start - at;
  };
}

function packetValues(values: ReadonlyMap<string, string>): PacketValues {
  const number = (field: EditField) => (values.has(field) ? Number(values.get(field)) : -1);
  const address = (field: EditField, family: number) => {
    const text = values.get(field);
    const bytes = text === undefined ? null : Address.fromText(text);
    return bytes?.length === family ? bytes : null;
  };
  return {
    src4: address('src-ip', Address.IPV4_BYTES),
    dst4: address('dst-ip', Address.IPV4_BYTES),
    src6: address('src-ip', Address.IPV6_BYTES),
    dst6: address('dst-ip', Address.IPV6_BYTES),
    ttl: number('ttl'),
    dscp: number('dscp'),
    srcPort: number('src-port'),
    dstPort: number('dst-port'),
    vni: number('vni'),
  };
}

function check({ field, value }: PacketEdit): void {
  if (!Object.hasOwn(EDIT_FIELDS, field))
    throw new WeftError('USAGE', `there is no field '${field}' to set`, {
      object: field,
      remedy: `Fields: ${Object.keys(EDIT_FIELDS).join(', ')}.`,
    });
  if (!isValue(field as EditField, value))
    throw new WeftError('USAGE', `'${value}' is no value of ${field}`, {
      object: field,
      remedy: `It takes ${EDIT_FIELDS[field as EditField]}.`,
    });
}

function isValue(field: EditField, value: string): boolean {
  const within = (min: number, max: number) => /^\d{1,8}$/.test(value) && Number(value) >= min && Number(value) <= max;
  switch (field) {
    case 'dst-mac':
    case 'src-mac':
      return Ethernet.macFromText(value) !== null;
    case 'src-ip':
    case 'dst-ip':
      return Address.fromText(value) !== null;
    case 'vlan':
      return value === 'none' || within(0, VLAN_ID_MAX);
    case 'ttl':
      return within(1, 255);
    case 'dscp':
      return within(0, 63);
    case 'vni':
      return within(0, 0xff_ffff);
    default:
      return within(0, 0xffff);
  }
}
