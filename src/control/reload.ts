/**
 * The difference between two configurations, as a person would tell it, and what of it a running node cannot take. Pure: it looks at nothing
 * but the two. Settings are compared as they stand, so one that is new needs nothing here.
 */
import type { ChangeDocument, RestartDocument, SettingChange } from '../observe/documents.js';
import { DEFAULT_SHAPE } from '../packet/arena.js';
import { WeftError } from '../packet/error.js';
import { defaultSocketPath } from './api/controlSocket.js';
import type { Config, NetworkConfig } from './config/config.js';
import { DPDK_DEFAULTS } from './config/dpdkSchema.js';
import { withoutSecret } from './config/heartbeatSchema.js';
import { canonicalAddress, valueText } from './config/text.js';
import { bridgePairs } from './plan/bridges.js';

/** Settings of the node itself that it can take while it runs. There may be more workers than it has room for: `workersRestart`. */
const LIVE_NODE_SETTINGS = ['busyPollUs', 'pinning', 'workers', 'workersMax'];
/** Settings of a network that are entities of their own. */
const PARTS = ['name', 'ports', 'peers', 'staticMacs'];

/** The new configuration needs a node that is started with it. `restart` lists every setting. */
export class RestartError extends WeftError {
  readonly restart: readonly RestartDocument[];

  constructor(restart: readonly RestartDocument[]) {
    const lines = restart.map(
      ({ setting, from, to, why }) => `  ${setting}: ${valueText(from)} -> ${valueText(to)} (${why})`,
    );
    super('RESTART', `nothing was changed: a running node cannot take all of it\n${lines.join('\n')}`, {
      object: 'configuration',
      remedy: 'restart the node with the new configuration, or leave these settings as they are',
    });
    this.restart = restart;
  }
}

/** A part of a configuration that is known by a name. */
interface Part {
  kind: ChangeDocument['kind'];
  name: string;
  network: string | null;
  settings: Record<string, unknown>;
}

/** Everything that differs, in the order of the configuration: what is new or other, then what is gone. */
export function changesOf(before: Config, after: Config): ChangeDocument[] {
  const old = new Map(partsOf(before).map((part) => [keyOf(part), part]));
  const now = partsOf(after);
  const changes: ChangeDocument[] = [];
  for (const part of now) {
    const { kind, name, network } = part;
    const was = old.get(keyOf(part));
    if (was === undefined) changes.push({ action: 'added', kind, name, network, settings: [], effect: null });
    else {
      const settings = settingsBetween(was.settings, part.settings);
      if (settings.length > 0) changes.push({ action: 'changed', kind, name, network, settings, effect: null });
    }
    old.delete(keyOf(part));
  }
  for (const { kind, name, network } of old.values())
    changes.push({ action: 'removed', kind, name, network, settings: [], effect: null });
  return changes;
}

/** What a node that runs with one configuration cannot take of another. `hostname` is its name when it was given none. */
export function restartsOf(before: Config, after: Config, hostname: string): RestartDocument[] {
  const settings = settingsBetween(effective(before, hostname), effective(after, hostname));
  return settings
    .filter(({ name }) => !LIVE_NODE_SETTINGS.includes(name))
    .map(({ name, from, to }) => ({ setting: `node.${name}`, from, to, why: WHY[name] ?? 'it is fixed at the start' }));
}

const WHY: Record<string, string> = {
  name: 'its control socket and its routes are known by it',
  socket: 'clients are connected to it',
  arena: 'the memory is made once',
  dpdk: 'DPDK is started once, and its memory is made once',
};

/** Settings of the node with what is used where none is given. */
function effective({ node }: Config, hostname: string): Record<string, unknown> {
  const { smallSlots, largeSlots } = { ...DEFAULT_SHAPE, ...node.arena };
  const name = node.name ?? hostname;
  // The default goes with the name, which is told of itself.
  const socket = node.socket === defaultSocketPath(name) ? null : node.socket;
  const dpdk = node.dpdk ?? DPDK_DEFAULTS;
  return { ...node, name, socket, arena: { smallSlots, largeSlots }, dpdk };
}

/** A port is known by its name in the whole node; peers and static MACs belong to their network. */
function keyOf({ kind, name, network }: Part): string {
  return kind === 'port' ? `${kind} ${name}` : `${kind} ${network ?? ''} ${name}`;
}

function partsOf(config: Config): Part[] {
  const { node, underlays, networks, bridge } = config;
  return [
    { kind: 'node', name: 'node', network: null, settings: node },
    ...underlays.map(
      (underlay): Part => ({ kind: 'underlay', name: underlay.name, network: null, settings: underlay }),
    ),
    ...networks.flatMap(networkParts),
    ...(bridgePairs(bridge) ?? []).map(({ names }): Part => {
      return { kind: 'bridge', name: [...names].sort().join(' and '), network: null, settings: {} };
    }),
  ];
}

function networkParts(network: NetworkConfig): Part[] {
  const { name, heartbeat } = network;
  const shown = heartbeat === undefined ? network : { ...network, heartbeat: withoutSecret(heartbeat) };
  const own = Object.fromEntries(Object.entries(shown).filter(([key]) => !PARTS.includes(key)));
  return [
    { kind: 'network', name, network: null, settings: own },
    ...network.ports.map(
      (port): Part => ({ kind: 'port', name: port.name, network: name, settings: { ...port, network: name } }),
    ),
    ...network.peers.map((peer): Part => {
      const settings = typeof peer === 'string' ? { address: peer } : peer;
      const address = canonicalAddress(settings.address);
      return { kind: 'peer', name: address, network: name, settings: { ...settings, address } };
    }),
    ...network.staticMacs.map((entry): Part => {
      const mac = entry.mac.toLowerCase();
      return { kind: 'static MAC', name: mac, network: name, settings: { ...entry, mac } };
    }),
  ];
}

function settingsBetween(before: Record<string, unknown>, after: Record<string, unknown>): SettingChange[] {
  const names = new Set([...Object.keys(after), ...Object.keys(before)]);
  return [...names].flatMap((name) => {
    const [from, to] = [before[name] ?? null, after[name] ?? null];
    return text(from) === text(to) ? [] : [{ name, from, to }];
  });
}

/** JSON with the keys of objects in order: `{a, b}` and `{b, a}` say the same. */
function text(value: unknown): string {
  return JSON.stringify(value, (_key, inner) =>
    typeof inner === 'object' && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  );
}
