#!/bin/sh
# Writes what tshark reads from each capture here: one line a frame, fields of all layers from the outside inwards, joined by commas.
# The tests compare their own reading with these files, so that they need no tshark; run this after adding a capture.
cd "$(dirname "$0")" || exit 1
fields="frame.time_epoch frame.len
eth.dst eth.src eth.type
arp.opcode arp.src.hw_mac arp.src.proto_ipv4 arp.dst.hw_mac arp.dst.proto_ipv4
ip.dsfield ip.len ip.id ip.flags.df ip.ttl ip.proto ip.checksum ip.src ip.dst
ipv6.tclass ipv6.flow ipv6.plen ipv6.nxt ipv6.hlim ipv6.src ipv6.dst
udp.srcport udp.dstport udp.length udp.checksum
vxlan.flags vxlan.vni
geneve.flags.critical geneve.proto_type geneve.vni geneve.option.class geneve.option.type geneve.option.unknown.data
gre.flags_and_version gre.proto gre.checksum gre.key gre.sequence_number
tcp.srcport tcp.dstport tcp.seq_raw tcp.ack_raw tcp.hdr_len tcp.flags tcp.window_size_value tcp.checksum tcp.urgent_pointer
icmp.type icmp.code icmp.checksum icmp.ident icmp.seq"
options=""
for field in $fields; do options="$options -e $field"; done
for capture in *.pcap; do
  # shellcheck disable=SC2086
  tshark -r "$capture" -d udp.port==4789,vxlan -d udp.port==5555,ip -T fields -E header=y -E occurrence=a -E aggregator=, $options \
    >"${capture%.pcap}.tsv" || exit 1
done
tshark -r merged.pcapng -T fields -E header=y -e frame.interface_id -e frame.time_epoch -e frame.len -e eth.src \
  -E occurrence=f >merged.tsv
