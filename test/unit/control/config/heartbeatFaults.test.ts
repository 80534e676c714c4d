import { describe, expect, it } from 'vitest';
import { checkValue } from '../../../../src/control/config/check.js';
import { withoutSecret } from '../../../../src/control/config/heartbeatSchema.js';
import { faultsOf } from '../faultsOf.js';

const roaming = { vni: 1, peers: [{ address: '192.0.2.2', roams: true }] };
const keyed = { ...roaming, heartbeat: { key: 'secret' } };
const frame = { kind: 'frame', frame: { type: 'memory', mac: '02:00:00:00:00:01' } };

describe('faults of heartbeats', () => {
  it.each<[string, object, RegExp, object?]>([
    [
      'a timeout before the next one',
      { vni: 1, heartbeat: { intervalMs: 2000, timeoutMs: 2000 } },
      /^networks\[0\]\.heartbeat: a timeout of 2000 ms is over before the next heartbeat.*6000 or more/,
    ],
    ['the default timeout too', { vni: 1, heartbeat: { intervalMs: 6000 } }, /a timeout of 5000 ms/],
    ['too many of them', { vni: 1, heartbeat: { intervalMs: 99 } }, /intervalMs: .*at least 100/],
    ['an unknown key', { vni: 1, heartbeat: { interval: 5 } }, /unknown key `interval`.*did you mean `intervalMs`/],
    ['an empty key', { vni: 1, heartbeat: { key: '' } }, /heartbeat\.key: a key of 0 characters/],
    [
      'a key that is too long',
      { vni: 1, heartbeat: { key: 'k'.repeat(257) } },
      /a key of 257 characters \(give 1 to 256/,
    ],
    ['an underlay of frames', { vni: 1, heartbeat: {} }, /\.heartbeat: heartbeats are sent through sockets/, frame],
    ['probes without heartbeats', { vni: 1, probeMtu: true }, /probeMtu: paths are probed by heartbeats/],
    ['to roam without heartbeats', roaming, /peers\[0\]\.roams: .*only when heartbeats prove/],
    ['to roam without a key', { ...roaming, heartbeat: {} }, /roams: .*add heartbeat: \{key: SECRET\}/],
    ['to roam among strangers', { ...keyed, unknownPeers: 'accept' }, /roams: the network takes packets from anybody/],
    [
      'to roam where the kernel routes',
      {
        ...keyed,
        mode: 'l3',
        routing: 'direct',
        peers: [{ address: '192.0.2.2', roams: true, prefixes: ['10.0.0.0/8'] }],
        ports: [{ name: 'r0', type: 'tun' }],
      },
      /roams: with routing: direct the kernel routes/,
    ],
  ])('%s', (_, network, expected, underlay) => {
    expect(faultsOf(network, { underlay })).toEqual([expect.stringMatching(expected)]);
  });

  it('local networks have none', () => {
    const networks = [{ name: 'n', heartbeat: {}, ports: [{ name: 'p', type: 'memory' }] }];
    expect(checkValue({ networks }).problems.map(({ path, message }) => `${path} ${message}`)).toEqual([
      expect.stringMatching(/heartbeat/),
    ]);
  });

  it('are none otherwise', () => {
    expect(faultsOf({ vni: 1, heartbeat: {}, probeMtu: false })).toEqual([]);
    expect(faultsOf({ ...keyed, probeMtu: true })).toEqual([]);
  });

  it('a key is never shown, and a change of it is', () => {
    const settings = { intervalMs: 1000, timeoutMs: 5000 };
    const [one, again, other] = ['abc', 'abc', 'abd'].map((key) => withoutSecret({ ...settings, key }));
    expect(one).toEqual(again);
    expect(one.key).not.toBe(other.key);
    expect(one.key).toMatch(/^\(secret [0-9a-f]{6}\)$/);
    expect(withoutSecret(settings)).toEqual(settings);
  });

  it('what is left out has a default', () => {
    const networks = [{ name: 'n', vni: 1, underlay: 'lan', heartbeat: {}, peers: ['192.0.2.2'] }];
    const { config } = checkValue({ underlays: [{ name: 'lan', address: '192.0.2.1' }], networks });
    expect(config?.networks[0].heartbeat).toEqual({ intervalMs: 1000, timeoutMs: 5000 });
  });
});
