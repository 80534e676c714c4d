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
import { join, udp, v4 } from '../../rig/frames.js';
import { FRAMES, network, PEER_A, PEER_B, peer, planOf, SELF } from '../../rig/plans.js';
import { ENCAPSULATIONS, type Encapsulation, type OuterPacket, tunnelFrame } from '../../rig/tunnels.js';
import { idleInbound, makeKernelRig } from '../../rig/walkKernel.js';

const OWN = new Int32Array(join('00000000000000000000ffff', v4(SELF)).buffer);
const RULES: OuterRules = {
  address: OWN,
  ports: Int32Array.of(4789, 6081, 8472),
  kinds: Int32Array.of(KIND.vxlan, KIND.geneve, KIND.vxlan),
  gre: KIND.gre,
  ipip: KIND.ipip,
  routedLo: 0,
  routedHi: 0,
};
/** Networks by the ids that the packets below have; the last takes whoever sends. */
const PLAN = planOf({
  ports: {},
  networks: [
    network(1, { underlay: FRAMES, vni: 0x123456 }),
    network(2, { underlay: FRAMES, tunnel: tunnelPlan('geneve', 0x123456) }),
    network(3, { underlay: FRAMES, mode: 'xconnect', tunnel: tunnelPlan('gre') }),
    network(4, { underlay: FRAMES, tunnel: tunnelPlan('vxlan', 0x123457), acceptUnknownPeers: true }),
    network(5, { underlay: FRAMES, mode: 'l3', tunnel: tunnelPlan('ipip') }),
  ],
  peers: [1, 2, 3, 5].flatMap((net) => [
    peer(net, net, PEER_A, { underlay: FRAMES }),
    peer(10 + net, net, PEER_B, { underlay: FRAMES }),
  ]),
});

/** The way in as far as admission, with the kernel or without it. */
function makeSide(hasKernel: boolean) {
  const rig = makeKernelRig();
  const { arena, burst, outbox, tables } = rig;
  const inbound = hasKernel ? rig.inbound : idleInbound(burst);
  const checksums = instantiateChecksum(arena.memory);
  const counters = new Float64Array(makeCounterBlock());
  const strangers: number[][] = [];
  compilePlan(tables, PLAN);
  const step = bindDecapStep(arena, burst, outbox, tables, checksums, inbound, createClock(100), counters, (...about) =>
    strangers.push(about),
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
    rules: RULES,
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
const PORTS = { vxlan: 4789, geneve: 6081 } as Record<string, number>;

const packet = fc.record({
  e: fc.constantFrom(
    ...ENCAPSULATIONS.filter(({ tunnel }) => ['vxlan', 'geneve', 'gre', 'ipip'].includes(tunnel.kind)),
  ),
  src: fc.constantFrom(PEER_A, PEER_A, PEER_A, PEER_B, '198.18.0.9', '0.0.0.0'),
  dst: fc.constantFrom(SELF, SELF, SELF, SELF, '198.18.0.7'),
  isOther: fc.constantFrom(false, false, false, true),
  checksum: fc.constantFrom('zero' as const, 'zero' as const, 'zero' as const, 'good' as const, 'bad' as const),
  dport: fc.constantFrom(0, 0, 0, 0, 8472, 1),
  fragment: fc.constantFrom(0x4000, 0x4000, 0, 0x2000, 0x8000, 7),
  tos: fc.constantFrom(0, 3, 0xb8),
  trailer: fc.constantFrom(0, 0, 0, 9),
});

type Drawn = { e: Encapsulation; isOther: boolean; dport: number } & Omit<OuterPacket, 'protocol'>;

function frameOf({ e, isOther, dport, ...outer }: Drawn): Uint8Array {
  const fields = { family: 4 as const, sequence: 1, dstMac: '020000000b01', srcMac: '020000000b02' };
  const body = e.mode === 'l2' ? inner : inner.slice(14);
  const wrapped = isOther && e.otherId ? e.otherId(body, fields) : e.wrap(body, fields);
  return tunnelFrame({ ...outer, protocol: e.protocol(4), dport: dport || PORTS[e.tunnel.kind] || 0 }, wrapped);
}

/** Frames as they should be; some cut off, some with one byte of their headers changed. */
const frame = fc
  .tuple(packet, fc.option(fc.nat(90), { freq: 8 }), fc.option(fc.tuple(fc.nat(60), fc.nat(255)), { freq: 3 }))
  .map(([p, cut, change]) => {
    const bytes = frameOf(p).slice(0, cut ?? undefined);
    if (change !== null && change[0] < bytes.length) bytes[change[0]] = change[1];
    return bytes;
  });

describe('the kernel of the way in', () => {
  it('takes and leaves lanes as the forms in TypeScript alone do', () => {
    const [kernel, alone] = [makeSide(true), makeSide(false)];
    fc.assert(
      fc.property(fc.array(frame, { minLength: 1, maxLength: 40 }), (frames) => {
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
    const frames = [vxlan, geneve].map((e) => frameOf({ e, isOther: false, dport: 0, ...plain }));
    inbound.rules.set([OWN[3], 2, 0xb512, KIND.vxlan, 0xc117, KIND.geneve]);
    frames.forEach((bytes, i) => {
      burst.at[i] = slotStart(arena, 1 + i);
      burst.len[i] = bytes.length;
      burst.drop[i] = 0;
      arena.bytes.set(bytes, burst.at[i]);
    });
    expect(inbound.outer(2)).toBe(0);
    expect(Array.from(burst.tunnel.subarray(0, 2))).toEqual([KIND.vxlan, KIND.geneve]);
    // No lane is left, and the kinds were both.
    expect(inbound.decap(2)).toBe(((1 << KIND.vxlan) | (1 << KIND.geneve)) << 8);
    expect(Array.from(burst.key.subarray(0, 2))).toEqual([0x123456, 0x123456]);
    expect(frames.map((_, i) => arena.bytes.slice(burst.at[i], burst.at[i] + burst.len[i]))).toEqual([inner, inner]);
    // Different kinds are different runs.
    expect(inbound.admit(0, 2, 1, 77)).toBe(1);
  });
});
