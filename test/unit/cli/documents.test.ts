import { describe, expect, it } from 'vitest';
import { dropsText } from '../../../src/cli/drops.js';
import { macText } from '../../../src/cli/mac.js';
import { neighboursText } from '../../../src/cli/neighbours.js';
import { peersText } from '../../../src/cli/peers.js';
import { reloadText } from '../../../src/cli/reload.js';
import { accountText } from '../../../src/cli/stats.js';
import { statusText } from '../../../src/cli/status.js';
import { workersText } from '../../../src/cli/workers.js';
import type { StatusDocument } from '../../../src/observe/documents.js';

const STATUS: StatusDocument = {
  node: {
    name: 'left',
    version: '0.1.0',
    pid: 77,
    state: 'running',
    uptimeSec: 185,
    socket: '/run/weft/left.sock',
    generation: 1,
  },
  workers: [
    { index: 0, threadId: 1, state: 'running', restarts: 0, turns: 5, isSleeping: true, cpu: null, lastError: null },
  ],
  slots: { total: 328, free: 328, held: 0 },
  underlays: [
    {
      name: 'wan',
      underlay: 'wan',
      kind: 'udp',
      transport: 'udp/4789',
      address: '192.0.2.1',
      udpPort: 4789,
      device: 'eth0',
      deviceMtu: 1500,
      deviceState: 'up',
      loss: null,
      checksum: false,
      sourcePorts: [50000],
      path: {
        send: 'frames',
        receive: 'superframes',
        reasons: [{ feature: 'udp-segment', reason: 'checksums are off', remedy: 'set them' }],
      },
      dropped: 0,
      missed: 0,
    },
  ],
  networks: [
    {
      name: 'blue',
      mode: 'l2',
      encapsulation: 'vxlan',
      id: 42,
      underlays: ['wan'],
      vtepMac: null,
      bridgedWith: [],
      mtu: 1450,
      mtuAuto: false,
      mtuMost: 1450,
      ports: 1,
      peers: 1,
      macs: 2,
      macLimit: 8192,
      neighbours: 3,
      neighbourLimit: 8192,
      routes: 0,
    },
  ],
  ports: [
    {
      name: 'web',
      network: 'blue',
      type: 'tap',
      mtu: 1450,
      device: 'web0',
      netns: '/run/netns/web',
      deviceState: 'up',
      loss: null,
      mac: '02:00:00:00:00:0a',
      created: true,
      queues: 1,
      queuesEnabled: null,
      idle: null,
      machine: null,
      offloads: ['checksum', 'tso', 'uso'],
      prefixes: [],
      path: { send: 'superframes', receive: 'superframes', reasons: [] },
      rxPackets: 1200,
      txPackets: 3,
      dropped: 4,
      missed: 0,
    },
  ],
  peers: [
    {
      network: 'blue',
      underlay: 'wan',
      address: '192.0.2.2',
      udpPort: 8472,
      prefixes: [],
      direct: false,
      mac: null,
      dynamic: false,
      mtu: 1450,
      pathMtu: null,
      nextHop: null,
      liveness: null,
      lastHeardSec: 2.14,
      rxPackets: 3,
      txPackets: 1200,
      failedSends: 5,
      icmpErrors: 2,
      lastError: 'EHOSTUNREACH',
      dropped: 5,
    },
  ],
  account: { received: 1203, copied: 0, made: 0, sent: 1203, dropped: 0, consumed: 0, held: 0 },
  hints: [{ object: 'port web', message: 'device web0 is down', remedy: 'ip link set web0 up' }],
};

