# Packets for the inputs of the golden cases, made with scapy: inputs.py says which case has which.
import struct

from scapy.all import ARP, GRE, IP, UDP, Dot1Q, Ether, ICMP, ICMPv6EchoRequest, IPv6, Raw, TCP

START = 1_700_000_000
SELF = '198.18.0.1'
SELF6 = 'fd09::1'
BROADCAST = 'ff:ff:ff:ff:ff:ff'


def station(n):
    """MAC and address of station n."""
    return f'02:00:00:00:00:{n:02x}', f'10.0.0.{n}'


def noise(size, seed=1):
    x, out = seed * 2654435761 & 0xffffffff, bytearray()
    for _ in range(size):
        x = (x * 1664525 + 1013904223) & 0xffffffff
        out.append(x >> 24)
    return bytes(out)


def udp(src, dst, size=32, sport=4000, dport=5000, tos=0, tags=(), ttl=64, flags='DF'):
    """UDP from station to station in Ethernet; dst may be a MAC. Tags are (type, id) from the outside in."""
    mac, to = station(dst) if isinstance(dst, int) else (dst, '10.0.0.255')
    frame = Ether(src=station(src)[0], dst=mac)
    for kind, vlan in tags:
        frame.lastlayer().setfieldval('type', kind)
        frame = frame / Dot1Q(vlan=vlan, prio=3)
    packet = IP(src=station(src)[1], dst=to, tos=tos, ttl=ttl, id=src * 256 + size % 256, flags=flags)
    return bytes(frame / packet / UDP(sport=sport, dport=dport) / Raw(noise(size, src)))


def tcp(src, dst, size=20):
    layers = IP(src=station(src)[1], dst=station(dst)[1], flags='DF', id=7) / TCP(sport=33000, dport=80, flags='PA', seq=1000)
    return bytes(Ether(src=station(src)[0], dst=station(dst)[0]) / layers / Raw(noise(size)))


def udp6(src, dst, size=32, tc=0):
    addresses = IPv6(src=f'fd00::{src:x}', dst=f'fd00::{dst:x}', tc=tc)
    return bytes(Ether(src=station(src)[0], dst=station(dst)[0]) / addresses / UDP(sport=4000, dport=5000) / Raw(noise(size)))


def arp(src, dst, reply=False):
    (mac, ip), (_, target) = station(src), station(dst)
    to = station(dst)[0] if reply else BROADCAST
    return bytes(Ether(src=mac, dst=to) / ARP(op=2 if reply else 1, hwsrc=mac, psrc=ip, hwdst=to if reply else '0:0:0:0:0:0', pdst=target))


def bare(src, dst, size=32, tos=0, ttl=64, proto='udp', **fields):
    """An IP packet without Ethernet, of either version."""
    body = UDP(sport=4000, dport=5000) / Raw(noise(size)) if proto == 'udp' else ICMP(id=9, seq=1) / Raw(noise(size))
    if ':' in src:
        body = ICMPv6EchoRequest(id=9, seq=1, data=noise(size)) if proto != 'udp' else body
        return bytes(IPv6(src=src, dst=dst, tc=tos, hlim=ttl) / body)
    return bytes(IP(src=src, dst=dst, tos=tos, ttl=ttl, id=77, flags='DF', **fields) / body)


def mac_of(address):
    """As weft makes MACs of tunnel endpoints: 02:00 and the last four bytes of the address."""
    import ipaddress
    return '02:00:' + ':'.join(f'{b:02x}' for b in ipaddress.ip_address(address).packed[-4:])


def outer(src, payload, dst=SELF, proto=17, tos=0, flags='DF', **fields):
    """Ethernet and IP in front of bytes, or of a scapy layer."""
    body = Raw(payload) if isinstance(payload, bytes) else payload
    if ':' in src:
        ip = IPv6(src=src, dst=dst, nh=proto, tc=tos, hlim=63, **fields)
    else:
        ip = IP(src=src, dst=dst, proto=proto, tos=tos, ttl=63, id=0x1234, flags=flags, **fields)
    return bytes(Ether(src=mac_of(src), dst=mac_of(dst)) / ip / body)


def in_udp(src, port, payload, dst=SELF, checksum=True, **fields):
    datagram = UDP(sport=50000 + len(payload) % 1000, dport=port) / Raw(payload)
    if not checksum:
        datagram.chksum = 0
    return outer(src, datagram, dst=dst, **fields)


def vxlan_header(vni, flags=0x08000000):
    return struct.pack('>II', flags, vni << 8)


def vxlan(src, vni, frame, port=4789, flags=0x08000000, **fields):
    return in_udp(src, port, vxlan_header(vni, flags) + frame, **fields)


def option(cls, kind, data=''):
    data = bytes.fromhex(data)
    return struct.pack('>HBB', cls, kind, len(data) // 4) + data


def geneve(src, vni, frame, options=b'', protocol=0x6558, first=0, flags=None, **fields):
    """`first`: bits of the first byte besides the length; flags: O and C (C is set when an option is critical)."""
    head = struct.pack('>BBHI', first | len(options) // 4, flags or 0, protocol, vni << 8)
    return in_udp(src, 6081, head + options + frame, **fields)


def gre_header(payload, protocol=0x6558, key=None, seq=None, csum=False, spoil=False):
    layer = GRE(proto=protocol, chksum_present=int(csum))
    if key is not None:
        layer.key_present, layer.key = 1, key
    if seq is not None:
        layer.seqnum_present, layer.sequence_number = 1, seq
    out = bytearray(bytes(layer / Raw(payload)))
    if spoil:
        out[4] ^= 1
    return bytes(out)


def gre(src, payload, dst=SELF, **fields):
    return outer(src, gre_header(payload, **fields), proto=47, dst=dst)


def write_pcap(path, records, link):
    """Records are (milliseconds, bytes) or (milliseconds, bytes, length on the wire)."""
    with open(path, 'wb') as file:
        file.write(struct.pack('<IHHiIII', 0xa1b2c3d4, 2, 4, 0, 0, 262144, link))
        for ms, data, *length in records:
            whole = length[0] if length else len(data)
            file.write(struct.pack('<IIII', START + ms // 1000, ms % 1000 * 1000, len(data), whole) + data)
