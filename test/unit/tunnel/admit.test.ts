import { beforeEach, describe, expect, it } from 'vitest';
import { FROM_PEER, TO_PEER } from '../../../src/packet/burst.js';
import { createClock } from '../../../src/packet/clock.js';
import {
  LAST_HEARD,
  makeCounterBlock,
  NETWORKS_MAX,
  PEER_ROW,
  ROW_WIDTH,
  RX_BYTES,
  RX_PACKETS,
} from '../../../src/packet/counters.js';
import { DROP } from '../../../src/packet/drop.js';
import { bindAdmit, CARRIES_GPE, CARRIES_IP, CARRIES_ROUTED_ETHERNET } from '../../../src/tunnel/admit.js';
import { KIND } from '../../../src/tunnel/tunnel.js';
import { createVtepTable, vtepKey } from '../../../src/tunnel/vtep.js';
import { ethernet, join, macWords, udp, v4 } from '../../rig/frames.js';
import { makeLanes } from '../../rig/lanes.js';

const CARRIER = 3;
const VNI = 0x123456;
const GRE_KEY = 0xdeadbeef;
const lanes = makeLanes();
const { burst, arena } = lanes;
const sources = lanes.outbox.rxSrc;
const vteps = createVtepTable(64, 16);
const tables = {
  vteps,
  networkCarries: new Int32Array(NETWORKS_MAX),
  networkMode: new Int32Array(NETWORKS_MAX),
  networkVtepLo: new Int32Array(NETWORKS_MAX),
  networkVtepHi: new Int32Array(NETWORKS_MAX),
  networkRoams: new Int32Array(NETWORKS_MAX),
};
const clock = createClock(77);
const counters = new Float64Array(makeCounterBlock());
const strangers: number[][] = [];
const admit = bindAdmit(arena, burst, sources, tables, lanes.inbound, clock, counters, (...args) =>
  strangers.push(args),
);

/** Address words as they lie in memory, IPv4-mapped. */
const words = (address: string) => new Int32Array(join('00000000000000000000ffff', v4(address)).buffer);
const key = (kind: keyof typeof KIND, carrier = CARRIER) => vtepKey(carrier, KIND[kind]);

vteps.addNetwork(key('vxlan'), VNI, 7, false);
vteps.addNetwork(key('vxlan'), 0, 8, false);
vteps.addNetwork(key('vxlan'), 0xffffff, 9, true);
vteps.addNetwork(key('vxlan', CARRIER + 1), 99, 10, false);
vteps.addNetwork(key('geneve'), VNI, 11, false);
vteps.addNetwork(key('gre'), GRE_KEY, 12, false);
vteps.addNetwork(key('ipip'), 0, 13, false);
for (const [kind, id, peer, network] of [
  ['vxlan', VNI, 21, 7],
  ['vxlan', 0, 22, 8],
  ['geneve', VNI, 24, 11],
  ['gre', GRE_KEY, 25, 12],
  ['ipip', 0, 26, 13],
] as const)
  vteps.addPeer(key(kind), id, words('198.18.0.2'), peer, network);
vteps.addPeer(key('vxlan'), VNI, words('198.18.0.3'), 23, 7);

interface Packet {
  kind?: keyof typeof KIND;
  id?: number;
  payload?: number;
  from?: number;
  bytes?: Uint8Array;
  /** First byte of a VXLAN header. */
  flags?: number;
}

const inner = udp({ payload: 20 });
const ipv4 = inner.slice(14);

beforeEach(() => {
  strangers.length = 0;
  counters.fill(0);
  tables.networkCarries.fill(0);
});

/** What the networks of the last burst carry. */
let carried = 0;

/** Lanes as decap leaves them; `from` is an index into the addresses. */
function run(packets: Packet[], addresses = ['198.18.0.2']): number[] {
  lanes.lay(
    packets.map(({ bytes }) => bytes ?? inner),
    { offset: 2 },
  );
  addresses.forEach((address, i) => {
    sources.set(words(address), i * 4);
  });
  packets.forEach(({ kind = 'vxlan', id = VNI, payload = 0x6558, from = 0, flags = 0x0c }, i) => {
    arena.bytes[burst.at[i] - 8] = flags;
    burst.tunnel[i] = KIND[kind];
    burst.key[i] = id;
    burst.payload[i] = payload;
    burst.from[i] = from;
    burst.network[i] = 0;
    burst.origin[i] = 0;
  });
  carried = admit(packets.length, CARRIER);
  return Array.from(burst.drop.slice(0, packets.length));
}

