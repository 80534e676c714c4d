// Without root: a guest whose wire ends in this test, with weft's walk over capture files as the other end of its tunnels.
import { createServer, type Socket } from 'node:net';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { type TunnelPlan, tunnelPlan } from '../../src/tunnel/tunnel.js';
import { NEXT_HOP_MAC, OWN_MAC, type ReplayOptions, replay } from '../golden/replay.js';
import { LINK_ETHERNET, LINK_RAW, readFrames, writePcap } from '../rig/captureFiles.js';
import { bootGuest, GUEST_HOOK_MS, GUEST_TEST_MS, type Guest } from '../rig/guest.js';
import { guestPing } from '../rig/guestTraffic.js';
import { scratchFile } from '../rig/node.js';
import { describeWith } from '../rig/requirements.js';
import { sleep, until } from '../rig/waiting.js';

const WEFT = '198.18.0.1';
const PEER = '198.18.0.2';
const ends = `local ${PEER} remote ${WEFT} ttl 64`;
const ROUTED: ReplayOptions['routed'] = { port: '10.42.0.1/32', peer: '10.42.0.2/32' };
const INNER_MAC = '02:00:00:00:42:01';

const kinds: { name: string; tunnel: TunnelPlan; link: string; isRouted?: true }[] = [
  { name: 'VXLAN', tunnel: tunnelPlan('vxlan', 42), link: `vxlan id 42 ${ends} dstport 4789` },
  { name: 'Geneve', tunnel: tunnelPlan('geneve', 42), link: `geneve id 42 remote ${WEFT} ttl 64` },
  { name: 'GRE', tunnel: tunnelPlan('gre', 42), link: `gretap ${ends} key 42` },
  { name: 'IPIP', tunnel: tunnelPlan('ipip'), link: `ipip ${ends}`, isRouted: true },
];

/** The other end of the guest's wire: each frame has its length in front, 4 bytes, big-endian. */
class Wire {
  readonly path = scratchFile('wire.sock');
  readonly #server = createServer((socket) => this.#accept(socket)).listen(this.path);
  #socket: Socket | undefined;
  #rest = Buffer.alloc(0);
  #frames: Buffer[] = [];

  #accept(socket: Socket): void {
    this.#socket = socket;
    socket
      .on('error', () => {})
      .on('data', (chunk: Buffer) => {
        let bytes = Buffer.concat([this.#rest, chunk]);
        while (bytes.length >= 4 && bytes.length >= 4 + bytes.readUInt32BE(0)) {
          const end = 4 + bytes.readUInt32BE(0);
          this.#frames.push(bytes.subarray(4, end));
          bytes = bytes.subarray(end);
        }
        this.#rest = bytes;
      });
  }

  /** Frames that the guest sent since the last call. */
  take = () => this.#frames.splice(0);

  send(frame: Buffer): void {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(frame.length);
    this.#socket?.write(Buffer.concat([length, frame]));
  }

  close(): void {
    this.#socket?.destroy();
    this.#server.close();
  }
}

/** Answer to an ICMP echo request; `ip` is the first byte of its IP header. */
function echoReply(request: Buffer, ip: number): Buffer {
  const reply = Buffer.from(request);
  if (ip > 0) {
    request.copy(reply, 0, 6, 12);
    request.copy(reply, 6, 0, 6);
  }
  request.copy(reply, ip + 12, ip + 16, ip + 20);
  request.copy(reply, ip + 16, ip + 12, ip + 16);
  // Type 8 becomes 0, and the checksum grows by as much (RFC 1624).
  reply[ip + 20] = 0;
  const sum = request.readUInt16BE(ip + 22) + 0x0800;
  reply.writeUInt16BE((sum & 0xffff) + (sum >> 16), ip + 22);
  return reply;
}

describeWith(['addon', 'ip', 'ping', 'ethtool', 'guest'], 'a guest on a wire of this process', () => {
  let wire: Wire;
  let guest: Guest;

  beforeAll(async () => {
    wire = new Wire();
    guest = await bootGuest({ link: { socket: wire.path }, mac: NEXT_HOP_MAC });
    await guest.run(`ip address add ${PEER}/24 dev eth0 && ip neigh add ${WEFT} lladdr ${OWN_MAC} dev eth0`);
  }, GUEST_HOOK_MS);
  afterEach(() => guest.exec('ip link del t0'));
  afterAll(async () => {
    await guest?.stop();
    wire?.close();
  });

  it.each(kinds)('$name: its pings are answered', { timeout: GUEST_TEST_MS }, async ({ tunnel, link, isRouted }) => {
    await guest.run(`ip link add t0 type ${link} && ip link set t0 mtu 1400 up && ip address add 10.42.0.2/24 dev t0`);
    if (!isRouted) await guest.run(`ip neigh add 10.42.0.1 lladdr ${INNER_MAC} dev t0`);
    const [outer, inner, answer, sent] = ['outer', 'inner', 'answer', 'sent'].map((name) =>
      scratchFile(`${name}.pcap`),
    );
    const ends = { address: WEFT, peers: [PEER], tunnel, routed: isRouted && ROUTED, mtu: 1400 };
    const settings = { udpPort: tunnel.udpPort };
    wire.take();

    let answered: number | undefined;
    const ping = guestPing(guest, '10.42.0.1', { size: 1372 }).then((answers) => {
      answered = answers;
    });
    await until(
      'the end of ping',
      async () => {
        const frames = wire.take();
        if (frames.length > 0) {
          writePcap(outer, frames);
          replay({ ...ends, settings, underlay: { input: outer }, port: { output: inner } });
          const requests = readFrames(inner);
          const replies = requests.map((request) => echoReply(request, isRouted ? 0 : 14));
          writePcap(answer, replies, isRouted ? LINK_RAW : LINK_ETHERNET);
          replay({ ...ends, settings, port: { input: answer }, underlay: { output: sent } });
          for (const frame of readFrames(sent)) wire.send(frame);
        }
        await sleep(1);
        return answered !== undefined;
      },
      { withinMs: 30_000 },
    );
    await ping;
    expect(answered).toBe(3);
  });
});
