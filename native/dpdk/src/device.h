// Devices of DPDK: probed by their devargs, configured with queues over weft's frames, started, stopped.
#pragma once

#include <rte_ethdev.h>
#include <stdint.h>

#include <string>
#include <vector>

#include "frames.h"
#include "watch.h"

namespace weft {

struct DeviceRequest {
  std::string devargs;
  uint16_t queues = 1;
  uint16_t mtu = 1500;
  /// Receive into large slots: superframes in one piece.
  bool takesSuperframes = false;
  /// What to ask for, of kOffload*.
  uint32_t offloads = 0;
  /// Rx interrupts, where the driver has them.
  bool wantsInterrupts = false;
};

/// Bits as TUNSETOFFLOAD has them: what the device takes unfinished or uncut.
constexpr uint32_t kOffloadChecksum = 0x01;
constexpr uint32_t kOffloadTso4 = 0x02;
constexpr uint32_t kOffloadTso6 = 0x04;

struct Device {
  uint16_t port = 0;
  std::string driver;
  rte_ether_addr mac{};
  uint16_t queues = 0;
  uint32_t offloads = 0;
  uint16_t mtu = 0;
  bool takesChains = false;
  /// A machine behind it says what it takes (guest.h); `offloads` is the most that it may be given.
  bool hasGuest = false;
  /// By rx queue; empty without interrupts.
  std::vector<Wake> wakes;
};

struct DeviceState {
  bool isUp = false;
  uint32_t speedMbps = 0;
  uint16_t queuesEnabled = 0;
  /// Of the machine behind a vhost-user device; 0 without one.
  uint16_t machineQueues = 0;
  /// What it has agreed to, of virtio's feature bits.
  uint64_t machineFeatures = 0;
  uint64_t rxPackets = 0, txPackets = 0, missed = 0, rxErrors = 0, txErrors = 0, noBuffers = 0;
};

/// A machine is behind it.
bool isVhost(const rte_eth_dev_info& info);

/// The driver copies, or drops, and has freed all when a send returns.
bool isSynchronous(const rte_eth_dev_info& info);

Device openDevice(const DeviceRequest& request, const Frames& frames);
void closeDevice(uint16_t port);
DeviceState deviceState(uint16_t port);

}  // namespace weft
