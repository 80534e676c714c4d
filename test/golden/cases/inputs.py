# Writes the inputs of the golden cases: python3 inputs.py [CASE ...], with scapy. They are kept as they are; this is how they came to be.
import os
import sys

from scapy.all import IP, UDP, Dot1Q, Ether, ICMP, ICMPv6DestUnreach, IPv6, IPv6ExtHdrFragment, IPv6ExtHdrHopByHop, PadN, Raw

import packets as p
from packets import BROADCAST, arp, bare, geneve, gre, in_udp, option, outer, tcp, udp, udp6, vxlan, vxlan_header

A, B, C, STRANGER = '198.18.0.2', '198.18.0.3', '198.18.0.4', '198.18.0.9'
A6, B6 = 'fd09::2', 'fd09::3'


def spaced(frames, start=0, step=1):
    return [(start + i * step, frame) for i, frame in enumerate(frames)]


def vxlan_learning():
    web = [
        (0, arp(1, 2)),
        (300, udp(1, 2)),
        (400, udp(1, 3)),
        (500, udp(1, 9)),
        (550, udp(4, 2)),
        (560, udp(1, 4)),
        (570, b'\x01\x80\xc2\x00\x00\x00' + udp(1, 2)[6:]),
        (580, udp(1, 2)[:6] + b'\x03' + udp(1, 2)[7:]),
        (15000, udp(1, 3)),
        (15200, udp(1, 2)),
    ]
    db = [(100, arp(2, 1, reply=True)), (15100, udp(2, 1))]
    lan = [
        (200, vxlan(A, 42, udp(3, 1))),
        (600, vxlan(A, 42, udp(3, 5))),
        (700, vxlan(B, 42, udp(6, 3))),
        (710, vxlan(B, 43, udp(6, 1))),
        (720, vxlan(STRANGER, 42, udp(6, 1))),
        (730, vxlan(B, 42, udp(6, 1, tos=2), tos=3)),
        (740, vxlan(B, 42, udp(6, 1, tos=0), tos=3)),
    ]
    return {'web': web, 'db': db, 'lan': lan}


def geneve_options():
    ours = option(0x0102, 0x80, '00010002')
    lan = [
        geneve(A, 7, udp(2, 1), ours, flags=0x40),
        geneve(A, 7, udp(2, 1, 40), ours),
        geneve(A, 7, udp(2, 1, 41), option(0x0102, 0x80, '00010003')),
        geneve(A, 7, udp(2, 1, 42)),
        geneve(A, 7, udp(2, 1, 43), ours + option(0x0105, 0x81, 'aabbccdd')),
        geneve(A, 7, udp(2, 1, 44), option(0x0105, 0x01, 'aabbccdd') + ours + option(0x0106, 0x02)),
        geneve(A, 7, udp(2, 1, 45), ours, flags=0x80),
        geneve(A, 7, udp(2, 1, 46), ours, first=0x40),
        geneve(A, 7, udp(2, 1, 47), ours[:3] + b'\x05' + ours[4:]),
        geneve(A, 7, udp(2, 1, 48), ours, protocol=0x0806),
        geneve(A, 7, udp(2, 1, 49)[14:], ours, protocol=0x0800),
        geneve(A, 8, udp(2, 1, 50), ours),
        geneve(A, 7, udp(2, 1, 51), option(0x0102, 0x80, '0001000200010002')),
        geneve(A, 7, udp(2, 1, 52), option(0x014b, 0x81, '0a00000100500000') + ours, checksum=False),
    ]
    web = [udp(1, 2), tcp(1, 2), arp(1, 3), udp6(1, 2)]
    return {'lan': spaced(lan), 'web': spaced(web, 100)}


