/**
 * Checks of a network's encapsulation: which keys fit its kind and mode, and which of the networks of one address cannot be told apart.
 */

import { ENCAPSULATION_NAMES } from '../plan/mtu.js';
import { carriesIpOnly, hasVni, kindOf, modeOf, transportOf } from './encapsulation.js';
import type { Located } from './faults.js';
import { familyOf, quote } from './text.js';
import { type Item, isEmpty, items, peersOf, record, wordsOf } from './written.js';

/** Faults of one network by itself and against its underlay. */
export function tunnelFaults(network: Item, underlays: Item[]): Located[] {
  const words = wordsOf(network.value.underlay);
  const own = words.flatMap((word) => underlays.find((u) => u.value.name === word) ?? []);
  return [
    ...vniFaults(network),
    ...vxlanFaults(network),
    ...modeFaults(network),
    ...own.flatMap((underlay) => routingFaults(network, underlay, own)),
    ...vtepMacFaults(network),
    ...peerKeyFaults(network),
    ...familyFaults(network, own),
    ...underlayListFaults(network, own),
  ];
}

function vniFaults({ path, value }: Item): Located[] {
  const kind = kindOf(value);
  if (value.vni !== undefined && !hasVni(kind)) {
    const remedy = kind === 'gre' ? 'remove it; GRE has a `key` in `encapsulation`' : 'remove it';
    return [{ path: [...path, 'vni'], atKey: true, message: `${nameOf(kind)} has no \`vni\``, remedy }];
  }
  if (value.vni !== undefined || !hasVni(kind) || value.underlay === undefined || value.preset === 'flannel') return [];
  return [
    {
      path,
      message: `\`vni\` is missing: ${nameOf(kind)} tells networks apart by it`,
      remedy: 'add it: 1 to 16777215, the same at all peers',
    },
  ];
}

function vxlanFaults({ path, value }: Item): Located[] {
  const { gpe, group, type } = record(value.encapsulation) ?? {};
  const faults: Located[] = [];
  if (gpe === true && group !== undefined)
    faults.push({
      path: [...path, 'encapsulation', 'group'],
      message: 'a group policy id and `gpe` use the same bits of the header',
      remedy: 'remove one of the two',
    });
  if (value.preset !== 'flannel') return faults;
  if (kindOf(value) !== 'vxlan')
    faults.push({
      path: [...path, 'encapsulation'],
      message: `preset flannel is VXLAN, not ${nameOf(kindOf(value))}`,
      remedy: 'remove `encapsulation`, or the preset',
    });
  if (type === 'vxlan' && (gpe === true || group !== undefined))
    faults.push({
      path: [...path, 'encapsulation'],
      message: 'flannel uses neither `gpe` nor `group`',
      remedy: 'remove them, or the preset',
    });
  if (modeOf(value) !== 'l3')
    faults.push({
      path: [...path, 'mode'],
      message: `preset flannel is mode l3, not ${modeOf(value)}`,
      remedy: 'remove `mode`, or the preset',
    });
  return faults;
}

/** Keys that have no meaning in a mode. */
function modeFaults(network: Item): Located[] {
  const { path, value } = network;
  const mode = modeOf(value);
  const kind = kindOf(value);
  const faults: Located[] = [];
  if (mode !== 'l3' && carriesIpOnly(kind))
    faults.push({
      path: [...path, 'mode'],
      message: `${nameOf(kind)} carries bare IP packets, which mode ${mode} cannot take`,
      remedy: 'write mode: l3 or leave it out, or choose vxlan, geneve or gre',
    });
  if (mode !== 'l2' && value.unknownPeers === 'accept')
    faults.push({
      path: [...path, 'unknownPeers'],
      message: `a network of mode ${mode} knows its peers from the configuration only`,
      remedy: 'list them in `peers`',
    });
  if (mode !== 'l2' && !isEmpty(value.staticMacs))
    faults.push({
      path: [...path, 'staticMacs'],
      atKey: true,
      message: `a network of mode ${mode} looks at no MACs`,
      remedy: 'remove it',
    });
  if (mode !== 'l3' && value.routing !== undefined && value.routing !== 'tunnel')
    faults.push({
      path: [...path, 'routing'],
      message: `a network of mode ${mode} routes nothing`,
      remedy: 'remove it, or write mode: l3',
    });
  if (mode === 'xconnect') faults.push(...xconnectFaults(network));
  return faults;
}

