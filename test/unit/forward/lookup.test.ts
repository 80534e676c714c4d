import { describe, expect, it } from 'vitest';
import { bindLookup } from '../../../src/forward/lookup.js';
import { learnSource } from '../../../src/forward/macTable.js';
import { FROM_PEER, TO_PEER, TO_PORT } from '../../../src/packet/burst.js';
import { createClock } from '../../../src/packet/clock.js';
import { DROP } from '../../../src/packet/drop.js';
import { BROADCAST, join, macWords, stationMac } from '../../rig/frames.js';
import { makeKernelRig } from '../../rig/walkKernel.js';

const { burst, macTable: table, kernel } = makeKernelRig();
const clock = createClock(100);
table.limits.fill(50);
const lookup = bindLookup(burst, table, clock, kernel, new Int32Array(16));

const place = (station: number, network: number, value: number, expires = 400) => {
  const { lo, hi } = macWords(stationMac(station));
  learnSource(table, lo, hi, network, value, expires, 100);
};
place(1, 1, TO_PORT | 1);
place(2, 1, TO_PORT | 2);
place(3, 1, TO_PEER | 3);
place(4, 1, TO_PEER | 4);
place(5, 1, TO_PORT | 2, 200);
place(1, 2, TO_PORT | 7);

/** [dst, drop] of one lane. */
function look(dstMac: ArrayLike<number>, origin: number, network = 1, drop = 0): [number, number] {
  const { lo, hi } = macWords(dstMac);
  burst.dstLo[0] = lo;
  burst.dstHi[0] = hi;
  burst.origin[0] = origin;
  burst.network[0] = network;
  burst.flags[0] = (origin & TO_PORT) !== 0 ? 0 : FROM_PEER;
  burst.drop[0] = drop;
  burst.dst[0] = 777;
  kernel.prefetch(1);
  lookup(1);
  return [burst.dst[0], burst.drop[0]];
}

describe('the forward step', () => {
  it('finds ports and peers, each network its own', () => {
    expect(look(stationMac(2), TO_PORT | 1)).toEqual([TO_PORT | 2, 0]);
    expect(look(stationMac(3), TO_PORT | 1)).toEqual([TO_PEER | 3, 0]);
    expect(look(stationMac(1), TO_PEER | 3)).toEqual([TO_PORT | 1, 0]);
    expect(look(stationMac(1), TO_PORT | 8, 2)).toEqual([TO_PORT | 7, 0]);
  });

  it('floods what nobody knows, and broadcast and multicast', () => {
    expect(look(stationMac(99), TO_PORT | 1)).toEqual([0, 0]);
    expect(look(stationMac(2), TO_PORT | 8, 2)).toEqual([0, 0]);
    expect(look(BROADCAST, TO_PORT | 1)).toEqual([0, 0]);
    expect(look(join('01005e000001'), TO_PORT | 1)).toEqual([0, 0]);
    expect(look(join('333300000001'), TO_PEER | 3)).toEqual([0, 0]);
  });

  it('does not know an entry any more in the second in which it expires', () => {
    clock.seconds = 199;
    expect(look(stationMac(5), TO_PORT | 1)[0]).toBe(TO_PORT | 2);
    clock.seconds = 200;
    expect(look(stationMac(5), TO_PORT | 1)).toEqual([0, 0]);
    clock.seconds = 100;
  });

  it('sends nothing back to the port it came from', () => {
    expect(look(stationMac(2), TO_PORT | 2)[1]).toBe(DROP['same-port']);
  });

  it('forwards nothing from one peer to another, nor back, nor from a stranger to a peer', () => {
    expect(look(stationMac(4), TO_PEER | 3)[1]).toBe(DROP['split-horizon']);
    expect(look(stationMac(3), TO_PEER | 3)[1]).toBe(DROP['split-horizon']);
    expect(look(stationMac(3), 0)[1]).toBe(DROP['split-horizon']);
    expect(look(stationMac(2), 0)).toEqual([TO_PORT | 2, 0]);
  });

  it('drops the sixteen link-local control addresses of IEEE 802.1D and no other', () => {
    for (let last = 0; last < 256; last++) {
      const drop = look(join('0180c20000', last), TO_PORT | 1)[1];
      expect(drop, `01:80:c2:00:00:${last.toString(16)}`).toBe(last < 16 ? DROP['link-local-control'] : 0);
    }
    for (const mac of ['0180c2000100', '0180c2010000', '0180c3000000', '0181c2000000', '0380c2000000']) {
      expect(look(join(mac), TO_PORT | 1)[1], mac).toBe(0);
    }
  });

  it('leaves dropped lanes as they are', () => {
    expect(look(stationMac(2), TO_PORT | 1, 1, DROP.ecn)).toEqual([777, DROP.ecn]);
  });
});