const column = (name: 'network' | 'origin', n: number) => Array.from(burst[name].slice(0, n), (v) => v & 0xffff);

describe('networks and peers', () => {
  it('are found by kind, id and sender', () => {
    const packets: Packet[] = [{}, { kind: 'geneve' }, { kind: 'gre', id: GRE_KEY | 0 }, { id: 0 }];
    expect(run(packets)).toEqual([0, 0, 0, 0]);
    expect(column('network', 4)).toEqual([7, 11, 12, 8]);
    expect(column('origin', 4)).toEqual([21, 24, 25, 22]);
    expect([burst.origin[0], burst.flags[0]]).toEqual([TO_PEER | 21, FROM_PEER]);
    expect(lanes.frame(0)).toEqual(inner);
  });

  it('are those of their own carrier and kind alone', () => {
    const unknown = DROP['unknown-vni'];
    const drops = run([{ id: 1 }, { id: 99 }, { id: 0xffffff }, { kind: 'geneve', id: 0 }, { kind: 'gre', id: VNI }]);
    expect(drops).toEqual([unknown, unknown, 0, unknown, unknown]);
  });

  it('are configured, or the network takes strangers, from nowhere, and tells of them', () => {
    const addresses = ['198.18.0.3', '198.18.0.4'];
    const drops = run([{}, { from: 1 }, { id: 0 }, { id: 0xffffff, from: 1 }, { id: 0xffffff, from: 1 }], addresses);
    expect(drops).toEqual([0, DROP['unknown-peer'], DROP['unknown-peer'], 0, 0]);
    expect(burst.origin[0]).toBe(TO_PEER | 23);
    expect([burst.origin[1], burst.flags[1]]).toEqual([0, 0]);
    expect([burst.network[3], burst.origin[3], burst.flags[3]]).toEqual([9, 0, FROM_PEER]);
    expect(strangers).toEqual([[CARRIER, 9, 4]]);
  });

  it('are looked up again when kind, id or sender change inside of a burst', () => {
    const packets: Packet[] = [{}, {}, { id: 0 }, {}, { from: 1 }, { kind: 'geneve' }, {}];
    expect(run(packets, ['198.18.0.2', '198.18.0.3'])).toEqual([0, 0, 0, 0, 0, 0, 0]);
    expect(column('origin', 7)).toEqual([21, 21, 22, 21, 23, 24, 21]);
    expect(column('network', 7)).toEqual([7, 7, 8, 7, 7, 11, 7]);
  });

  it('are told apart by every word of the address', () => {
    const base = [0x01020304, 0x05060708, 0x090a0b0c, 0x0d0e0f10];
    const all = [base, ...base.map((_, word) => base.map((w, k) => (k === word ? w + 1 : w)))];
    all.forEach((address, k) => {
      vteps.addPeer(key('vxlan'), VNI, Int32Array.from(address), 40 + k, 7);
      sources.set(address, k * 4);
    });
    // The first sender again and again, each of the others in between.
    run(
      [0, 1, 0, 2, 0, 3, 0, 4].map((from) => ({ from })),
      [],
    );
    expect(column('origin', 8)).toEqual([40, 41, 40, 42, 40, 43, 40, 44]);
  });
});

