import { describe, expect, it } from 'vitest';
import { popPlan, pushPlan } from '../../../src/replay/push.js';

describe('pushPlan', () => {
  it('is a port, a network that passes everything on, and one peer', () => {
    const plan = pushPlan('vxlan:vni=42,remote=198.18.0.2');
    expect(plan.ports).toMatchObject([{ name: 'in', network: 1, kind: 'pcap' }]);
    expect(plan.networks).toMatchObject([
      { mode: 'xconnect', underlays: [1], tunnel: { kind: 'vxlan', id: 42, udpPort: 4789 } },
    ]);
    expect(plan.peers).toMatchObject([{ network: 1, underlay: 1, address: '198.18.0.2', udpPort: 4789 }]);
    expect(plan.underlays).toMatchObject([
      { name: 'out', kind: 'frame', address: '198.18.0.1', checksum: true, dscp: 0, ttl: 64, frame: { popDepth: 0 } },
    ]);
  });

  it('takes words for the outer headers', () => {
    const text =
      'vxlan:vni=1,remote=10.0.0.2,local=10.0.0.1,src-mac=02:00:00:00:00:0A,dst-mac=02-00-00-00-00-0b,ttl=inherit,dscp=46,csum=off,port=8472';
    const plan = pushPlan(text);
    expect(plan.underlays[0]).toMatchObject({ address: '10.0.0.1', ttl: 0, dscp: 46, checksum: false, udpPort: 8472 });
    expect(plan.underlays[0].frame).toMatchObject({
      mac: '02:00:00:00:00:0a',
      neighbours: { '10.0.0.2': '02:00:00:00:00:0b' },
    });
  });

  // MTU of the outer link, less the outer IP header, UDP, the tunnel's header and the inner Ethernet header.
  it.each([
    ['vxlan:vni=1,remote=10.0.0.2', 20 + 8 + 8 + 14],
    ['vxlan:vni=1,remote=fd00::2', 40 + 8 + 8 + 14],
    ['geneve:vni=1,remote=10.0.0.2,options=0102:80:00010002', 20 + 8 + 16 + 14],
    ['gre:remote=10.0.0.2', 20 + 4 + 14],
    ['gre:key=1,csum,seq,l3,remote=10.0.0.2', 20 + 16],
    ['ipip:remote=fd00::2', 40],
    ['fou:remote=10.0.0.2', 20 + 8],
    ['gue:remote=10.0.0.2', 20 + 8 + 4],
  ])('%s leaves an MTU less %d bytes', (text, less) => {
    expect(pushPlan(`${text},mtu=1500`).networks[0].mtu).toBe(1500 - less);
    expect(pushPlan(text).networks[0].mtu).toBe(65535 - less);
  });

  it('takes what each kind has', () => {
    const tunnel = (text: string) => pushPlan(`${text},remote=10.0.0.2`).networks[0].tunnel;
    expect(tunnel('vxlan:vni=1,gpe')).toMatchObject({ gpe: true, group: -1, udpPort: 4790 });
    expect(tunnel('vxlan:vni=1,group=7')).toMatchObject({ gpe: false, group: 7 });
    expect(tunnel('geneve:vni=0xffffff,options=0102:80:00010002+14b:1')).toMatchObject({
      id: 0xffffff,
      udpPort: 6081,
      options: [
        { class: 0x102, type: 0x80, data: Uint8Array.of(0, 1, 0, 2) },
        { class: 0x14b, type: 1, data: new Uint8Array(0) },
      ],
    });
    expect(tunnel('gre:csum,seq')).toMatchObject({
      hasKey: false,
      checksum: true,
      sequence: true,
      payload: 'ethernet',
    });
    expect(tunnel('gre:key=0')).toMatchObject({ hasKey: true, id: 0 });
    expect(tunnel('gre:key=4294967295,l3')).toMatchObject({ hasKey: true, id: -1, payload: 'ip' });
    expect(tunnel('fou:port=5555')).toMatchObject({ udpPort: 5555, payload: 'ip' });
    expect(tunnel('gue:port=6080')).toMatchObject({ kind: 'gue', udpPort: 6080, payload: 'ip' });
  });

  it('writes IPv6 with its own family', () => {
    const plan = pushPlan('ipip:remote=FD00:0::2');
    expect(plan.underlays[0].address).toBe('2001:db8::1');
    expect(plan.peers[0].address).toBe('fd00::2');
    expect(Object.keys(plan.underlays[0].frame!.neighbours)).toEqual(['fd00::2']);
  });

  it.each([
    ['vlan:id=1', "--push vlan:id=1: there is no kind 'vlan'"],
    ['constructor', "there is no kind 'constructor'"],
    ['vxlan:vni=1', 'needs remote=ADDRESS'],
    ['vxlan:remote=10.0.0.2', 'needs vni=NUMBER'],
    ['vxlan:vni=16777216,remote=10.0.0.2', 'vni is a number of 0 to 16777215'],
    ['vxlan:vni=,remote=10.0.0.2', 'vni needs a value'],
    ['vxlan:vni=1,remote=10.0.0', "remote is an IP address, not '10.0.0'"],
    ['vxlan:vni=1,remote=10.0.0.2,local=fd00::1', 'local and remote are of different families'],
    ['vxlan:vni=1,vni=2,remote=10.0.0.2', "'vni' stands there twice"],
    ['vxlan:vni=1,key=2,remote=10.0.0.2', "vxlan has no 'key'"],
    ['vxlan:vni=1,gpe,group=3,remote=10.0.0.2', 'gpe and group use the same bytes'],
    ['vxlan:vni=1,gpe=yes,remote=10.0.0.2', 'gpe is on or off'],
    ['geneve:vni=1,options=0102:80:0001,remote=10.0.0.2', "options: '0102:80:0001' is not CLASS:TYPE:DATA"],
    ['gre:remote=10.0.0.2,src-mac=1', "src-mac is a MAC, not '1'"],
    ['ipip:remote=10.0.0.2,mtu=67', 'mtu is a number of 68 to 65535'],
  ])('refuses %s', (text, message) => {
    expect(() => pushPlan(text)).toThrow(message);
  });
});

describe('popPlan', () => {
  it('takes tunnels off a frame underlay, to a depth', () => {
    const plan = popPlan('auto');
    expect(plan.underlays).toMatchObject([{ name: 'in', kind: 'frame', frame: { popDepth: 4 } }]);
    expect(plan.ports).toMatchObject([{ name: 'out', kind: 'pcap', mtu: 65535 }]);
    expect(plan.networks).toMatchObject([{ mode: 'xconnect', underlays: [1] }]);
    expect(popPlan('auto:depth=1').underlays[0].frame?.popDepth).toBe(1);
  });

  it.each([
    ['all', "there is no kind 'all'"],
    ['auto:depth=0', 'depth is a number of 1 to 16'],
    ['auto:levels=2', "auto has no 'levels'"],
  ])('refuses %s', (text, message) => {
    expect(() => popPlan(text)).toThrow(message);
  });
});
