#include "device.h"

#include <errno.h>
#include <rte_dev.h>
#include <rte_devargs.h>
#include <rte_ethdev.h>
#include <string.h>

#include <mutex>
#include <set>

#include "failure.h"
#include "guest.h"
#include "share.h"
#include "sockets.h"
#include "watch.h"

namespace weft {
namespace {

// Probing changes lists of the whole process.
std::mutex deviceLock;

constexpr uint16_t kDescriptors = 512;

std::string nameOf(const std::string& devargs) { return devargs.substr(0, devargs.find(',')); }

uint16_t probe(const std::string& devargs) {
  const std::string name = nameOf(devargs);
  uint16_t port = 0;
  if (rte_eth_dev_get_port_by_name(name.c_str(), &port) == 0) throw DpdkFailure("rte_dev_probe", EEXIST, name);
  const int error = rte_dev_probe(devargs.c_str());
  if (error < 0) throw DpdkFailure("rte_dev_probe", -error, devargs);
  if (rte_eth_dev_get_port_by_name(name.c_str(), &port) != 0) throw DpdkFailure("rte_dev_probe", ENODEV, name);
  return port;
}

/// Path of the socket of a vhost-user device; of others empty.
std::string socketOf(const rte_eth_dev_info& info) {
  const rte_devargs* devargs = info.device == nullptr ? nullptr : rte_dev_devargs(info.device);
  if (!isVhost(info) || devargs == nullptr || devargs->args == nullptr) return "";
  const std::string settings = std::string(",") + devargs->args;
  const std::string key = ",iface=";
  const size_t at = settings.find(key);
  if (at == std::string::npos) return "";
  const size_t begin = at + key.size();
  return settings.substr(begin, settings.find(',', begin) - begin);
}

void remove(uint16_t port) {
  rte_eth_dev_info info{};
  rte_device* device = rte_eth_dev_info_get(port, &info) == 0 ? info.device : nullptr;
  const HangUp hangUp(device == nullptr ? "" : socketOf(info));
  rte_eth_dev_stop(port);
  forgetGuest(port);
  unwatchPort(port);
  rte_eth_dev_close(port);
  if (device != nullptr) rte_dev_remove(device);
}

void check(int error, const char* call, const std::string& device) {
  if (error < 0) throw DpdkFailure(call, -error, device);
}

constexpr uint64_t kTxChecksum = RTE_ETH_TX_OFFLOAD_TCP_CKSUM | RTE_ETH_TX_OFFLOAD_UDP_CKSUM;
constexpr uint64_t kRxChecksum = RTE_ETH_RX_OFFLOAD_TCP_CKSUM | RTE_ETH_RX_OFFLOAD_UDP_CKSUM;

/// Offloads that a device sends by itself, of those that it was asked for; `capabilities` is of RTE_ETH_TX_OFFLOAD_*.
uint32_t offloadsOf(uint32_t wanted, uint64_t capabilities, bool hasGuest) {
  if ((wanted & kOffloadChecksum) == 0 || (capabilities & kTxChecksum) != kTxChecksum) return 0;
  // net_vhost does not name TSO, and its library writes whatever it is given into the header that the machine reads.
  const bool cuts = hasGuest || (capabilities & RTE_ETH_TX_OFFLOAD_TCP_TSO) != 0;
  return wanted & (kOffloadChecksum | (cuts ? kOffloadTso4 | kOffloadTso6 : 0));
}

/// Starts the port; returns what became of the request.
Device configure(uint16_t port, const DeviceRequest& request, const Frames& frames, bool hasInterrupts) {
  rte_eth_dev_info info{};
  check(rte_eth_dev_info_get(port, &info), "rte_eth_dev_info_get", request.devargs);
  Device device;
  device.port = port;
  device.driver = info.driver_name;
  device.queues = RTE_MIN(request.queues, RTE_MIN(info.max_rx_queues, info.max_tx_queues));
  if (device.queues == 0) device.queues = 1;

  rte_eth_conf conf{};
  conf.intr_conf.rxq = hasInterrupts ? 1 : 0;
  uint64_t wanted = 0;
  if ((request.offloads & kOffloadChecksum) != 0) wanted |= kTxChecksum;
  if ((request.offloads & (kOffloadTso4 | kOffloadTso6)) != 0) wanted |= RTE_ETH_TX_OFFLOAD_TCP_TSO;
  conf.txmode.offloads = (wanted | RTE_ETH_TX_OFFLOAD_MULTI_SEGS) & info.tx_offload_capa;
  // Asked for, so that an unfinished checksum comes as metadata and is not finished by the driver.
  if ((request.offloads & kOffloadChecksum) != 0)
    conf.rxmode.offloads = (kRxChecksum | RTE_ETH_RX_OFFLOAD_TCP_LRO) & info.rx_offload_capa;
  device.takesChains = (conf.txmode.offloads & RTE_ETH_TX_OFFLOAD_MULTI_SEGS) != 0;
  device.hasGuest = isVhost(info);
  device.offloads = offloadsOf(request.offloads, conf.txmode.offloads, device.hasGuest);
  if (device.hasGuest && device.offloads != 0)
    watchGuest(port);
  else
    grantOffloads(port, device.offloads);
  check(rte_eth_dev_configure(port, device.queues, device.queues, &conf), "rte_eth_dev_configure", request.devargs);
  uint16_t rxDescriptors = kDescriptors, txDescriptors = kDescriptors;
  check(rte_eth_dev_adjust_nb_rx_tx_desc(port, &rxDescriptors, &txDescriptors), "rte_eth_dev_adjust_nb_rx_tx_desc",
        request.devargs);
  const SlotClass& slots = request.takesSuperframes || frames.small.count == 0 ? frames.large : frames.small;
  if (slots.pool == nullptr) throw DpdkFailure("rte_eth_rx_queue_setup", ENOMEM, "no slots for DPDK in the arena");
  for (uint16_t queue = 0; queue < device.queues; queue++) {
    check(rte_eth_rx_queue_setup(port, queue, rxDescriptors, SOCKET_ID_ANY, nullptr, slots.pool),
          "rte_eth_rx_queue_setup", request.devargs);
    check(rte_eth_tx_queue_setup(port, queue, txDescriptors, SOCKET_ID_ANY, nullptr), "rte_eth_tx_queue_setup",
          request.devargs);
  }
  // Several software devices have no MTU to set: the limit is weft's then.
  if (rte_eth_dev_set_mtu(port, request.mtu) != 0) takeLog();
  check(rte_eth_dev_start(port), "rte_eth_dev_start", request.devargs);
  // A switch takes frames for the MACs behind it, and the groups of neighbour discovery. Software devices know no
  // filter.
  if (rte_eth_promiscuous_enable(port) != 0 || rte_eth_allmulticast_enable(port) != 0) takeLog();
  if (device.hasGuest && device.offloads != 0) lookAtGuest(port);
  rte_eth_dev_get_mtu(port, &device.mtu);
  rte_eth_macaddr_get(port, &device.mac);
  if (hasInterrupts) device.wakes = wakesOf(port, device.queues);
  return device;
}

/// A card whose interrupts are not to be had does not start with them.
Device configureAnyhow(uint16_t port, const DeviceRequest& request, const Frames& frames) {
  if (!request.wantsInterrupts) return configure(port, request, frames, false);
  try {
    return configure(port, request, frames, true);
  } catch (const DpdkFailure&) {
    return configure(port, request, frames, false);
  }
}

}  // namespace

bool isVhost(const rte_eth_dev_info& info) { return strcmp(info.driver_name, "net_vhost") == 0; }

bool isSynchronous(const rte_eth_dev_info& info) {
  static const std::set<std::string> drivers = {"net_vhost", "net_null", "net_pcap", "net_af_packet", "net_tap"};
  return drivers.count(info.driver_name) != 0;
}

Device openDevice(const DeviceRequest& request, const Frames& frames) {
  std::lock_guard<std::mutex> guard(deviceLock);
  takeLog();
  const uint16_t port = probe(request.devargs);
  try {
    rte_eth_dev_info info{};
    check(rte_eth_dev_info_get(port, &info), "rte_eth_dev_info_get", request.devargs);
    forgetReaders(port);
    watchPort(port, RTE_MIN(request.queues, kQueuesMax), isVhost(info));
    Device device = configureAnyhow(port, request, frames);
    letMachineIn(port);
    return device;
  } catch (...) {
    remove(port);
    throw;
  }
}

void closeDevice(uint16_t port) {
  std::lock_guard<std::mutex> guard(deviceLock);
  if (!rte_eth_dev_is_valid_port(port)) throw DpdkFailure("rte_eth_dev_close", ENODEV);
  remove(port);
}

DeviceState deviceState(uint16_t port) {
  if (!rte_eth_dev_is_valid_port(port)) throw DpdkFailure("rte_eth_link_get_nowait", ENODEV);
  DeviceState state;
  rte_eth_link link{};
  if (rte_eth_link_get_nowait(port, &link) == 0) {
    state.isUp = link.link_status == RTE_ETH_LINK_UP;
    state.speedMbps = link.link_speed;
  }
  rte_eth_dev_info info{};
  if (rte_eth_dev_info_get(port, &info) == 0) {
    state.queuesEnabled = enabledQueues(port, info.nb_rx_queues);
    if (state.isUp && isVhost(info)) {
      state.machineQueues = machineQueues(port);
      state.machineFeatures = machineFeatures(port);
    }
  }
  rte_eth_stats stats{};
  if (rte_eth_stats_get(port, &stats) == 0) {
    state.rxPackets = stats.ipackets;
    state.txPackets = stats.opackets;
    state.missed = stats.imissed;
    state.rxErrors = stats.ierrors;
    state.txErrors = stats.oerrors;
    state.noBuffers = stats.rx_nombuf;
  }
  return state;
}

}  // namespace weft