function xconnectFaults({ path, value }: Item): Located[] {
  const count = (key: string) => (Array.isArray(value[key]) ? value[key].length : 0);
  const [ports, peers] = [count('ports'), count('peers')];
  if (ports === 1 && peers === 1) return [];
  return [
    {
      path,
      message: `a network of mode xconnect joins one port and one peer, this one has ${ports} and ${peers}`,
      remedy: 'give it one of each, or use mode l2',
    },
  ];
}

/** Direct peers of socket underlays are routed by the kernel, so their packets must be where the underlay is. */
function routingFaults(network: Item, underlay: Item, own: Item[]): Located[] {
  const { path, value } = network;
  const { routing } = value;
  if (modeOf(value) !== 'l3' || (routing !== 'crossSubnet' && routing !== 'direct')) return [];
  const faults: Located[] = [];
  if (underlay.value.kind === 'frame') {
    if (routing === 'crossSubnet' && record(underlay.value.frame)?.prefix === undefined)
      faults.push({
        path: [...path, 'routing'],
        message: `underlay ${quote(String(underlay.value.name))} does not say what is on its link`,
        remedy: 'add `prefix` to its `frame`, or write routing: direct',
      });
    return faults;
  }
  for (const port of own[0] === underlay ? items(value, path, 'ports') : [])
    if (port.value.type !== 'tun' || port.value.netns !== undefined)
      faults.push({
        path: port.path,
        message: `routing ${routing} lets the kernel route to peers, which this port's packets do not pass`,
        remedy: 'use tun ports in the namespace of the node, or routing: tunnel',
      });
  for (const peer of items(value, path, 'peers')) {
    const family = familyOf(String(underlay.value.address));
    // Behind an underlay of another family, if the network has one, it is that one's to say.
    if (own.length > 1 && familyOf(String(peer.value.address)) !== family) continue;
    const prefixes = Array.isArray(peer.value.prefixes) ? peer.value.prefixes : [];
    prefixes.forEach((prefix, i) => {
      const inner = typeof prefix === 'string' ? familyOf(prefix.split('/')[0]) : 0;
      if (inner !== 0 && family !== 0 && inner !== family)
        faults.push({
          path: [...peer.path, 'prefixes', i],
          message: `${prefix} cannot be routed by way of an IPv${family} address`,
          remedy: 'use routing: tunnel for it, in a network of its own',
        });
    });
  }
  return faults;
}

/** Endpoints have MACs of their own inside of the tunnel. */
function hasVtepMacs(value: Item['value']): boolean {
  return modeOf(value) === 'l3' && kindOf(value) === 'vxlan' && record(value.encapsulation)?.gpe !== true;
}

function vtepMacFaults({ path, value }: Item): Located[] {
  if (hasVtepMacs(value)) return [];
  const message = 'only VXLAN networks of mode l3 have MACs of tunnel endpoints';
  const faults: Located[] = [];
  if (value.vtepMac !== undefined)
    faults.push({ path: [...path, 'vtepMac'], atKey: true, message, remedy: 'remove it' });
  for (const peer of items(value, path, 'peers'))
    if (peer.value.mac !== undefined)
      faults.push({ path: [...peer.path, 'mac'], atKey: true, message, remedy: 'remove it' });
  return faults;
}

function peerKeyFaults({ path, value }: Item): Located[] {
  const kind = kindOf(value);
  const faults: Located[] = [];
  for (const peer of items(value, path, 'peers')) {
    if (peer.value.udpPort !== undefined && (kind === 'gre' || kind === 'ipip'))
      faults.push({
        path: [...peer.path, 'udpPort'],
        atKey: true,
        message: `${nameOf(kind)} has no UDP ports`,
        remedy: 'remove it',
      });
    if (modeOf(value) !== 'l3' && peer.value.prefixes !== undefined)
      faults.push({
        path: [...peer.path, 'prefixes'],
        atKey: true,
        message: `a network of mode ${modeOf(value)} routes nothing`,
        remedy: 'remove it, or write mode: l3',
      });
  }
  return faults;
}

function familyFaults(network: Item, underlays: Item[]): Located[] {
  const families = underlays.map((underlay) => familyOf(String(underlay.value.address)));
  if (families.length === 0 || families.includes(0)) return [];
  const names = underlays.map((underlay) => quote(String(underlay.value.name))).join(' and ');
  return peersOf(network).flatMap(({ path, address }) => {
    const family = familyOf(address);
    if (family === 0 || families.includes(family)) return [];
    const message = `${address} is an IPv${family} address, underlay ${names} has IPv${families[0]}`;
    return [{ path, message, remedy: `give an IPv${families[0]} address of the peer, or another underlay` }];
  });
}

