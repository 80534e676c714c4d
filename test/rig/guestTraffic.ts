// Traffic between a namespace and a guest, with bytes that are compared, and what the guest's own counters say.
import { GUEST_DEVICE, type Guest } from './guest.js';
import { runIn } from './namespaces.js';
import { answersIn, receiveTcp, STATION_PORT, type Stream, sendTcpTo } from './traffic.js';
import { until } from './waiting.js';

export interface GuestPing {
  count?: number;
  /** Bytes of ICMP payload. */
  size?: number;
  tos?: number;
  /** Asks on until there are as many answers, whichever they are, at most for so long: for what may be lost, and where no answer is expected. */
  withinSec?: number;
}

const PING_LIMIT_SEC = 10;
/** Of a stream. */
const LIMIT_MS = 60_000;

/** Pings from the guest, never fragmented; returns the number of answers. */
export async function guestPing(guest: Guest, address: string, options: GuestPing = {}): Promise<number> {
  const { count = 3, size = 56, tos = 0, withinSec } = options;
  const limit = withinSec ?? PING_LIMIT_SEC;
  const { stdout } = await guest.exec(`ping -n -M do -c ${count} -i 0.1 -w ${limit} -s ${size} -Q ${tos} ${address}`);
  const received = /(\d+) received/.exec(stdout)?.[1];
  if (received === undefined) throw new Error(`ping in the guest said: ${stdout}`);
  return withinSec === undefined ? answersIn(stdout, count) : Number(received);
}

const streamOf = (text: string): Stream => {
  const [, sha256, bytes] = /([0-9a-f]{64}) +-\n(\d+)/.exec(text) ?? [];
  return { sha256, bytes: Number(bytes) };
};

/** Sends a TCP stream from the guest to whoever listens there; what was sent. */
async function sendFromGuest(guest: Guest, address: string, bytes: number, limitMs: number): Promise<Stream> {
  const make = `head -c ${bytes} /dev/urandom >/tmp/sent; sha256sum </tmp/sent; wc -c </tmp/sent`;
  const sent = streamOf(await guest.run(make));
  await guest.run(`nc ${address} ${STATION_PORT} </tmp/sent; rm /tmp/sent`, limitMs);
  return sent;
}

/** Makes the guest listen; resolves with what gives the stream that arrived. */
async function receiveInGuest(guest: Guest): Promise<() => Promise<Stream>> {
  const listening = `netstat -ltn | grep -q ':${STATION_PORT} '`;
  // Its input never ends: nc would close its side at the end of it.
  const receive = `nc -l -p ${STATION_PORT} 0<>/tmp/never >/tmp/received`;
  await guest.run(`rm -f /tmp/never; mkfifo /tmp/never; { ${receive}; touch /tmp/end; } >/dev/null 2>&1 &`);
  await until('the guest listens', async () => (await guest.exec(listening)).status === 0);
  return async () => {
    await until('the end of the stream', async () => (await guest.exec('test -e /tmp/end')).status === 0, {
      withinMs: LIMIT_MS,
    });
    return streamOf(await guest.run('sha256sum </tmp/received; wc -c </tmp/received; rm /tmp/received /tmp/end'));
  };
}

/** Sends a TCP stream from the guest; what was sent and what arrived. */
export async function sendTcpFromGuest(guest: Guest, to: string, address: string, bytes: number, limitMs = LIMIT_MS) {
  const server = await receiveTcp(to, address);
  try {
    const sent = await sendFromGuest(guest, address, bytes, limitMs);
    return { sent, received: await server.result<Stream>(limitMs) };
  } finally {
    server.kill();
  }
}

/** Sends a TCP stream from a namespace to the guest; what was sent and what arrived. */
export async function sendTcpToGuest(from: string, guest: Guest, address: string, bytes: number, limitMs = LIMIT_MS) {
  const arrived = await receiveInGuest(guest);
  const sent = await sendTcpTo(from, address, bytes, limitMs);
  return { sent, received: await arrived() };
}

/** Sends a TCP stream from one guest to another; what was sent and what arrived. */
export async function sendTcpBetweenGuests(from: Guest, to: Guest, address: string, bytes: number, limitMs = LIMIT_MS) {
  const arrived = await receiveInGuest(to);
  const sent = await sendFromGuest(from, address, bytes, limitMs);
  return { sent, received: await arrived() };
}

/** What the guest counts on a device. */
export async function guestCounts(guest: Guest, device: string) {
  const [{ stats64 }] = JSON.parse(await guest.run(`ip -j -s link show dev ${device}`));
  const { rx, tx } = stats64;
  return { rxPackets: rx.packets, rxErrors: rx.errors, txPackets: tx.packets, txErrors: tx.errors } as Record<
    'rxPackets' | 'rxErrors' | 'txPackets' | 'txErrors',
    number
  >;
}

/** Gives eth0 of the guest its underlay addresses. */
export async function setGuestUnderlay(guest: Guest, ...addresses: string[]): Promise<void> {
  for (const address of addresses) {
    const isV6 = address.includes(':');
    if (isV6) await guest.run(`sysctl -qw net.ipv6.conf.${GUEST_DEVICE}.disable_ipv6=0`);
    await guest.run(`ip address add ${address} dev ${GUEST_DEVICE} ${isV6 ? 'nodad' : ''}`);
  }
}

/** Gives a device of a quiet namespace an IPv6 address. */
export function addIpv6(namespace: string, device: string, address: string): void {
  runIn(namespace, 'sh', '-c', `echo 0 >/proc/sys/net/ipv6/conf/${device}/disable_ipv6`);
  runIn(namespace, 'ip', 'address', 'add', address, 'dev', device, 'nodad');
}
