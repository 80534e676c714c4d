// What tshark says is inside of a tunnel packet: where each layer lies, and what it thinks of the packet.
import { runToEnd } from './node.js';

export interface Layer {
  /** tshark's word: `eth`, `ip`, `ipv6`, `udp`, `gre`... */
  name: string;
  /** First byte of its header in the frame, and bytes of the header. */
  at: number;
  size: number;
}

export interface Reading {
  /** From the outermost inwards. */
  layers: Layer[];
  /** Malformed layers and checksums that are not right. */
  faults: string[];
}

export interface Inner {
  protocol: 'eth' | 'ip' | 'ipv6';
  /** First byte of the inner packet in the frame. */
  at: number;
}

const VERIFY = ['ip', 'udp', 'tcp'].flatMap((protocol) => ['-o', `${protocol}.check_checksum:TRUE`]);
const FAULT = /<(?:field name="[a-z0-9.]+checksum\.status" showname="[^"]*Bad|proto name="_ws\.malformed)[^>]*/g;
const LAYER = /<proto name="([^"]+)" showname="[^"]*" size="(\d+)" pos="(\d+)">/g;

/** Every packet of a capture. `decode`: what tshark cannot find out by itself, like `udp.port==8285,ip`. */
export async function readLayers(path: string, decode: readonly string[] = []): Promise<Reading[]> {
  const rules = decode.flatMap((rule) => ['-d', rule]);
  const { status, stdout, stderr } = await runToEnd('tshark', ['-n', '-r', path, ...VERIFY, ...rules, '-T', 'pdml']);
  if (status !== 0) throw new Error(`tshark ended with ${status}: ${stderr}`);
  return stdout
    .split('</packet>')
    .slice(0, -1)
    .map((packet) => ({
      layers: [...packet.matchAll(LAYER)]
        .map(([, name, size, at]) => ({ name, at: Number(at), size: Number(size) }))
        .filter(({ name }) => name !== 'frame'),
      faults: [...packet.matchAll(FAULT)].map(([text]) => text),
    }));
}

const isPacket = (name: string): name is Inner['protocol'] => name === 'eth' || name === 'ip' || name === 'ipv6';

/** What a tunnel packet carries: the first Ethernet or IP header behind the outer IP header. */
export function innerOf({ layers }: Reading): Inner | null {
  const outer = layers.findIndex(({ name }) => name === 'ip' || name === 'ipv6');
  const found = layers.slice(outer + 1).find(({ name }) => isPacket(name));
  return found ? { protocol: found.name as Inner['protocol'], at: found.at } : null;
}
