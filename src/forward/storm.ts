/**
 * The broadcast limit: one token bucket per network and worker for broadcast, multicast and unknown unicast packets. A bucket holds one second
 * of its rate, so short bursts (ARP at start-up) pass. Rates are the network's limit divided by the workers.
 */
export interface StormLimit {
  /** Sets the rate of a network in packets a second; 0 = no limit. */
  configure(network: number, packetsPerSec: number): void;
  /** Takes tokens for `packets`; false: over the limit, drop. */
  admit(network: number, packets: number): boolean;
}

export function createStormLimit(networks: number, clock: { millis: number }): StormLimit {
  const rate = new Float64Array(networks);
  const tokens = new Float64Array(networks);
  const filledAt = new Int32Array(networks);
  return {
    configure(network, packetsPerSec) {
      if (rate[network] === packetsPerSec) return;
      rate[network] = packetsPerSec;
      tokens[network] = packetsPerSec;
      filledAt[network] = clock.millis;
    },
    admit(network, packets) {
      const perSec = rate[network];
      if (perSec === 0) return true;
      const passed = (clock.millis - filledAt[network]) & 0x7fffffff;
      if (passed > 0) {
        filledAt[network] = clock.millis;
        tokens[network] = Math.min(perSec, tokens[network] + (perSec * passed) / 1000);
      }
      if (tokens[network] < packets) return false;
      tokens[network] -= packets;
      return true;
    },
  };
}
