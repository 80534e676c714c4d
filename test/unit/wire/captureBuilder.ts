// Builds capture files in either byte order, from the format's description and with DataView: the slow twin of src/wire's readers.

type Field = ['u16' | 'u32', number] | Uint8Array;

export function fieldsOf(fields: Field[], little: boolean): Uint8Array {
  const parts = fields.map((field) => {
    if (field instanceof Uint8Array) return field;
    const [kind, value] = field;
    const bytes = new Uint8Array(kind === 'u16' ? 2 : 4);
    const view = new DataView(bytes.buffer);
    if (kind === 'u16') view.setUint16(0, value, little);
    else view.setUint32(0, value, little);
    return bytes;
  });
  return Uint8Array.from(parts.flatMap((part) => [...part]));
}

export const joined = (...parts: Uint8Array[]) => Uint8Array.from(parts.flatMap((part) => [...part]));
const toFour = (bytes: Uint8Array) => joined(bytes, new Uint8Array((4 - (bytes.length % 4)) % 4));

export interface BuiltRecord {
  seconds: number;
  /** In the unit of the file. */
  fraction: number;
  data: Uint8Array;
  original: number;
}

export function pcapFile(little: boolean, nano: boolean, linkType: number, records: BuiltRecord[]): Uint8Array {
  const u32 = (value: number): Field => ['u32', value];
  const fields: Field[] = [u32(nano ? 0xa1b23c4d : 0xa1b2c3d4), ['u16', 2], ['u16', 4], u32(0), u32(0)];
  fields.push(u32(65535), u32(linkType));
  for (const { seconds, fraction, data, original } of records) {
    fields.push(u32(seconds), u32(fraction), u32(data.length), u32(original), data);
  }
  return fieldsOf(fields, little);
}

/** Blocks and options of pcapng files of one byte order. */
export function pcapngParts(little: boolean) {
  const of = (...fields: Field[]) => fieldsOf(fields, little);
  const block = (type: number, body: Uint8Array) => {
    const content = toFour(body);
    const len = content.length + 12;
    return of(['u32', type], ['u32', len], content, ['u32', len]);
  };
  const option = (code: number, value: Uint8Array) => of(['u16', code], ['u16', value.length], toFour(value));
  const endOfOptions = of(['u32', 0]);
  return {
    of,
    block,
    option,
    endOfOptions,
    section: (major = 1, ...options: Uint8Array[]) => {
      const body = of(['u32', 0x1a2b3c4d], ['u16', major], ['u16', 0], ['u32', 0xffff_ffff], ['u32', 0xffff_ffff]);
      return block(0x0a0d0d0a, joined(body, ...options));
    },
    interface: (linkType: number, snapLength: number, ...options: Uint8Array[]) =>
      block(1, joined(of(['u16', linkType], ['u16', 0], ['u32', snapLength]), ...options)),
    packet: (id: number, high: number, low: number, data: Uint8Array, original: number, ...options: Uint8Array[]) => {
      const head = of(['u32', id], ['u32', high], ['u32', low], ['u32', data.length], ['u32', original]);
      return block(6, joined(head, toFour(data), ...options));
    },
    oldPacket: (id: number, drops: number, high: number, low: number, data: Uint8Array, original: number) => {
      const head = of(
        ['u16', id],
        ['u16', drops],
        ['u32', high],
        ['u32', low],
        ['u32', data.length],
        ['u32', original],
      );
      return block(2, joined(head, data));
    },
    simple: (data: Uint8Array, original: number) => block(3, joined(of(['u32', original]), data)),
  };
}
