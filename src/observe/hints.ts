/**
 * What in a node's figures wants attention, as sentences with a remedy: the things that otherwise take an evening with tcpdump.
 */
import type { DropsDocument, Hint, LossDocument, MachineDocument, StatusDocument } from './documents.js';

export function hintsOf(status: Omit<StatusDocument, 'hints'>, drops: DropsDocument): Hint[] {
  return [
    ...workerHints(status),
    ...deviceHints(status),
    ...slotHints(status),
    ...mtuHints(status),
    ...livenessHints(status),
    ...nextHopHints(status),
    ...drops.reasons.flatMap((drop) => dropHint(drop, status)),
    ...missedHints(status),
  ];
}

function workerHints({ workers }: Pick<StatusDocument, 'workers'>): Hint[] {
  return workers
    .filter((worker) => worker.restarts > 0)
    .map((worker) => ({
      object: `worker ${worker.index}`,
      message: `died and was replaced ${worker.restarts === 1 ? 'once' : `${worker.restarts} times`}${worker.lastError ? `: ${worker.lastError}` : ''}`,
      remedy: 'report the error; frames that it held are counted as worker-lost',
    }));
}

function deviceHints({ ports, underlays }: Pick<StatusDocument, 'ports' | 'underlays'>): Hint[] {
  const all = [
    ...ports.map(({ name, device, deviceState, netns, loss, path, machine }) => ({
      object: `port ${name}`,
      machine,
      waits: path.reasons.some(({ feature }) => feature === 'machine'),
      device,
      deviceState,
      netns,
      loss,
    })),
    ...underlays.map(({ name, device, deviceState, loss }) => ({
      object: `underlay ${name}`,
      machine: null,
      waits: false,
      device,
      deviceState,
      netns: null,
      loss,
    })),
  ];
  return all.flatMap(({ object, machine, waits, device, deviceState, netns, loss }): Hint[] => {
    // Its path says what for.
    if (waits) return [];
    if (loss !== null) return [{ object, message: lossText(loss), remedy: loss.remedy }];
    if (machine?.state === 'absent') return [absentHint(object, machine)];
    // Devices of DPDK have no interface of the kernel: a machine that is not connected, or a link without the other end.
    if (deviceState === 'down' && device === null)
      return [{ object, message: NOBODY, remedy: 'nothing, or start what connects here' }];
    if (deviceState === 'down') {
      const remedy = `ip ${netns ? `-n ${netns.replace('/run/netns/', '')} ` : ''}link set ${device} up`;
      return [{ object, message: `device ${device} is down`, remedy }];
    }
    if (deviceState !== 'gone') return [];
    const remedy = object.startsWith('port')
      ? 'put it back, or remove the port and add it again'
      : 'nothing: the node follows it within seconds';
    return [{ object, message: `device ${device} is not where it was opened`, remedy }];
  });
}

const NOBODY = 'nobody is at the other end';

function absentHint(object: string, { socket, mode }: MachineDocument): Hint {
  if (mode === 'server')
    return { object, message: NOBODY, remedy: `nothing, or start the machine that connects to ${socket}` };
  const remedy = 'nothing, or start it (QEMU: -chardev socket,path=...,server=on,wait=off)';
  return { object, message: `waiting for a machine that listens at ${socket}`, remedy };
}

/** `device eth0 is gone (since 12 s, tried 3 times, next in 4 s)` */
function lossText({ what, message, sinceSec, attempts, nextAttemptSec, error }: LossDocument): string {
  // Looked for every second, and tried when it is there.
  if (what === 'server' && error === null) return `${message} (since ${Math.round(sinceSec)} s)`;
  const tried = attempts === 1 ? 'once' : `${attempts} times`;
  const why = error === null ? '' : `: ${error}`;
  return `${message} (since ${Math.round(sinceSec)} s, tried ${tried}, next in ${Math.ceil(nextAttemptSec)} s)${why}`;
}

function slotHints({ slots }: Pick<StatusDocument, 'slots'>): Hint[] {
  if (slots.total === 0 || slots.free > 0) return [];
  return [{ object: 'arena', message: 'no free slot is left', remedy: 'raise node.arena.largeSlots and smallSlots' }];
}

const WHYS = {
  icmp: 'a router on the way said so',
  emsgsize: "this machine's kernel said so",
  probe: 'a black hole: larger packets vanish, and no router says so',
} as const;

/** What has a smaller MTU than it was given: senders are told, but every full packet costs them a detour. */
function mtuHints({ networks, peers }: Pick<StatusDocument, 'networks' | 'peers'>): Hint[] {
  const fixed = networks
    .filter(({ mtuAuto, mtuMost, mtu }) => !mtuAuto && mtuMost !== null && mtuMost < mtu)
    .map(({ name, mtu, mtuMost }) => ({
      object: `network ${name}`,
      message: `its MTU is ${mtu}, and the underlay carries ${mtuMost}: larger packets are answered or fragmented`,
      remedy: `set \`mtu\` to ${mtuMost} or auto, or raise the MTU of the underlay's device`,
    }));
  const narrow = peers.flatMap(({ address, network, mtu, pathMtu }) => {
    if (pathMtu === null) return [];
    return {
      object: `peer ${address}`,
      message: `the path takes outer packets of ${pathMtu.bytes} bytes (${WHYS[pathMtu.why]}): inner ones have ${mtu} at most in network ${network}`,
      remedy: `raise the MTU on the way, or set \`mtu\` of the network to ${mtu}; it is tried again in ${pathMtu.expiresInSec} s`,
    };
  });
  return [...fixed, ...narrow];
}

