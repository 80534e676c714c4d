import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import { DROP, DROP_REASONS } from '../../../src/packet/drop.js';
import * as Geneve from '../../../src/tunnel/geneve.js';
import { bindOptions } from '../../../src/tunnel/geneveOptions.js';
import { type GeneveMatch, type GeneveOption, tunnelPlan } from '../../../src/tunnel/tunnel.js';
import { join, u16, udp } from '../../rig/frames.js';
import { makeLanes } from '../../rig/lanes.js';

const NETWORK = 7;
const lanes = makeLanes();
const { burst, arena } = lanes;
const decap = Geneve.bindDecap(arena, burst);
const options = bindOptions(arena, burst);
const inner = udp({ payload: 20 });

const option = (c: number, type: number, data = ''): GeneveOption => ({ class: c, type, data: join(data) });
const match = (c: number, type: number, data: string | null = null): GeneveMatch => ({
  class: c,
  type,
  data: data === null ? null : join(data),
});

/** A packet with options, by hand: no C bit, as Linux sends it. */
function packet(...all: GeneveOption[]): Uint8Array {
  const list = join(...all.map((o) => join(u16(o.class), o.type, o.data.length / 4, o.data)));
  return join(list.length / 4, 0, '6558 00002a00', list, inner);
}

function check(...datagrams: Uint8Array[]): string[] {
  lanes.lay(datagrams, { network: NETWORK });
  burst.tunnel.fill(2);
  decap(datagrams.length);
  options.check(datagrams.length);
  return datagrams.map((_, i) => DROP_REASONS[burst.drop[i]].name);
}

const knows = (match: GeneveMatch[], sent: GeneveOption[] = []) =>
  options.configure(NETWORK, tunnelPlan('geneve', 42, { match, options: sent }));

beforeEach(() => options.configure(NETWORK, null));

describe('critical options', () => {
  const plain = packet();
  const optional = packet(option(0x0102, 0x01, '11223344'), option(0xffff, 0x7f));
  const ovn = packet(option(0x0102, 0x80, '00010002'));
  const cilium = packet(option(0x014b, 0x81, '0a00000100500000'));

  it('drop the packet in a network that knows none', () => {
    expect(check(plain, optional, ovn, cilium)).toEqual(['none', 'none', 'critical-option', 'critical-option']);
  });

  it('are told by the type, whatever the C bit says', () => {
    const flagged = [optional, ovn].map((p) => join(p.slice(0, 1), 0x40, p.slice(2)));
    expect(check(...flagged)).toEqual(['none', 'critical-option']);
  });

  it('are understood where they are sent or matched, by class and type', () => {
    knows([], [option(0x0102, 0x80, '00030004')]);
    expect(check(plain, optional, ovn, cilium)).toEqual(['none', 'none', 'none', 'critical-option']);
    knows([match(0x014b, 0x81)]);
    expect(check(ovn, cilium)).toEqual(['critical-option', 'none']);
    // Another class, another type, and the type without its critical bit.
    knows([], [option(0x0103, 0x80), option(0x0102, 0x81), option(0x0102, 0x00)]);
    expect(check(ovn)).toEqual(['critical-option']);
  });

  it('drop wherever they stand among others', () => {
    knows([], [option(0x0102, 0x80)]);
    const known = option(0x0102, 0x80, '00010002');
    const strange = option(0x0999, 0xff);
    expect(
      check(packet(known, known), packet(strange, known), packet(known, option(1, 2, '00000000'), strange)),
    ).toEqual(['none', 'critical-option', 'critical-option']);
  });

  it('are a matter of each network', () => {
    options.configure(NETWORK + 1, tunnelPlan('geneve', 1, { options: [option(0x0102, 0x80)] }));
    expect(check(ovn)).toEqual(['critical-option']);
    lanes.lay([ovn], { network: NETWORK + 1 });
    burst.tunnel.fill(2);
    decap(1);
    options.check(1);
    expect(burst.drop[0]).toBe(0);
  });

  it('are forgotten with their network', () => {
    knows([], [option(0x0102, 0x80)]);
    options.configure(NETWORK, null);
    expect(check(ovn)).toEqual(['critical-option']);
  });
});

