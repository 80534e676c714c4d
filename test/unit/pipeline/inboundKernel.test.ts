// The kernel of the way in against the forms in TypeScript alone, over whole outer frames: plain ones, others, and damaged ones.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { slotStart } from '../../../src/packet/arena.js';
import { instantiateChecksum } from '../../../src/packet/checksum.js';
import { createClock } from '../../../src/packet/clock.js';
import { makeCounterBlock } from '../../../src/packet/counters.js';
import { bindDecapStep } from '../../../src/pipeline/decap.js';
import { compilePlan } from '../../../src/pipeline/tables.js';
import { definePort } from '../../../src/port/port.js';
import { KIND, tunnelPlan } from '../../../src/tunnel/tunnel.js';
import { bindFrameUnderlays } from '../../../src/underlay/frame.js';
import { bindOuter, type OuterRules } from '../../../src/underlay/outer.js';
import { join, udp, v4, v6 } from '../../rig/frames.js';
import { FRAMES, network, PEER_A, PEER_B, peer, planOf, SELF } from '../../rig/plans.js';
import { ENCAPSULATIONS, type Encapsulation, type OuterPacket, tunnelFrame } from '../../rig/tunnels.js';
import { idleInbound, makeKernelRig } from '../../rig/walkKernel.js';

const SELF_6 = 'fd00::1';
const PEER_6 = 'fd00::2';
const OWN = new Int32Array(join('00000000000000000000ffff', v4(SELF)).buffer);
const OWN_6 = new Int32Array(v6(SELF_6).buffer);
const RULES: OuterRules = {
  address: OWN,
  ports: Int32Array.of(4789, 4790, 6081, 6080, 8285, 8472),
  kinds: Int32Array.of(KIND.vxlan, KIND.vxlan, KIND.geneve, KIND.gue, KIND.fou, KIND.vxlan),
  gre: KIND.gre,
  ipip: KIND.ipip,
  routedLo: 0,
  routedHi: 0,
};
const over = (id: number, rest: Parameters<typeof network>[1]) => network(id, { underlay: FRAMES, ...rest });
/** Networks by the ids that the packets below have; the fourth takes whoever sends. */
const PLAN = planOf({
  ports: {},
  networks: [
    over(1, { vni: 0x123456 }),
    over(2, { tunnel: tunnelPlan('geneve', 0x123456) }),
    over(3, { mode: 'xconnect', tunnel: tunnelPlan('gre') }),
    over(4, { tunnel: tunnelPlan('vxlan', 0x123457), acceptUnknownPeers: true }),
    over(5, { mode: 'l3', tunnel: tunnelPlan('ipip') }),
    over(6, { mode: 'l3', tunnel: tunnelPlan('fou') }),
    over(7, { mode: 'l3', tunnel: tunnelPlan('gue') }),
    over(8, { tunnel: tunnelPlan('gre', 0x80000007, { sequence: true }) }),
    over(9, { tunnel: tunnelPlan('geneve', 0x123457, { match: [{ class: 1, type: 1, data: null }] }) }),
    over(10, { mode: 'l3', vtepMac: '02:00:00:00:0b:01', tunnel: tunnelPlan('vxlan', 1) }),
    over(11, { mode: 'l3', tunnel: tunnelPlan('gre', 9, { payload: 'ip', sequence: true }) }),
  ],
  peers: [1, 2, 3, 5, 6, 7, 8, 9, 10, 11].flatMap((net) =>
    [PEER_A, PEER_B, PEER_6].map((address, k) => peer(20 * k + net, net, address, { underlay: FRAMES })),
  ),
});