describe('the status', () => {
  it('says what runs, the path in use and why, and what wants attention', () => {
    expect(statusText(STATUS)).toBe(`node left  running for 3 min 5 s  (weft 0.1.0, pid 77)
  workers  1, 1 asleep, 0 restarts
  arena    328 slots, 0 held
  control  /run/weft/left.sock

underlay wan  192.0.2.1 udp/4789 on eth0 (MTU 1500), checksums off
  send     frames
  receive  superframes (UDP_GRO)
  because  checksums are off; set them

NETWORK  MODE  TUNNEL  ID  UNDERLAY   MTU  PORTS  PEERS  KNOWS
blue     l2    vxlan   42  wan       1450      1      1  2 of 8,192 MACs, 3 neighbours

PORT  NETWORK  TYPE  STATE  DEVICE       MAC                 MTU  PATH                    RECEIVED  SENT  DROPPED
web   blue     tap   up     web0 in web  02:00:00:00:00:0a  1450  superframes (TSO, USO)     1,200     3        4

PEER            NETWORK  LAST HEARD  RECEIVED   SENT  FAILED  LAST ERROR
192.0.2.2:8472  blue     2.1 s ago          3  1,200       5  EHOSTUNREACH

account: received 1,203 + copied 0 + made 0 = sent 1,203 + dropped 0 + consumed 0 + held 0

attention:
  port web: device web0 is down
      ip link set web0 up`);
  });
});

describe('tables', () => {
  it('of MACs', () => {
    const entry = {
      network: 'blue',
      mac: '02:00:00:00:00:01',
      port: 'web',
      peer: null,
      static: false,
      expiresInSec: 299.4,
      held: false,
    };
    const fixed = {
      ...entry,
      mac: '02:00:00:00:00:02',
      port: null,
      peer: '192.0.2.2',
      static: true,
      expiresInSec: null,
    };
    expect(macText([entry, fixed])).toBe(
      [
        'NETWORK  MAC                BEHIND          KIND     EXPIRES',
        'blue     02:00:00:00:00:01  port web        learned  in 4 min 59 s',
        'blue     02:00:00:00:00:02  peer 192.0.2.2  static   never',
      ].join('\n'),
    );
    expect(macText([])).toBe('no MACs known yet');
  });

  it('of neighbours, also of static ones that were not heard', () => {
    const entry = {
      network: 'blue',
      address: '10.0.0.1',
      mac: '02:00:00:00:00:01',
      port: 'web',
      peer: null,
      static: false,
      router: null,
      expiresInSec: 299.4,
    };
    const router = { ...entry, address: 'fe80::1', port: null, peer: '192.0.2.2', router: true };
    const fixed = { ...entry, address: 'fe80::fe', port: null, static: true, router: false, expiresInSec: null };
    expect(neighboursText([entry, router, fixed])).toBe(
      [
        'NETWORK  ADDRESS   MAC                BEHIND          KIND             EXPIRES',
        'blue     10.0.0.1  02:00:00:00:00:01  port web        learned          in 4 min 59 s',
        'blue     fe80::1   02:00:00:00:00:01  peer 192.0.2.2  learned, router  in 4 min 59 s',
        'blue     fe80::fe  02:00:00:00:00:01  -               static           never',
      ].join('\n'),
    );
    expect(neighboursText([])).toBe('no neighbours known yet');
  });

  it('of peers, also of those that were never heard', () => {
    expect(peersText([{ ...STATUS.peers[0], lastHeardSec: null, dynamic: true }])).toContain(
      '192.0.2.2:8472 (heard)  1450  never',
    );
    const pathMtu = { bytes: 1400, why: 'icmp' as const, expiresInSec: 599 };
    expect(peersText([{ ...STATUS.peers[0], mtu: 1350, pathMtu }])).toContain('192.0.2.2:8472  1350 (icmp)  2.1 s ago');
    expect(peersText([])).toBe('no peers');
  });

  it('of peers with heartbeats', () => {
    const [peer] = STATUS.peers;
    const liveness = {
      state: 'up' as const,
      sinceSec: 60,
      answeredSec: 0.4,
      rttUs: 812,
      rttLeastUs: 400,
      sent: 60,
      lost: 3,
      loss: 0.05,
      at: { address: '203.0.113.5', udpPort: 31000 },
      refused: 0,
      blackHole: null,
    };
    const down = { ...liveness, state: 'down' as const, rttUs: 23_400, at: null };
    const lines = peersText([
      { ...peer, liveness },
      { ...peer, address: '192.0.2.3', liveness: down },
      { ...peer, network: 'red' },
    ])
      .split('\n')
      .map((line) => line.slice(0, 74).trimEnd());
    expect(lines).toEqual([
      'NETWORK  PEER                                   STATE  RTT     LOSS   MTU',
      'blue     192.0.2.2:8472 (at 203.0.113.5:31000)  up     812 us  5 %   1450',
      'blue     192.0.2.3:8472                         down   23 ms   5 %   1450',
      'red      192.0.2.2:8472                         -      -       -     1450',
    ]);
    const status = statusText({ ...STATUS, peers: [{ ...peer, liveness }] });
    expect(status).toMatch(
      /PEER +NETWORK +STATE +RTT +LOSS +LAST HEARD[^\n]*\n192\.0\.2\.2:8472 \(at 203\.0\.113\.5:31000\) +blue +up/,
    );
  });

  it('of drops', () => {
    const text = dropsText({
      total: 1005,
      missed: 1,
      reasons: [
        {
          reason: 'unknown-vni',
          text: 'no network has it',
          packets: 1000,
          where: [
            { kind: 'underlay', name: 'wan', packets: 900 },
            { kind: 'removed', name: '', packets: 100 },
          ],
        },
        {
          reason: 'too-big',
          text: 'larger than the MTU',
          packets: 5,
          where: [{ kind: 'port', name: 'web', packets: 5 }],
        },
      ],
    });
    expect(text).toBe(
      [
        'REASON       WHERE         PACKETS  MEANING',
        'unknown-vni  underlay wan      900  no network has it',
        '             removed           100',
        'too-big      port web            5  larger than the MTU',
        '',
        '1,005 packets dropped',
        '1 packet lost before weft could read them',
      ].join('\n'),
    );
    expect(dropsText({ total: 0, missed: 0, reasons: [] })).toBe('nothing dropped');
  });

  it('of the account', () => {
    const line = accountText({ received: 10, copied: 2, made: 1, sent: 9, dropped: 2, consumed: 1, held: 1 });
    expect(line).toBe('account: received 10 + copied 2 + made 1 = sent 9 + dropped 2 + consumed 1 + held 1');
  });
});

