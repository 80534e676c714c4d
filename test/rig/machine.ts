// A virtual machine on a port of type vhost-user, and what it says to a namespace.
import { expect } from 'vitest';
import { bootGuest, GUEST_DEVICE, type Guest, type VhostLink } from './guest.js';
import { guestPing, sendTcpFromGuest, sendTcpToGuest } from './guestTraffic.js';
import { ping } from './traffic.js';

export const MACHINE = '10.0.0.1';
export const FAR = '10.0.0.2';
/** Little: an emulated processor moves some tens of megabytes a second. */
export const TCP_BYTES = 3_000_000;
const IPV4_ICMP = 28;

/** Boots a machine with an address on its vhost-user device. */
export async function bootMachine(vhost: VhostLink, address = MACHINE, mac?: string): Promise<Guest> {
  const guest = await bootGuest({ link: { vhost }, mac });
  await giveAddress(guest, address);
  return guest;
}

/** Makes it reachable, also after a reboot. */
export async function giveAddress(guest: Guest, address = MACHINE): Promise<void> {
  await guest.run(`ip address add ${address}/24 dev ${GUEST_DEVICE} && ip link set ${GUEST_DEVICE} up`);
}

/** Of a ping: what is lost stands in the counters of the node, what is late does no harm. */
const PATIENCE = { withinSec: 20 };

/** Pings and a TCP stream each way between the machine and a namespace that has address FAR. */
export async function expectTalk(guest: Guest, namespace: string, mtu = 1450): Promise<void> {
  expect(await guestPing(guest, FAR, PATIENCE), 'pings of the machine').toBe(3);
  expect(await ping(namespace, MACHINE, PATIENCE), 'pings to the machine').toBe(3);
  expect(await guestPing(guest, FAR, { ...PATIENCE, size: mtu - IPV4_ICMP }), `pings of ${mtu} bytes`).toBe(3);
  const there = await sendTcpFromGuest(guest, namespace, FAR, TCP_BYTES);
  expect(there.received).toEqual(there.sent);
  const back = await sendTcpToGuest(namespace, guest, MACHINE, TCP_BYTES);
  expect(back.received).toEqual(back.sent);
}
