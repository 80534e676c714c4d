/**
 * First program of a guest: mounts what a kernel needs, then serves one command channel. dash, with iproute2 and ping from the host in front of
 * busybox: busybox's own `ip` knows no tunnels.
 */
export const INIT = `#!/bin/sh
export PATH=/usr/bin:/usr/sbin:/bin:/sbin HOME=/
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sys /sys
/bin/busybox --install -s
mount -t tmpfs tmp /tmp
mount -t tmpfs run /run
modprobe -a virtio_pci virtio_net virtio_console
# Router solicitations and multicast reports would be in every count; whoever wants IPv6 turns it on.
sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1
ip link set lo up
echo "guest: kernel $(uname -r) is up after $(cut -d ' ' -f 1 /proc/uptime) s"
# Reading ends whenever nobody is connected, so the shell is started again; descriptor 3 keeps the port open meanwhile.
exec 3<>/dev/vport0p1
while :; do
  sh <&3 >&3 2>&1
  usleep 50000
done
`;
