// tcpdump and tshark: what crosses a device, as somebody else reads it.
import { startIn } from './namespaces.js';
import { runToEnd, scratchFile } from './node.js';
import { STATION_PORT } from './traffic.js';
import { until } from './waiting.js';

export interface Recording {
  readonly path: string;
  /** Ends the recording; returns the path of the capture file. */
  stop(): Promise<string>;
}

export interface RecordOptions {
  /** What the host receives, what it sends, or both. The filter words `inbound` and `outbound` are no substitute: they lose the first frame. */
  direction?: 'in' | 'out' | 'inout';
  /** A pcap filter. */
  filter?: string;
}

/** Longer than any packet of an MTU of 1500: each place in tcpdump's ring is as large, and large ones are few. */
const SNAP_BYTES = '2048';

/** Records a device of a namespace. */
export async function record(namespace: string, device: string, options: RecordOptions = {}): Promise<Recording> {
  const { direction = 'inout', filter } = options;
  const path = scratchFile(`${device}.pcap`);
  // Immediate mode and -U: nothing waits in a buffer when the recording ends. -Z root: the folder is ours alone.
  const args = ['--immediate-mode', '-U', '-n', '-Z', 'root', '-s', SNAP_BYTES, '-B', '16384', '-Q', direction];
  args.push('-i', device, '-w', path);
  const child = startIn(namespace, 'tcpdump', ...args, ...(filter ? [filter] : []));
  let said = '';
  child.stderr?.on('data', (text) => (said += text));
  await until(`tcpdump on ${device}: ${said}`, () => {
    if (child.exitCode !== null) throw new Error(`tcpdump: ${said}`);
    return /listening on/.test(said);
  });
  /** Twice the same figure, each asked for and given: what lay in tcpdump's ring on a busy machine is in the file. Where more comes all the time, a second has to do. */
  async function caughtUp(): Promise<void> {
    const end = performance.now() + 1000;
    let before = '';
    while (performance.now() < end) {
      const from = said.length;
      const captured = () => /(\d+) packets? captured/.exec(said.slice(from))?.[1];
      child.kill('SIGUSR1');
      const now = await until(`figures of tcpdump: ${said}`, captured);
      if (now === before) return;
      before = now;
    }
  }
  return {
    path,
    async stop() {
      await caughtUp();
      child.kill('SIGINT');
      await until(`the end of tcpdump: ${said}`, () => child.exitCode !== null);
      if (!/\n0 packets dropped by kernel/.test(said)) throw new Error(`tcpdump lost frames: ${said}`);
      return path;
    },
  };
}

export interface ReadOptions {
  /** Display filter. */
  filter?: string;
  /** UDP port that carries VXLAN. */
  udpPort?: number;
  /** What tshark cannot find out by itself: `udp.port==8285,ip`. */
  decode?: string[];
}

/** Every checksum is verified, not assumed. */
const VERIFY = ['ip', 'udp', 'tcp'].flatMap((protocol) => ['-o', `${protocol}.check_checksum:TRUE`]);
/** TCP is read packet by packet: what was lost or came twice is not this reader's business. */
const PLAIN = ['-o', 'tcp.analyze_sequence_numbers:FALSE', '-o', 'tcp.desegment_tcp_streams:FALSE'];

/**
 * Streams of tests are bytes at random from a port at random: left to guess, tshark takes one packet in some thousands for Thrift, ENIP or IRC, and may
 * find it malformed.
 */
const NO_GUESS = ['tcp', 'udp'].map((protocol) => `${protocol}.port==${STATION_PORT},data`);

/** Fields of each frame: all values of a field, from the outermost layer inwards. */
export async function readFields<const N extends string>(
  path: string,
  names: readonly N[],
  { filter = '', udpPort = 4789, decode: extra = [] }: ReadOptions = {},
): Promise<Record<N, string[]>[]> {
  const fields = names.flatMap((name) => ['-e', name]);
  const form = ['-T', 'fields', '-E', 'occurrence=a', '-E', 'aggregator=|', ...fields];
  const decode = [`udp.port==${udpPort},vxlan`, ...NO_GUESS, ...extra].flatMap((rule) => ['-d', rule]);
  const args = ['-n', '-r', path, ...VERIFY, ...PLAIN, ...decode, ...form, ...(filter ? ['-Y', filter] : [])];
  const { status, stdout, stderr } = await runToEnd('tshark', args);
  if (status !== 0) throw new Error(`tshark ended with ${status}: ${stderr}`);
  return stdout
    .split('\n')
    .slice(0, -1)
    .map((line) => {
      const values = line.split('\t').map((value) => (value === '' ? [] : value.split('|')));
      return Object.fromEntries(names.map((name, i) => [name, values[i]])) as Record<N, string[]>;
    });
}