def gre_key_csum_seq():
    lan = [
        gre(A, udp(2, 1, 30), key=42, csum=True, seq=5),
        gre(A, udp(2, 1, 31), key=42, csum=True, seq=6),
        gre(A, udp(2, 1, 32), key=42, csum=True, seq=6),
        gre(A, udp(2, 1, 33), key=42, csum=True, seq=4),
        gre(A, udp(2, 1, 34), key=42, csum=True, seq=9),
        gre(A, udp(2, 1, 35), key=42, csum=True, seq=10, spoil=True),
        gre(A, udp(2, 1, 36), key=42),
        gre(A, udp(2, 1, 37), key=43, csum=True, seq=11),
        gre(A, udp(2, 1, 38), csum=True, seq=12),
        gre(A, udp(2, 1, 39)[14:], protocol=0x0800, key=42, csum=True, seq=13),
        gre(B, udp(3, 1, 40), key=42, csum=True, seq=0xffffffff),
        gre(B, udp(3, 1, 41), key=42, csum=True, seq=0),
        gre(STRANGER, udp(4, 1, 42), key=42, csum=True, seq=1),
        outer(A, b'\x70\x00\x65\x58' + bytes(4), proto=47),
        outer(A, b'\x30\x01\x65\x58' + bytes(8) + udp(2, 1), proto=47),
    ]
    late = [(9000, gre(A, udp(2, 1, 43), key=42, csum=True, seq=0))]
    web = [udp(1, 2), udp(1, 3), udp(1, 2, 33), arp(1, 7), tcp(1, 2, 21)]
    return {'lan': spaced(lan) + late, 'web': spaced(web, 100)}


def ipip_routes():
    r0 = [
        bare('10.42.1.5', '10.42.2.5'),
        bare('10.42.1.5', '10.42.2.200'),
        bare('10.42.1.5', '10.42.5.1'),
        bare('10.42.1.5', '10.42.5.1', ttl=1),
        bare('10.42.1.5', '10.99.0.1'),
        bare('10.42.1.5', '10.42.1.9'),
        bare('10.42.1.5', '10.42.2.5', tos=0xb9),
        bare('fd42:1::5', 'fd42:2::5'),
        bare('fd42:1::5', 'fd99::1'),
        b'\x55' + bare('10.42.1.5', '10.42.2.5')[1:],
        bare('10.42.1.5', '10.42.2.5', ttl=1, proto='icmp'),
        bare('10.42.1.5', '10.99.0.1', size=700),
    ]
    v4, v6 = 4, 41
    lan = [
        outer(A, bare('10.42.2.5', '10.42.1.7'), proto=v4),
        outer(A, bare('10.42.2.5', '10.42.5.7', ttl=1), proto=v4),
        outer(A, bare('10.42.2.5', '10.42.2.200'), proto=v4),
        outer(A, bare('10.42.2.5', '10.77.0.1'), proto=v4),
        outer(STRANGER, bare('10.42.2.5', '10.42.1.7'), proto=v4),
        outer(A, bare('fd42:2::5', 'fd42:1::7'), proto=v6),
        outer(A, bare('10.42.2.5', '10.42.1.7'), proto=v4, flags='MF'),
        outer(A, bare('10.42.2.5', '10.42.1.7', tos=1), proto=v4, tos=3),
        outer(B, bare('10.42.2.200', '10.42.1.7', size=5), proto=v4),
        outer(A, bare('10.42.2.5', '10.42.1.7')[:10], proto=v4),
    ]
    return {'r0': (spaced(r0), 101), 'lan': spaced(lan, 100)}


def l3_vxlan_flannel():
    mine, his = '02:00:c6:12:00:01', '5e:1d:22:3a:4b:5c'
    framed = lambda packet, to=mine, kind=0x0800: bytes(Ether(src=his, dst=to, type=kind)) + packet
    back = bare('10.244.2.7', '10.244.1.3')
    lan = [
        vxlan(A, 1, framed(back), port=8472),
        vxlan(A, 1, framed(back, to='02:00:c6:12:00:07'), port=8472),
        vxlan(A, 1, framed(arp(2, 1)[14:], kind=0x0806), port=8472),
        vxlan(A, 2, framed(back), port=8472),
        vxlan(A, 1, framed(back), port=4789),
        vxlan(STRANGER, 1, framed(back), port=8472),
        vxlan(A, 1, framed(bare('10.244.2.7', '10.244.1.3', size=900)), port=8472, checksum=False),
        vxlan(A, 1, framed(back, to=BROADCAST), port=8472),
    ]
    pods = [
        bare('10.244.1.3', '10.244.2.7'),
        bare('10.244.1.3', '10.244.3.7', tos=0x2e << 2),
        bare('10.244.1.3', '10.244.2.7', ttl=1),
        bare('10.244.1.3', '10.245.0.1'),
    ]
    return {'lan': spaced(lan), 'pods': (spaced(pods, 100), 101)}