describe('matches', () => {
  const ovn = option(0x0102, 0x80, '00010002');

  it('want an option, whatever its data', () => {
    knows([match(0x0102, 0x80)]);
    expect(check(packet(ovn), packet(), packet(option(0x0102, 0x01)), packet(option(0x0102, 0x80)))).toEqual([
      'none',
      'option-mismatch',
      'option-mismatch',
      'none',
    ]);
  });

  it('want its data, all of it', () => {
    knows([match(0x0102, 0x80, '00010002')]);
    const others = ['00010003', '80010002', '0001000200000000', ''].map((data) => packet(option(0x0102, 0x80, data)));
    expect(check(packet(ovn), ...others)).toEqual(['none', ...others.map(() => 'option-mismatch')]);
  });

  it('want an option without data where that is said', () => {
    knows([match(0x0102, 0x01, '')]);
    expect(check(packet(option(0x0102, 0x01)), packet(option(0x0102, 0x01, '00000000')))).toEqual([
      'none',
      'option-mismatch',
    ]);
  });

  it('are content with one of several options of a type', () => {
    knows([match(0x0102, 0x80, '00010002')]);
    expect(check(packet(option(0x0102, 0x80, '00000000'), ovn))).toEqual(['none']);
  });

  it('must all be there, in any order', () => {
    knows([match(0x0102, 0x80, '00010002'), match(0x0200, 0x01), match(0x0201, 0x02, '0102030405060708')]);
    const any = option(0x0200, 0x01, 'deadbeef');
    const long = option(0x0201, 0x02, '0102030405060708');
    expect(
      check(packet(ovn, any, long), packet(long, any, ovn), packet(any, long), packet(ovn, long), packet(ovn, any)),
    ).toEqual(['none', 'none', 'option-mismatch', 'option-mismatch', 'option-mismatch']);
  });

  it('ignore the three reserved bits beside the length', () => {
    knows([match(0x0102, 0x80, '00010002')]);
    const reserved = packet(ovn);
    reserved[11] |= 0xe0;
    expect(check(reserved)).toEqual(['none']);
  });

  it('do not touch lanes of other kinds or lanes that are dropped', () => {
    knows([match(0x0102, 0x80)]);
    lanes.lay([packet(), packet()], (i) => ({ network: NETWORK, drop: i === 0 ? DROP.truncated : 0 }));
    burst.tunnel.set([2, 1]);
    burst.metaLen.fill(0);
    options.check(2);
    expect(Array.from(burst.drop.slice(0, 2))).toEqual([DROP.truncated, 0]);
  });
});

describe('against a slow twin', () => {
  const anyOption = fc.record({
    class: fc.constantFrom(0x0102, 0x0103, 0xffff),
    type: fc.constantFrom(0x00, 0x01, 0x80, 0xff),
    data: fc.constantFrom('', '00000001', '00000002', '0000000100000002').map((data) => join(data)),
  });
  const anyMatch = fc.tuple(anyOption, fc.boolean()).map(([o, any]): GeneveMatch => (any ? { ...o, data: null } : o));
  const text = (o: GeneveMatch) => `${o.class} ${o.type} ${o.data?.join()}`;

  it('says the same of any options', () => {
    const few = { maxLength: 4 };
    fc.assert(
      fc.property(fc.array(anyOption, few), fc.array(anyMatch, few), fc.array(anyOption, few), (got, match, sent) => {
        knows(match, sent);
        const known = [...match, ...sent].map((o) => `${o.class} ${o.type}`);
        const isStrange = got.some((o) => o.type >= 0x80 && !known.includes(`${o.class} ${o.type}`));
        const isMissing = match.some(
          (m) => !got.some((o) => text(m) === text(m.data === null ? { ...o, data: null } : o)),
        );
        expect(check(packet(...got))).toEqual([isStrange ? 'critical-option' : isMissing ? 'option-mismatch' : 'none']);
      }),
      { numRuns: 500 },
    );
  });
});