describe('a reload as text', () => {
  it('is a line for each change, with what was and is', () => {
    const text = reloadText({
      applied: true,
      generation: 2,
      changes: [
        {
          action: 'changed',
          kind: 'underlay',
          name: 'wan',
          network: null,
          settings: [{ name: 'device', from: null, to: 'eth0' }],
          effect: 'reopened',
        },
        { action: 'removed', kind: 'peer', name: '192.0.2.9', network: 'blue', settings: [], effect: null },
      ],
      restart: [],
    });
    expect(text.split('\n')).toEqual([
      '         WHAT      NAME       NETWORK  SETTINGS             EFFECT',
      'changed  underlay  wan        -        device none -> eth0  sockets opened anew',
      'removed  peer      192.0.2.9  blue     -                    -',
      '2 changes',
    ]);
  });

  it('says what needs a restart, and that nothing changed', () => {
    const restart = [{ setting: 'node.workers', from: 1, to: 2, why: 'memory' }];
    expect(reloadText({ applied: false, generation: 1, changes: [], restart })).toBe(
      'nothing changed\n\nneeds a restart, so a reload would be refused:\n  node.workers: 1 -> 2 (memory)',
    );
  });
});

describe('weft workers', () => {
  it('shows who runs, on which CPU, and why one does not', () => {
    const worker = (rest: object) => ({
      index: 0,
      threadId: 3,
      state: 'running' as const,
      restarts: 0,
      turns: 9,
      isSleeping: false,
      cpu: null,
      lastError: null,
      ...rest,
    });
    const second = { index: 1, threadId: 14, state: 'replacing' as const, restarts: 2, cpu: 5, lastError: 'a fault' };
    const text = workersText([worker({}), worker(second), worker({ index: 2, threadId: 5, isSleeping: true })]);
    expect(text.split('\n')).toEqual([
      'WORKER  THREAD  STATE      RESTARTS  CPU  LAST ERROR',
      '     0       3  running           0  any  -',
      '     1      14  replacing         2  5    a fault',
      '     2       5  asleep            0  any  -',
    ]);
  });
});