def fou():
    lan = [
        in_udp(A, 8285, bare('10.42.2.5', '10.42.1.5')),
        in_udp(A, 8285, bare('fd42:2::5', 'fd42:1::5'), checksum=False),
        in_udp(A, 8286, bare('10.42.2.5', '10.42.1.5')),
        in_udp(A, 8285, noise_ip(0x10)),
        in_udp(A, 8285, bare('10.42.2.5', '10.42.1.5')[:19]),
        in_udp(A, 8285, b''),
        in_udp(A, 8285, noise_ip(0x46)),
        in_udp(STRANGER, 8285, bare('10.42.2.5', '10.42.1.5')),
    ]
    pod = [bare('10.42.1.5', '10.42.2.5'), bare('10.42.1.5', '10.42.2.6', tos=2), bare('fd42:1::5', 'fd42:2::5'), bare('10.42.1.5', '10.43.0.1')]
    return {'lan': spaced(lan), 'pod': (spaced(pod, 100), 101)}


def noise_ip(first):
    """Forty bytes that begin like an IP packet of some kind; 0x46 says 24 bytes of header, and a length that is not there."""
    return bytes([first]) + p.noise(39)


def vxlan6():
    inside = vxlan_header(42) + udp(2, 1, 60)
    ports = UDP(sport=50001, dport=4789) / Raw(inside)
    extended = bytes(Ether(src=p.mac_of(A6), dst=p.mac_of(p.SELF6)) / IPv6(src=A6, dst=p.SELF6) / IPv6ExtHdrHopByHop(options=[PadN(optdata=bytes(4))]) / ports)
    fragment = bytes(Ether(src=p.mac_of(A6), dst=p.mac_of(p.SELF6)) / IPv6(src=A6, dst=p.SELF6) / IPv6ExtHdrFragment(m=1) / ports)
    good = vxlan(A6, 42, udp(2, 1), dst=p.SELF6)
    bad = bytearray(vxlan(A6, 42, udp(2, 1, 50), dst=p.SELF6))
    bad[-1] ^= 1
    lan = [
        good,
        vxlan(A6, 42, udp6(2, 1), dst=p.SELF6, checksum=False),
        bytes(bad),
        extended,
        fragment,
        vxlan(A6, 42, udp(2, 1), dst='fd09::7'),
        vxlan('fd09::9', 42, udp(2, 1), dst=p.SELF6),
        good[:60],
    ]
    web = [udp(1, 2), udp6(1, 2, tc=1), arp(1, 3), tcp(1, 2, 33)]
    return {'lan': spaced(lan), 'web': spaced(web, 100)}


def bridge_options():
    a, b = option(0x0102, 0x01, '11223344'), option(0x0105, 0x80, '5566778899aabbcc')
    # A second each: packets of one burst leave as the walk has them, floods last.
    lan = [
        (0, geneve(A, 1, arp(2, 3), a)),
        (1000, geneve(B, 2, arp(3, 2, reply=True))),
        (2000, geneve(A, 1, udp(2, 3), a)),
        (3000, geneve(A, 1, udp(2, 3, 33), b + a)),
        (4000, geneve(C, 3, udp(4, 2, 34), b)),
        (5000, geneve(C, 3, udp(4, 2, 35), a)),
        (6000, geneve(A, 1, udp(2, 4, 36), a)),
        (7000, geneve(A, 1, udp(2, 4, 37))),
        (8000, geneve(B, 2, udp(3, 2, 38), b)),
    ]
    return {'lan': lan}


def bridge_vxlan_geneve():
    lan = [
        (0, vxlan(A, 42, arp(2, 3))),
        (100, geneve(B, 7, arp(3, 2, reply=True))),
        (200, vxlan(A, 42, udp(2, 3))),
        (300, geneve(B, 7, tcp(3, 2))),
        (400, vxlan(A, 42, udp(2, 2))),
        (500, vxlan(A, 42, udp(2, 9, tos=2), tos=3)),
        (600, geneve(B, 42, udp(3, 2))),
        (700, vxlan(B, 42, udp(3, 2))),
    ]
    web = [(50, udp(1, 2)), (150, udp(1, 3)), (550, arp(1, 9))]
    return {'lan': lan, 'web': web}