function livenessHints({ peers }: Pick<StatusDocument, 'peers'>): Hint[] {
  return peers.flatMap(({ address, network, liveness }): Hint[] => {
    if (liveness === null) return [];
    const object = `peer ${address}`;
    const { state, answeredSec, refused } = liveness;
    const remedy = `give network ${network} \`heartbeat\` at both nodes, with the same id and key`;
    if (refused > 0)
      return [{ object, message: `${refused} heartbeats from it were written with another key`, remedy }];
    if (state !== 'down') return [];
    if (answeredSec === null)
      return [{ object, message: `has never answered a heartbeat of network ${network}`, remedy }];
    const message = `has not answered heartbeats of network ${network} for ${Math.round(answeredSec)} s`;
    return [{ object, message, remedy: 'look at its node and the path to it; traffic to it goes on being sent' }];
  });
}

function nextHopHints({ peers }: Pick<StatusDocument, 'peers'>): Hint[] {
  return peers.flatMap(({ address, nextHop, underlay }): Hint[] => {
    if (nextHop === null || nextHop.mac !== null || nextHop.state === 'resolving') return [];
    const via = nextHop.address === address ? 'it' : `its next hop ${nextHop.address}`;
    const isAsked = nextHop.state === 'failed';
    return [
      {
        object: `peer ${address}`,
        message: isAsked ? `${via} does not say its MAC on underlay ${underlay}` : `no MAC is configured for ${via}`,
        remedy: isAsked
          ? 'look at the link and at the other end; or give the MAC in `neighbours` of the underlay'
          : "add it to `neighbours` of the underlay's `frame`, or set `resolve: true` there",
      },
    ];
  });
}

function missedHints({ ports, underlays }: Pick<StatusDocument, 'ports' | 'underlays'>): Hint[] {
  const hint = (object: string, missed: number, where: string): Hint[] => {
    const message = `the kernel lost ${missed} packets before weft could read them (full ${where})`;
    return missed > 0 ? [{ object, message, remedy: 'give the node more workers, or a less busy CPU' }] : [];
  };
  return [
    ...ports.flatMap(({ name, missed }) => hint(`port ${name}`, missed, 'queue of the device')),
    ...underlays.flatMap(({ name, missed }) => hint(`underlay ${name}`, missed, 'socket buffer')),
  ];
}

const REMEDIES: Partial<Record<string, string>> = {
  'no-route': 'give the port or peer that has the destination its `prefixes`; `weft route` shows those of this node',
  'tunnel-protocol': 'give the network the same `mode` at all of its nodes',
  'critical-option': 'name the option in `match` of the network, or have the sender leave it out',
  'option-mismatch': 'compare `match` of the network with the `options` of the sender',
  'tunnel-sequence': 'packets overtake each other on the way; set `sequence: false` where order does not matter',
  'wrong-mac': "give the peer this network's `vtepMac`, which `weft status --json` shows, as its `mac`",
  'offload-leak':
    'the sender relies on checksum offload: run `ethtool -K DEV tx off` there, DEV being its underlay device (inside its namespace); between namespaces of one machine, `offloadLeak: deliver` on this underlay is right too',
  'unknown-peer': 'add the sender to `peers` of the network, or set `unknownPeers: accept`',
  'unknown-vni': 'give both sides the same `vni` or `key`; `weft status` shows the ones of this node',
  'too-big': 'give the stations behind the ports an MTU of at most that of the network',
  'tx-too-big':
    'the MTU of the peer was lowered then; where it keeps growing, set `mtu` of the network lower. A machine takes longer frames with mergeable buffers (QEMU: mrg_rxbuf=on)',
  'mac-flap': 'look for a loop, or for two stations with one MAC',
  'static-mac': 'a station uses a MAC that `staticMacs` puts elsewhere',
  'static-neighbour':
    'a station claims an address that `staticNeighbours` gives to another MAC: find it, or correct the entry',
  'broadcast-limit': 'look for a loop or a scanning station; `broadcastLimit` of the network raises the limit',
  'no-slot': 'raise node.arena.largeSlots and smallSlots',
  'stray-heartbeat': 'give the network `heartbeat` here as well, or take it away at the other node',
  'tx-full': 'the egress is slower than what is sent to it; a larger txqueuelen or fewer packets',
  'device-gone': 'set the device up; one that is gone is had back by the node',
  'outer-checksum':
    'packets are damaged on the way, or the sender leaves checksums to a device that does not finish them',
};

const MACHINE_GONE = 'nothing: its machine was not there, or had not started its network card';

function dropHint(drop: DropsDocument['reasons'][number], { ports }: Pick<StatusDocument, 'ports'>): Hint[] {
  const where = drop.where[0];
  const isMachine =
    where?.kind === 'port' && ports.some(({ name, machine }) => name === where.name && machine !== null);
  const remedy = drop.reason === 'device-gone' && isMachine ? MACHINE_GONE : REMEDIES[drop.reason];
  if (!remedy) return [];
  const place = where && where.kind !== 'removed' ? `${where.kind} ${where.name}` : 'node';
  const packets = drop.packets === 1 ? '1 packet' : `${drop.packets} packets`;
  return [{ object: place, message: `${packets} dropped, ${drop.reason}: ${drop.text}`, remedy }];
}