/** The way in as far as admission, with the kernel or without it. */
function makeSide(hasKernel: boolean, address: Int32Array) {
  const rig = makeKernelRig();
  const { arena, burst, outbox, tables } = rig;
  const inbound = hasKernel ? rig.inbound : idleInbound(burst);
  const checksums = instantiateChecksum(arena.memory);
  const counters = new Float64Array(makeCounterBlock());
  const strangers: number[][] = [];
  compilePlan(tables, PLAN);
  const step = bindDecapStep(
    arena,
    burst,
    outbox,
    tables,
    checksums,
    inbound,
    createClock(100),
    counters,
    (...about) => strangers.push(about),
    { overhear() {} },
  );
  step.configure(PLAN.networks);
  let frames: Uint8Array[] = [];
  const device = definePort({
    id: 1,
    name: 'wire',
    rx() {
      for (const column of Object.values(burst)) column.fill(0x5a5a5a5);
      outbox.rxSrc.fill(0x5a5a5a5);
      frames.forEach((frame, i) => {
        burst.at[i] = slotStart(arena, 1 + i);
        burst.len[i] = frame.length;
        burst.flags[i] = 0;
        // A device may have dropped a lane already.
        burst.drop[i] = frame.length === 0 ? 1 : 0;
        arena.bytes.fill(0, burst.at[i], burst.at[i] + 256);
        arena.bytes.set(frame, burst.at[i]);
      });
      return frames.length;
    },
    hasMore: () => false,
    tx: () => 0,
    release() {},
    vnetHdrLen: 0,
    takesPartialChecksum: false,
    takesTso4: false,
    takesTso6: false,
    takesUso: false,
    close() {},
  });
  const underlay = bindFrameUnderlays(
    burst,
    bindOuter(arena, burst, outbox, checksums),
    inbound,
  )({
    id: FRAMES,
    name: 'frames',
    device,
    rules: { ...RULES, address },
    tos: 0,
    deliverOffloadLeak: false,
    popDepth: 0,
  });
  /** Everything that later steps see of a burst. */
  return (given: Uint8Array[]) => {
    frames = given;
    underlay.rx();
    const modes = step.decap(underlay.nextLanes(), underlay);
    const { at, len, flags, drop, network: net, origin, from, outerTos, tunnel, key, payload, metaLen } = burst;
    const lanes = given.map((_, i) =>
      drop[i] !== 0
        ? { drop: drop[i], origin: origin[i], network: net[i], from: from[i] }
        : {
            at: at[i] - slotStart(arena, 1 + i),
            ...{ len: len[i], flags: flags[i], network: net[i], origin: origin[i], from: from[i], tunnel: tunnel[i] },
            ...{ outerTos: outerTos[i], key: key[i], payload: payload[i], metaLen: metaLen[i] },
            source: Array.from(outbox.rxSrc.subarray(i * 4, i * 4 + 4)),
          },
    );
    // As bytes: an assertion over 230,400 doubles takes seconds.
    return { modes, lanes, strangers, counters: Buffer.from(counters.buffer) };
  };
}

const inner = udp({ src: 9, dst: 1, payload: 20 });
const inner6 = udp({ src: 9, dst: 1, payload: 20, family: 6 });
const PORTS = { vxlan: 4789, geneve: 6081, fou: 8285, gue: 6080 } as Record<string, number>;
const V6 = { [SELF]: SELF_6, [PEER_A]: PEER_6, '198.18.0.7': 'fd00::7' } as Record<string, string>;

const packet = fc.record({
  // One of the few encapsulations of the burst: lanes in a row that differ in one thing.
  e: fc.nat(),
  family: fc.constantFrom(4 as const, 4 as const, 6 as const),
  src: fc.constantFrom(PEER_A, PEER_A, PEER_A, PEER_B, '198.18.0.9', '0.0.0.0'),
  dst: fc.constantFrom(SELF, SELF, SELF, SELF, SELF, SELF, SELF, '198.18.0.7'),
  isOther: fc.constantFrom(false, false, false, true),
  checksum: fc.constantFrom('zero' as const, 'zero' as const, 'zero' as const, 'good' as const, 'bad' as const),
  dport: fc.constantFrom(0, 0, 0, 0, 8472, 1),
  fragment: fc.constantFrom(0x4000, 0x4000, 0, 0x2000, 0x8000, 7),
  tos: fc.constantFrom(0, 3, 0xb8),
  trailer: fc.constantFrom(0, 0, 0, 9),
});

interface Drawn extends Omit<OuterPacket, 'protocol'> {
  e: Encapsulation;
  isOther: boolean;
  dport: number;
  family: 4 | 6;
}

/** Sequence numbers of the packets come again. */
let sequence = 0;