def bridge_l3():
    lan = [
        outer(A, bare('10.42.2.5', '10.42.3.5', ttl=9), proto=4),
        geneve(B, 7, bare('10.42.3.5', '10.42.2.5', ttl=9), protocol=0x0800),
        outer(A, bare('10.42.2.5', '10.42.3.5', ttl=1), proto=4),
        outer(A, bare('10.42.2.5', '10.42.1.5', ttl=1), proto=4),
        geneve(B, 7, bare('fd42:3::5', 'fd42:2::5', ttl=9), protocol=0x86dd),
        geneve(B, 7, bare('10.42.3.5', '10.42.3.6'), protocol=0x0800),
        geneve(B, 7, bare('10.42.3.5', '10.42.3.200'), protocol=0x0800),
        geneve(B, 7, udp(2, 1)),
    ]
    r0 = [bare('10.42.1.5', '10.42.2.5', ttl=9), bare('10.42.1.5', '10.42.3.5', ttl=1), bare('10.42.1.5', '10.42.3.200')]
    return {'lan': spaced(lan), 'r0': (spaced(r0, 100), 101)}


def xconnect():
    group = 0x88000000
    stp = bytes.fromhex('0180c2000000 020000000001 0026 424203 0000000000') + bytes(31)
    wire = [arp(1, 2), udp(1, 2), udp(1, 1), stp, udp(1, 2)[:6] + b'\x03' + udp(1, 2)[7:], udp(1, 2, tags=[(0x8100, 5)]), noise_frame(20), udp(1, 2)[:13]]
    lan = [
        vxlan(A, 43, udp(2, 1), flags=group | 9),
        vxlan(A, 43, stp),
        vxlan(B, 43, udp(2, 1)),
        vxlan(A, 43, udp(2, 2, tos=1), tos=3),
        vxlan(A, 43, noise_frame(20)),
    ]
    return {'wire': spaced(wire), 'lan': spaced(lan, 100)}


def noise_frame(size):
    return bytes.fromhex('020000000002 020000000001 88b5') + p.noise(size)


def icmp_error(size):
    inside = bare('10.0.0.1', '10.0.0.2')[:28]
    error = IP(src='10.0.0.1', dst='10.0.0.2', flags='DF') / ICMP(type=3, code=1) / Raw(inside + p.noise(size))
    return bytes(Ether(src=p.station(1)[0], dst=p.station(2)[0]) / error)


def echo(size):
    request = IP(src='10.0.0.1', dst='10.0.0.2', flags='DF', id=3) / ICMP(id=4, seq=5) / Raw(p.noise(size))
    return bytes(Ether(src=p.station(1)[0], dst=p.station(2)[0]) / request)


def mtu_answers():
    # Station 2 is behind the peer, MTU 1000: 972 bytes of UDP payload fit exactly.
    group6 = bytes(Ether(src=p.station(1)[0], dst='33:33:00:00:00:05') / IPv6(src='fd00::1', dst='ff02::5') / UDP(sport=4000, dport=5000) / Raw(p.noise(1000)))
    error6 = bytes(Ether(src=p.station(1)[0], dst=p.station(2)[0]) / IPv6(src='fd00::1', dst='fd00::2') / ICMPv6DestUnreach() / Raw(p.noise(1000)))
    later = bytes(Ether(src=p.station(1)[0], dst=p.station(2)[0]) / IP(src='10.0.0.1', dst='10.0.0.2', frag=100, flags='DF', proto=17) / Raw(p.noise(1000)))
    web = [
        udp(1, 2, 972),
        udp(1, 2, 973),
        udp(1, 2, 973, flags=0),
        udp6(1, 2, 952),
        udp6(1, 2, 1300),
        udp(1, BROADCAST, 973),
        group6,
        icmp_error(970),
        error6,
        echo(973),
        later,
        udp(1, 2, 973, tags=[(0x8100, 5)]),
        udp(1, 2, 972, tags=[(0x8100, 5)]),
        udp(1, 7, 1200),
    ]
    return {'lan': [(0, vxlan(A, 42, udp(2, 1)))], 'web': spaced(web, 100, 10)}


def broadcast_limit():
    second0 = [arp(1, 9) for _ in range(4)] + [udp(1, 2), udp(1, 9), udp(1, 8), arp(1, 7), udp(1, 2, 33)]
    second1 = [arp(1, 9)] * 6
    second2 = [udp(1, 9, 40 + i) for i in range(5)] + [udp(1, 2, 34)]
    web = spaced(second0, 100, 100) + spaced(second1, 1300, 100) + spaced(second2, 2100, 100)
    return {'lan': [(0, vxlan(A, 42, udp(2, 1)))], 'web': web}