/** A list of underlays has one for each family of addresses, and they differ in nothing else that the network looks at. */
function underlayListFaults({ path, value }: Item, underlays: Item[]): Located[] {
  if (!Array.isArray(value.underlay) || underlays.length < 2) return [];
  const faults: Located[] = [];
  const families = underlays.map((underlay) => familyOf(String(underlay.value.address)));
  const again = families.findIndex((family, i) => family !== 0 && families.indexOf(family) < i);
  if (again >= 0)
    faults.push({
      path: [...path, 'underlay', again],
      message: `underlays ${quote(String(underlays[families.indexOf(families[again])].value.name))} and ${quote(String(underlays[again].value.name))} both have IPv${families[again]} addresses: peers could be reached over either`,
      remedy: 'name one IPv4 and one IPv6 underlay, or make two networks and bridge them',
    });
  const ports = new Set(underlays.map((underlay) => transportOf(value, underlay.value.udpPort).udpPort));
  if (ports.size > 1)
    faults.push({
      path: [...path, 'underlay'],
      message: `its underlays have different UDP ports: ${[...ports].join(' and ')}`,
      remedy: 'give the network a udpPort in `encapsulation`, or the underlays the same one',
    });
  // Peers make up the MAC of a tunnel endpoint from the address that they reach it at, and there are two of them.
  const hasMacs = hasVtepMacs(value);
  if (hasMacs && value.vtepMac === undefined)
    faults.push({
      path,
      message: 'a network of mode l3 over VXLAN and two underlays needs `vtepMac`',
      remedy: 'add vtepMac: MAC, and the same as `mac` of this node in the configuration of its peers',
    });
  return faults;
}

/** Networks of one underlay must differ in what their packets show; UDP ports belong to one kind. */
export function transportClashes(networks: Item[], underlays: Item[]): Located[] {
  const faults: Located[] = [];
  const ids = new Map<string, Item>();
  const ports = new Map<string, { kind: string; item: Item }>();
  for (const network of networks)
    for (const underlay of wordsOf(network.value.underlay))
      faults.push(...clashesOn(underlay, network, underlays, ids, ports));
  return faults;
}

function clashesOn(
  underlay: string,
  network: Item,
  underlays: Item[],
  ids: Map<string, Item>,
  ports: Map<string, { kind: string; item: Item }>,
): Located[] {
  const faults: Located[] = [];
  const { value, path } = network;
  const carrier = underlays.find((u) => u.value.name === underlay)?.value;
  const { kind, udpPort, id } = transportOf(value, carrier?.udpPort);
  const port = `${underlay}/${udpPort}`;
  const owner = udpPort === 0 ? undefined : ports.get(port);
  if (owner && owner.kind !== kind)
    faults.push({
      path: record(value.encapsulation) ? [...path, 'encapsulation'] : path,
      message: `UDP port ${udpPort} of underlay ${quote(underlay)} is that of ${nameOf(owner.kind)} network ${quote(String(owner.item.value.name))}`,
      remedy: `give ${nameOf(kind)} another udpPort in \`encapsulation\``,
    });
  else ports.set(port, owner ?? { kind, item: network });
  if (hasVni(kind) && typeof value.vni !== 'number' && value.preset !== 'flannel') return faults;
  // One device brings the packets of all ports, and they are told apart by kind and id.
  const key = `${underlay}/${kind}/${carrier?.kind === 'frame' ? '' : udpPort}/${id}`;
  const first = ids.get(key);
  if (first === undefined) ids.set(key, network);
  else if (first !== network) faults.push(idClash(network, first, kind, id, underlay));
  return faults;
}

function idClash(network: Item, first: Item, kind: string, id: number, underlay: string): Located {
  const by = `network ${quote(String(first.value.name))} on underlay ${quote(underlay)}`;
  const { path } = network;
  if (kind === 'vxlan' || kind === 'geneve')
    return {
      path: network.value.vni === undefined ? path : [...path, 'vni'],
      message: `VNI ${id} is already used by ${by}`,
      remedy: 'give each network of an underlay its own VNI',
    };
  const place = network.value.encapsulation === undefined ? path : [...path, 'encapsulation'];
  if (kind === 'gre') {
    const what = id === 0 ? 'GRE without a key (or with key 0)' : `GRE key ${id}`;
    return { path: place, message: `${what} is already used by ${by}`, remedy: 'give each network its own `key`' };
  }
  return {
    path: place,
    message: `${nameOf(kind)} is already used by ${by}: its packets do not say which network they are of`,
    remedy: 'use another underlay address, another udpPort, or an encapsulation that tells networks apart',
  };
}

function nameOf(kind: string): string {
  return ENCAPSULATION_NAMES[kind as keyof typeof ENCAPSULATION_NAMES];
}