describe('what is inside', () => {
  it('is Ethernet, unless the network carries IP', () => {
    const wrong = DROP['tunnel-protocol'];
    const payloads = [0x6558, 0x0800, 0x86dd, 0x0806];
    const packets = payloads.map((payload) => ({ kind: 'geneve', payload }) as const);
    expect(run(packets)).toEqual([0, wrong, wrong, wrong]);
    tables.networkCarries[11] = CARRIES_IP;
    expect(run(packets)).toEqual([wrong, 0, 0, wrong]);
    expect(carried).toBe(CARRIES_IP);
    run([{}]);
    expect(carried).toBe(0);
  });

  it('is what flag P says in networks with GPE alone', () => {
    const packets = [{ payload: 0x0800 }, { payload: 0 }, {}];
    expect(run(packets)).toEqual([0, 0, 0]);
    tables.networkCarries[7] = CARRIES_GPE;
    expect(run(packets)).toEqual([DROP['tunnel-protocol'], DROP['tunnel-protocol'], 0]);
    tables.networkCarries[7] = CARRIES_GPE | CARRIES_IP;
    expect(run(packets)).toEqual([0, DROP['tunnel-protocol'], DROP['tunnel-protocol']]);
  });

  it('is refused where a GPE header has another version, or is a control packet', () => {
    const packets = [{ flags: 0x1c }, { flags: 0x2c }, { flags: 0x0d }];
    expect(run(packets)).toEqual([0, 0, 0]);
    tables.networkCarries[7] = CARRIES_GPE;
    expect(run(packets)).toEqual([DROP['tunnel-flags'], DROP['tunnel-flags'], DROP['tunnel-control']]);
  });

  describe('of a routed network over Ethernet', () => {
    const mac = Uint8Array.of(2, 0, 0xaa, 0xbb, 0xcc, 0x99);
    beforeEach(() => {
      tables.networkCarries[7] = CARRIES_IP | CARRIES_ROUTED_ETHERNET;
      const { lo, hi } = macWords(mac);
      tables.networkVtepLo[7] = lo;
      tables.networkVtepHi[7] = hi;
    });

    it('is a packet behind a header for our MAC, which stays for the step that parses', () => {
      const ipv6 = udp({ family: 6 }).slice(14);
      const packets = [
        { bytes: ethernet({ dst: mac }, 0x0800, ipv4) },
        { bytes: ethernet({ dst: mac }, 0x86dd, ipv6) },
      ];
      expect(run(packets)).toEqual([0, 0]);
      expect([lanes.frame(0), lanes.frame(1)]).toEqual(packets.map(({ bytes }) => bytes));
      expect(Array.from(burst.payload.slice(0, 2))).toEqual([0x0800, 0x86dd]);
    });

    it('is for nobody else', () => {
      for (let byte = 0; byte < 6; byte++) {
        const other = mac.slice();
        other[byte] ^= 0x40;
        const drops = run([{ bytes: ethernet({ dst: other }, 0x0800, ipv4) }]);
        expect(drops, `byte ${byte}`).toEqual([DROP['wrong-mac']]);
      }
    });

    it('is no ARP, and has something behind its header', () => {
      const arp = ethernet({ dst: mac }, 0x0806, ipv4);
      const whole = ethernet({ dst: mac }, 0x0800, ipv4);
      expect(run([{ bytes: arp }])).toEqual([DROP['tunnel-protocol']]);
      for (let length = 1; length < 20; length++) {
        const drop = length <= 14 ? DROP['malformed-tunnel'] : 0;
        expect(run([{ bytes: whole.slice(0, length) }]), `${length}`).toEqual([drop]);
      }
    });
  });
});

describe('counters', () => {
  it('say what each peer of a burst sent, and when it was heard', () => {
    const from = [0, 0, 1, 0, 1, 1, 1, 0];
    run([...from.map((f) => ({ from: f })), { id: 1 }], ['198.18.0.2', '198.18.0.3']);
    for (const peer of [21, 23]) {
      const row = (PEER_ROW + peer) * ROW_WIDTH;
      expect([counters[row + RX_PACKETS], counters[row + RX_BYTES], counters[row + LAST_HEARD]]).toEqual([
        4,
        4 * inner.length,
        77,
      ]);
    }
    expect(counters.reduce((a, b) => a + b)).toBe(2 * (4 + 4 * inner.length + 77));
  });

  it('leave out what is dropped', () => {
    run([{ payload: 0x0800, kind: 'geneve' }, { kind: 'geneve' }]);
    expect(counters[(PEER_ROW + 24) * ROW_WIDTH + RX_PACKETS]).toBe(1);
    lanes.lay([inner], { drop: DROP.truncated });
    admit(1, CARRIER);
    expect(burst.drop[0]).toBe(DROP.truncated);
  });
});