def hostile_outer():
    good = vxlan(A, 42, udp(2, 1))
    ip, l4, tunnel, inner = 14, 34, 42, 50

    def patched(frame, *changes):
        out = bytearray(frame)
        for at, value in changes:
            out[at] = value
        return bytes(out)

    def fixed(frame):
        """The IP header's checksum put right, that of UDP left out."""
        out = bytearray(frame)
        out[ip + 10:ip + 12] = b'\0\0'
        total = sum(int.from_bytes(out[ip + k:ip + k + 2], 'big') for k in range(0, 20, 2))
        while total > 0xffff:
            total = (total & 0xffff) + (total >> 16)
        out[ip + 10:ip + 12] = (~total & 0xffff).to_bytes(2, 'big')
        out[l4 + 6:l4 + 8] = b'\0\0'
        return bytes(out)

    padded = vxlan(A, 42, udp(2, 1)) + bytes(7)
    lan = [
        good,
        good[:13],
        good[:33],
        patched(good, (ip, 0x55)),
        fixed(patched(good, (ip, 0x44))),
        fixed(patched(good, (ip + 2, 0x7f))),
        patched(good, (ip + 10, good[ip + 10] ^ 1)),
        patched(good, (len(good) - 1, good[-1] ^ 1)),
        in_udp(A, 4789, vxlan_header(42) + udp(2, 1), flags='MF'),
        fixed(patched(good, (l4 + 4, 0), (l4 + 5, 7))),
        fixed(patched(good, (l4 + 4, 0xff))),
        vxlan(A, 42, udp(2, 1)[:0]),
        in_udp(A, 4789, vxlan_header(42)[:5]),
        in_udp(A, 4789, vxlan_header(42, 0) + udp(2, 1)),
        vxlan(A, 42, udp(2, 1)[:13]),
        vxlan(A, 42, udp(2, 1, tags=[(0x8100, 5)])[:16]),
        vxlan(A, 42, udp(2, 1)[:30]),
        vxlan(A, 42, udp(2, 1), dst='198.18.0.7'),
        arp(2, 1),
        vxlan(A6, 42, udp(2, 1), dst=p.SELF6),
        vxlan(STRANGER, 42, udp(2, 1)),
        vxlan(STRANGER, 50, udp(5, 1)),
        vxlan(A, 0xffffff, udp(2, 1)),
        outer(A, b'\0' * 12, proto=47),
        outer(A, b'\0' * 40, proto=6),
        padded,
        vxlan(A, 42, udp(2, 1, 33), flags=0xf8abcdef),
    ]
    cut = [(200, good[:70], len(good))]
    return {'lan': spaced(lan) + cut}


def vlan_inside():
    one, two = [(0x8100, 5)], [(0x88a8, 100), (0x8100, 5)]
    web = [
        udp(1, 2, tags=one),
        udp(1, 2, 33, tags=two),
        udp(1, 2, 34, tags=one, tos=0xba),
        bytes(Ether(src=p.station(1)[0], dst=BROADCAST) / Dot1Q(vlan=5, type=0x0806)) + arp(1, 2)[14:],
        udp(1, 2, 35, tags=[(0x8100, 0)]),
    ]
    lan = [
        vxlan(A, 42, udp(2, 1, tags=one)),
        vxlan(A, 42, udp(2, 1, 33, tags=two, tos=0x02), tos=0x03),
        vxlan(A, 42, udp(2, 1, 34, tags=[(0x8100, 6)])),
    ]
    return {'lan': spaced(lan), 'web': spaced(web, 100)}