function frameOf({ e, isOther, dport, family, ...outer }: Drawn, isV6: boolean): Uint8Array {
  sequence = (sequence + 1) % 50;
  const fields = { family, sequence, dstMac: '020000000b01', srcMac: '020000000b02' };
  const body = e.mode === 'l2' ? inner : (family === 4 ? inner : inner6).slice(14);
  const wrapped = isOther && e.otherId ? e.otherId(body, fields) : e.wrap(body, fields);
  const addresses = isV6 ? { src: V6[outer.src] ?? 'fd00::9', dst: V6[outer.dst] } : {};
  const port = dport || (e.tunnel.gpe ? 4790 : PORTS[e.tunnel.kind]) || 0;
  return tunnelFrame({ ...outer, ...addresses, protocol: e.protocol(family), dport: port }, wrapped);
}

/** Frames as they should be; some cut off, some with one bit of their headers changed, some over the other family. */
const frameOver = (isV6: boolean) =>
  fc.record({
    packet,
    isV6: fc.constantFrom(isV6, isV6, isV6, isV6, !isV6),
    cut: fc.option(fc.nat(110), { freq: 8 }),
    flip: fc.option(fc.tuple(fc.nat(80), fc.nat(7)), { freq: 4 }),
  });
const burstOver = (isV6: boolean) =>
  fc
    .tuple(
      fc.array(fc.constantFrom(...ENCAPSULATIONS), { minLength: 1, maxLength: 2 }),
      fc.array(frameOver(isV6), { minLength: 1, maxLength: 40, size: 'max' }),
    )
    .map(([some, drawn]) =>
      drawn.map(({ packet: { e, ...rest }, cut, flip, ...over }) => {
        const bytes = frameOf({ e: some[e % some.length], ...rest }, over.isV6).slice(0, cut ?? undefined);
        if (flip !== null && flip[0] < bytes.length) bytes[flip[0]] ^= 1 << flip[1];
        return bytes;
      }),
    );

describe('the kernel of the way in', () => {
  it.each([
    ['IPv4', OWN, false],
    ['IPv6', OWN_6, true],
  ] as const)('takes and leaves lanes over %s as the forms in TypeScript alone do', (_, address, isV6) => {
    const [kernel, alone] = [makeSide(true, address), makeSide(false, address)];
    fc.assert(
      fc.property(burstOver(isV6), (frames) => {
        const { counters, ...rest } = kernel(frames);
        const { counters: expected, ...others } = alone(frames);
        expect(rest).toEqual(others);
        expect(counters.equals(expected)).toBe(true);
      }),
      { numRuns: 200 },
    );
  });

  it('takes plain lanes itself, whatever their port, and leaves none of them', () => {
    const rig = makeKernelRig();
    const { burst, inbound, arena } = rig;
    const vxlan = ENCAPSULATIONS.find(({ name }) => name === 'vxlan')!;
    const geneve = ENCAPSULATIONS.find(({ name }) => name === 'geneve')!;
    const plain = { src: PEER_A, dst: SELF, checksum: 'zero' as const };
    const frames = [vxlan, geneve].map((e) => frameOf({ e, isOther: false, dport: 0, family: 4, ...plain }, false));
    inbound.rules.set([...OWN, 0, 0, 2, 0xb512, KIND.vxlan, 0xc117, KIND.geneve]);
    frames.forEach((bytes, i) => {
      burst.at[i] = slotStart(arena, 1 + i);
      burst.len[i] = bytes.length;
      burst.drop[i] = 0;
      arena.bytes.set(bytes, burst.at[i]);
    });
    expect(inbound.outer(2)).toBe(0);
    expect(Array.from(burst.tunnel.subarray(0, 2))).toEqual([KIND.vxlan, KIND.geneve]);
    expect(inbound.decap(2)).toBe(0);
    expect(Array.from(burst.key.subarray(0, 2))).toEqual([0x123456, 0x123456]);
    expect(frames.map((_, i) => arena.bytes.slice(burst.at[i], burst.at[i] + burst.len[i]))).toEqual([inner, inner]);
    // Different kinds are different runs.
    expect(inbound.admit(0, 2, 1, 77)).toBe(1);
  });
});
