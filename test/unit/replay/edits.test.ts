import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compileEdits } from '../../../src/replay/edits.js';
import type { PacketEdit } from '../../../src/replay/options.js';
import {
  arpRequest,
  ethernet,
  ip,
  join,
  noise,
  onesSum,
  outer,
  pseudoHeader,
  stationMac,
  tcp,
  toHex,
  u16,
  udp,
  vxlan,
} from '../../rig/frames.js';

const set = (...pairs: string[]): PacketEdit[] =>
  pairs.map((pair) => ({ field: pair.split('=')[0], value: pair.split('=')[1] }));

/** The frame after the edits; bytes around it must stay as they were, but for the four before it. */
function edited(frame: Uint8Array, edits: PacketEdit[]): string {
  const bytes = join(new Uint8Array(8).fill(0xa5), frame, new Uint8Array(8).fill(0xa5));
  const shift = compileEdits(edits, 'p')!(bytes, 8, frame.length);
  expect(toHex(bytes.subarray(0, 4))).toBe('a5a5a5a5');
  expect(toHex(bytes.subarray(bytes.length - 8))).toBe('a5a5a5a5a5a5a5a5');
  return toHex(bytes.subarray(8 + shift, bytes.length - 8));
}

describe('edits of a frame', () => {
  it('set MACs', () => {
    const expected = udp({ src: stationMac(8), dst: stationMac(9), ipSrc: 1, ipDst: 2 });
    expect(edited(udp(), set('src-mac=02:00:00:00:00:08', 'dst-mac=02-00-00-00-00-09'))).toBe(toHex(expected));
  });

  it('add, change and remove VLAN tags', () => {
    const plain = udp({ payload: 5 });
    const tagged = udp({ payload: 5, tags: [[0x8100, 42]] });
    expect(edited(plain, set('vlan=42'))).toBe(toHex(tagged));
    expect(edited(tagged, set('vlan=none'))).toBe(toHex(plain));
    expect(edited(plain, set('vlan=none'))).toBe(toHex(plain));
    const outerTag = udp({
      tags: [
        [0x88a8, 0xa007],
        [0x8100, 9],
      ],
    });
    expect(edited(outerTag, set('vlan=42'))).toBe(
      toHex(
        udp({
          tags: [
            [0x88a8, 0xa02a],
            [0x8100, 9],
          ],
        }),
      ),
    );
    expect(edited(outerTag, set('vlan=none'))).toBe(toHex(udp()));
  });

  it.each(['good', 'zero'] as const)('set addresses, ports, TTL and DSCP of IPv4 (UDP checksum %s)', (checksum) => {
    const fields = { payload: noise(11), checksum, tos: 0x03 };
    const edits = set('src-ip=10.0.1.1', 'dst-ip=10.0.2.2', 'src-port=7', 'dst-port=65535', 'ttl=3', 'dscp=46');
    const expected = { ...fields, ipSrc: 0x101, ipDst: 0x202, sport: 7, dport: 65535, ttl: 3, tos: (46 << 2) | 3 };
    expect(edited(udp(fields), edits)).toBe(toHex(udp(expected)));
    const options = { options: join('94040000'), checksum: 'good' as const };
    expect(edited(tcp({ ...fields, ...options }), edits)).toBe(toHex(tcp({ ...expected, ...options })));
  });

  it('set the same of IPv6, also behind extension headers and of ICMPv6', () => {
    const extensions = [{ number: 60, bytes: join('00 00 0104 00000000') }];
    const fields = { family: 6 as const, payload: noise(11), extensions, tos: 0x01 };
    const edits = set('src-ip=fd00::101', 'dst-ip=fd00::202', 'src-port=7', 'dst-port=8', 'ttl=255', 'dscp=1');
    const expected = { ...fields, ipSrc: 0x101, ipDst: 0x202, sport: 7, dport: 8, ttl: 255, tos: 0x05 };
    expect(edited(tcp(fields), edits)).toBe(toHex(tcp(expected)));
    expect(edited(udp(fields), edits)).toBe(toHex(udp(expected)));
    const echo = (f: object) => {
      const message = join('80 00 0000 0001 0002', noise(7));
      message.set(u16(0xffff - onesSum(pseudoHeader({ family: 6, ...f }, 58, message.length), message)), 2);
      return ip({ family: 6, ...f }, 58, message);
    };
    expect(edited(echo({}), set('src-ip=fd00::101'))).toBe(toHex(echo({ ipSrc: 0x101 })));
  });

  it('leave packets alone that have no such field', () => {
    expect(edited(arpRequest(1), set('src-ip=10.0.9.9', 'ttl=3', 'dst-port=1', 'vni=2'))).toBe(toHex(arpRequest(1)));
    expect(edited(udp({ family: 6 }), set('src-ip=10.0.9.9'))).toBe(toHex(udp({ family: 6 })));
    expect(edited(udp(), set('src-ip=fd00::9', 'vni=3'))).toBe(toHex(udp()));
    const later = ip({ fragment: 0x0007 }, 17, noise(30));
    expect(edited(later, set('src-port=9', 'dst-port=9'))).toBe(toHex(later));
    const odd = ethernet({}, 0x88b5, noise(30));
    expect(edited(odd, set('ttl=1'))).toBe(toHex(odd));
  });

  it.each(['good', 'zero'] as const)('set the VNI of VXLAN (outer UDP checksum %s)', (checksum) => {
    const inner = udp();
    const packet = (vni: number) => outer({ checksum }, vxlan(vni, inner));
    expect(edited(packet(42), set('vni=16777215'))).toBe(toHex(packet(0xffffff)));
    // The tunnel is one of the port that the packet came with.
    expect(edited(packet(42), set('vni=7', 'dst-port=9999'))).toBe(
      toHex(outer({ checksum, dport: 9999 }, vxlan(7, inner))),
    );
  });

  it('set the key of GRE, and its checksum', () => {
    const gre = (key: string) => {
      const packet = join(`b000 6558 0000 0000 ${key} 00000001`, udp());
      packet.set(u16(0xffff - onesSum(packet)), 4);
      return ip({}, 47, packet);
    };
    expect(edited(gre('0000002a'), set('vni=65537'))).toBe(toHex(gre('00010001')));
    const keyless = ip({}, 47, join('0000 6558', udp()));
    expect(edited(keyless, set('vni=1'))).toBe(toHex(keyless));
  });

  it('keep a wrong checksum as wrong as it was', () => {
    expect(edited(tcp({ checksum: 'bad' }), set('dst-ip=10.0.7.7'))).toBe(
      toHex(tcp({ checksum: 'bad', ipDst: 0x707 })),
    );
  });

  it('edit bare IP packets', () => {
    const bytes = udp().slice(14);
    expect(compileEdits(set('ttl=9', 'dst-mac=02:00:00:00:00:01', 'vlan=3'), 'p', false)!(bytes, 0, bytes.length)).toBe(
      0,
    );
    expect(toHex(bytes)).toBe(toHex(udp({ ttl: 9 }).subarray(14)));
  });

  it('touch nothing behind a packet that is cut off, whatever its bytes', () => {
    const all = set(
      'src-ip=10.0.1.1',
      'dst-ip=fd00::1',
      'src-port=7',
      'dst-port=8',
      'ttl=3',
      'dscp=4',
      'vni=5',
      'vlan=6',
    );
    for (const whole of [outer({}, vxlan(1, udp())), tcp({ family: 6 }), udp({ tags: [[0x8100, 1]] })])
      for (let len = 0; len < whole.length; len++) {
        edited(whole.subarray(0, len), all);
        edited(whole.subarray(0, len), set('vlan=none'));
      }
    fc.assert(fc.property(fc.uint8Array({ maxLength: 120 }), (bytes) => void edited(bytes, all)));
  });
});

describe('compileEdits', () => {
  it('has nothing to do where no edit is for the device', () => {
    expect(compileEdits([], 'p')).toBeNull();
    expect(compileEdits([{ field: 'ttl', value: '3', device: 'q' }], 'p')).toBeNull();
    expect(compileEdits([{ field: 'ttl', value: '3', device: 'p' }], 'p')).not.toBeNull();
  });

  it.each([
    ['ttk=3', "there is no field 'ttk' to set"],
    ['constructor=3', "there is no field 'constructor' to set"],
    ['ttl=0', "'0' is no value of ttl"],
    ['ttl=', "'' is no value of ttl"],
    ['dscp=64', "'64' is no value of dscp"],
    ['vlan=4095', "'4095' is no value of vlan"],
    ['vlan=all', "'all' is no value of vlan"],
    ['src-ip=10.0.0', "'10.0.0' is no value of src-ip"],
    ['dst-mac=1', "'1' is no value of dst-mac"],
    ['dst-port=65536', "'65536' is no value of dst-port"],
    ['vni=16777216', "'16777216' is no value of vni"],
  ])('refuses %s', (pair, message) => {
    expect(() => compileEdits(set(pair), 'p')).toThrow(message);
  });
});
