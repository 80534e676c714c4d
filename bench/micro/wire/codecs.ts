import * as Ethernet from '../../../dist/wire/ethernet.js';
import * as Ipv4 from '../../../dist/wire/ipv4.js';
import * as Udp from '../../../dist/wire/udp.js';
import * as Vxlan from '../../../dist/wire/vxlan.js';
import { type Case, MANY, sink } from '../cases.js';

const IP = Ethernet.HEADER_BYTES;
const UDP = IP + Ipv4.HEADER_BYTES;
const VXLAN = UDP + Udp.HEADER_BYTES;
const INNER = VXLAN + Vxlan.HEADER_BYTES;
const STRIDE = 128;

/** The byte-shaped modules of wire/: the slow paths, templates, captures and explanations of weft. */
export function wireCases(): Case[] {
  const bytes = new Uint8Array(MANY * STRIDE);
  const mac = Uint8Array.of(2, 0, 0, 0, 0, 1);

  function write(at: number, n: number): void {
    Ethernet.write(bytes, at, mac, 0, mac, 0, Ethernet.TYPE_IPV4);
    Ipv4.write(bytes, at + IP, 0, 100, 0, Ipv4.DONT_FRAGMENT, 64, Ipv4.PROTOCOL_UDP, 0x0a000001, 0x0a000002 + n);
    Udp.write(bytes, at + UDP, 50000 + (n & 0xff), Vxlan.PORT, 80, 0);
    Vxlan.write(bytes, at + VXLAN, 42);
  }

  /** Checks every layer and reads what a decap needs. */
  function read(at: number): number {
    const end = at + STRIDE;
    if (!Ethernet.check(bytes, at, end) || Ethernet.type(bytes, at) !== Ethernet.TYPE_IPV4) return -1;
    if (!Ipv4.check(bytes, at + IP, end) || Ipv4.isFragment(bytes, at + IP)) return -1;
    if (!Udp.check(bytes, at + UDP, end) || Udp.dstPort(bytes, at + UDP) !== Vxlan.PORT) return -1;
    if (!Vxlan.check(bytes, at + VXLAN, end) || !Vxlan.hasVni(bytes, at + VXLAN)) return -1;
    return Vxlan.vni(bytes, at + VXLAN) ^ Ipv4.src(bytes, at + IP) ^ bytes[at + INNER];
  }

  for (let n = 0; n < MANY; n++) write(n * STRIDE, n);
  if (read(0) === -1) throw new Error('the headers that are read are not right');
  const each = (work: (n: number) => void) => () => {
    for (let n = 0; n < MANY; n++) work(n);
  };
  return [
    { name: 'wire: write Ethernet, IPv4, UDP, VXLAN', operations: MANY, run: each((n) => write(n * STRIDE, n)) },
    {
      name: 'wire: check and read them',
      operations: MANY,
      run: each((n) => {
        sink.value ^= read(n * STRIDE);
      }),
    },
    {
      name: 'wire: IPv4 header checksum',
      operations: MANY,
      run: each((n) => {
        sink.value ^= Ipv4.checksumIsRight(bytes, n * STRIDE + IP) ? 1 : 0;
      }),
    },
    {
      name: 'wire: change a TOS, checksum kept right',
      operations: MANY,
      run: each((n) => Ipv4.changeTos(bytes, n * STRIDE + IP, n & 0xfc)),
    },
  ];
}