def mixed():
    back4 = bare('10.42.2.5', '10.42.1.5', size=10)
    lan = [
        vxlan(A, 42, udp(2, 1)),
        geneve(A, 7, udp(12, 11)),
        gre(A, udp(22, 21), key=5),
        gre(A, bare('10.45.2.5', '10.45.1.5'), protocol=0x0800, key=6),
        outer(A, back4, proto=4),
        in_udp(A, 8285, bare('10.43.2.5', '10.43.1.5')),
        in_udp(A, 6080, bytes.fromhex('00040000') + bare('10.44.2.5', '10.44.1.5')),
        in_udp(A, 4790, bytes.fromhex('0c00000100002b00') + bare('10.46.2.5', '10.46.1.5')),
        vxlan(A, 7, udp(2, 1)),
        geneve(A, 42, udp(2, 1)),
        gre(A, udp(22, 21), key=42),
        in_udp(A, 6080, bytes.fromhex('20040000') + bare('10.44.2.5', '10.44.1.5')),
        in_udp(A, 4790, bytes.fromhex('0d00000100002b00') + bare('10.46.2.5', '10.46.1.5')),
        in_udp(A, 4790, bytes.fromhex('0c00000400002b00') + bare('10.46.2.5', '10.46.1.5')),
    ]
    files = {'lan': spaced(lan)}
    for i, (port, frame) in enumerate({'blue0': udp(1, 2), 'green0': udp(11, 12), 'tap0': udp(21, 22)}.items()):
        files[port] = [(100 + i, frame)]
    for i, (port, net) in enumerate({'ipip0': 42, 'fou0': 43, 'gue0': 44, 'gre0': 45, 'gpe0': 46}.items()):
        files[port] = ([(200 + i, bare(f'10.{net}.1.5', f'10.{net}.2.5'))], 101)
    return files


def cross_subnet():
    lan = [
        bytes(Ether(src='02:00:00:00:09:02', dst='02:00:00:00:09:01', type=0x0800)) + bare('10.42.2.5', '10.42.1.5'),
        outer('198.19.0.2', bare('10.42.3.5', '10.42.1.5'), proto=4),
        bytes(Ether(src='02:00:00:00:09:02', dst='02:00:00:00:09:07', type=0x0800)) + bare('10.42.2.5', '10.42.1.5'),
        outer(A, bare('10.42.2.5', '10.42.1.6'), proto=4),
    ]
    r0 = [bare('10.42.1.5', '10.42.2.5'), bare('10.42.1.5', '10.42.3.5'), bare('10.42.1.5', '10.42.4.5')]
    return {'lan': spaced(lan), 'r0': (spaced(r0, 100), 101)}


def pop_nested():
    innermost = udp(2, 1)
    one = vxlan(A, 42, innermost)
    two = geneve(A, 7, one, option(0x0102, 0x80, '00010002'))
    three = gre(A, two, key=5)
    frames = [innermost, one, two, three, outer(A, bare('10.42.2.5', '10.42.1.7'), proto=4), vxlan(A, 1, three), arp(1, 2)]
    return {'in': spaced(frames)}


def nesting_bombs():
    deep = bare('10.0.0.2', '10.0.0.1')
    for _ in range(60):
        deep = outer(A, deep, proto=4)[14:]
    frames = [deepened(n) for n in (4, 5, 16, 24)] + [bytes(Ether(src=p.mac_of(A), dst=p.mac_of(p.SELF), type=0x0800)) + deep]
    # A tunnel that ends where the next one would begin; lengths that claim more than is there, at the third layer.
    frames += [vxlan(A, 1, vxlan(A, 2, vxlan(A, 3, b''))), vxlan(A, 1, vxlan(A, 2, vxlan(A, 3, udp(2, 1))[:70]))]
    frames += [vxlan(A, 1, geneve(A, 2, udp(2, 1), first=0x3f)), vxlan(A, 1, gre(A, udp(2, 1), csum=True, spoil=True))]
    frames += [vxlan(A, 1, in_udp(A, 4789, vxlan_header(2) + udp(2, 1), flags='MF'))]
    return {'in': spaced(frames)}


def deepened(tunnels):
    frame = udp(2, 1)
    for n in range(tunnels):
        frame = [vxlan, geneve][n % 2](A, n, frame)
    return frame


def push_stack():
    return {'in': spaced([udp(1, 2), udp6(1, 2), arp(1, 2)])}


CASES = [vxlan_learning, geneve_options, gre_key_csum_seq, ipip_routes, l3_vxlan_flannel, fou, vxlan6, bridge_options]
CASES += [bridge_vxlan_geneve, bridge_l3, xconnect, mtu_answers, broadcast_limit, hostile_outer, vlan_inside, mixed]
CASES += [cross_subnet, pop_nested, nesting_bombs, push_stack]

for case in CASES:
    name = case.__name__.replace('_', '-')
    if len(sys.argv) > 1 and name not in sys.argv:
        continue
    folder = os.path.join(os.path.dirname(os.path.abspath(__file__)), name)
    os.makedirs(folder, exist_ok=True)
    for device, records in case().items():
        records, link = records if isinstance(records, tuple) else (records, 1)
        p.write_pcap(os.path.join(folder, f'{device}.pcap'), records, link)
