/**
 * Keeps what a running node knows about MTUs true: those of its underlays' devices, which rtnetlink tells of, and those of the paths to its
 * peers. Whatever changes goes into the facts that plans are made of, and the node moves to the plan that follows.
 */
import type { Plan } from '../pipeline/plan.js';
import * as Address from '../wire/address.js';
import type { PathMtuReport } from '../worker/protocol.js';
import type { Config } from './config/config.js';
import { canonicalAddress } from './config/text.js';
import { deviceOf } from './devices/carrierSockets.js';
import type { DeviceKernel } from './devices/deviceKernel.js';
import { type LinkEvents, watchLinks } from './devices/linkEvents.js';
import { createPathMtus, type PathMtus } from './peers/pathMtus.js';
import { peerMtu } from './plan/mtu.js';
import type { HostFacts } from './plan/plan.js';

/** Several changes at once make one change of plan. */
const GATHER_MS = 50;

export interface MtuFollower {
  readonly paths: PathMtus;
  /** Devices are followed as long as a configuration has some of the kernel's. */
  configure(config: Config): void;
  /** What a worker heard about a path. */
  heard(report: PathMtuReport): void;
  stop(): void;
}

interface Surroundings {
  kernel: DeviceKernel;
  config(): Config;
  plan(): Plan;
  /** The facts that plans are made of, to be replaced. */
  facts: { get(): HostFacts; set(facts: HostFacts): void };
  /** Prepares new facts, and moves the node to the plan that follows from them, when no other change is under way. */
  changed(prepare: () => void): Promise<unknown>;
  /** Something has changed in the network of the host. */
  news(): void;
  warn(message: string): void;
  now(): number;
}

export function followMtus({ kernel, config, plan, facts, changed, news, warn, now }: Surroundings): MtuFollower {
  let gathering: NodeJS.Timeout | null = null;
  let links: LinkEvents | null = null;
  let isStopped = false;
  const paths = createPathMtus({ now, changed: gather });

  /** MTU of every underlay's device now; one that cannot be told stays what it was. */
  function deviceMtus(): Map<string, number> {
    const mtus = new Map(facts.get().underlayMtu);
    for (const underlay of config().underlays) {
      if (underlay.kind !== 'udp') continue;
      const { deviceMtu } = deviceOf(kernel, underlay);
      if (deviceMtu !== null) mtus.set(underlay.name, deviceMtu);
    }
    return mtus;
  }

  function lookAtDevices(): void {
    try {
      const before = facts.get().underlayMtu;
      const after = deviceMtus();
      if ([...after].some(([name, mtu]) => before.get(name) !== mtu)) gather();
    } catch (error) {
      warn(`MTUs of the underlays could not be looked at: ${(error as Error).message}`);
    }
  }

  function gather(): void {
    if (isStopped) return;
    gathering ??= setTimeout(() => {
      gathering = null;
      follow().catch((error: Error) => warn(`changed MTUs were not taken over: ${error.message}`));
    }, GATHER_MS);
  }

  async function follow(): Promise<void> {
    if (isStopped) return;
    let old = { plan: plan(), facts: facts.get() };
    try {
      await changed(() => {
        old = { plan: plan(), facts: facts.get() };
        facts.set({ ...old.facts, underlayMtu: deviceMtus(), pathMtu: paths.facts() });
      });
    } catch (error) {
      // Nothing else is to fail by what was refused here.
      facts.set(old.facts);
      throw error;
    }
    for (const line of [...networkLines(old.plan, plan()), ...peerLines(old.plan, plan())]) warn(line);
  }

  function configure(after: Config): void {
    const hasDevices = usesDevices(after);
    if (hasDevices === (links !== null)) return;
    links?.stop();
    links = null;
    try {
      if (hasDevices) links = watchLinks(kernel, heard);
    } catch (error) {
      warn(`changes of devices are not followed: ${(error as Error).message}`);
    }
  }

  function heard(): void {
    lookAtDevices();
    news();
  }

  configure(config());
  return {
    paths,
    configure,
    heard({ underlay, address, bytes, isLocal }) {
      const text = canonicalAddress(Address.toText(new Uint8Array(address.buffer, address.byteOffset, 16)));
      const { peers, networks } = plan();
      for (const peer of peers) {
        if (peer.underlay !== underlay || (peer.at?.address ?? peer.address) !== text) continue;
        const network = networks.find((n) => n.id === peer.network)!;
        // What the path takes anyway is no news: late errors about packets that were on their way.
        const mtu = peer.mtu ?? network.mtu;
        if (peerMtu(mtu, network.tunnel, peer.address, bytes) < mtu)
          paths.lower(network.name, peer.address, bytes, isLocal ? 'emsgsize' : 'icmp');
      }
    },
    stop() {
      isStopped = true;
      links?.stop();
      paths.stop();
      if (gathering !== null) clearTimeout(gathering);
    },
  };
}

/** Whether anything of the kernel's is in it. */
const usesDevices = ({ underlays, networks }: Config) =>
  underlays.some(({ kind }) => kind === 'udp') ||
  networks.some(({ ports }) => ports.some(({ type }) => type === 'tap' || type === 'tun'));

function networkLines(before: Plan, after: Plan): string[] {
  return after.networks.flatMap(({ id, name, mtu }) => {
    const old = before.networks.find((network) => network.id === id)?.mtu ?? mtu;
    return old === mtu ? [] : [`the MTU of network ${name} is ${mtu} now, it was ${old}: its underlay has changed`];
  });
}

function peerLines(before: Plan, after: Plan): string[] {
  const mtus = (plan: Plan) => new Map(plan.networks.map((network) => [network.id, network]));
  const [had, has] = [mtus(before), mtus(after)];
  return after.peers.flatMap((peer) => {
    const old = before.peers.find(({ id }) => id === peer.id);
    const network = has.get(peer.network)!;
    const room = (mtu: number | undefined, of: number | undefined) => (of ?? 0) - (mtu ?? of ?? 0);
    const [was, is] = [room(old?.mtu, had.get(peer.network)?.mtu), room(peer.mtu, network.mtu)];
    if (was === is) return [];
    const bytes = peer.mtu ?? network.mtu;
    return [
      `packets to peer ${peer.address} of network ${network.name} may have ${bytes} bytes now, of ${network.mtu}`,
    ];
  });
}
