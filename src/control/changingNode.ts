/**
 * What a running node can be asked to change: one part of its configuration at a time. The changed configuration is judged as a whole, and
 * put into effect like any other.
 */
import { EventEmitter } from 'node:events';
import type { WorkerState } from '../observe/dataplane.js';
import type { MacDocument, NetworkDocument, PeerDocument, PortDocument, StatusDocument } from '../observe/documents.js';
import type { Config, NetworkInput, PeerInput, PortInput, StaticMacInput } from './config/config.js';
import {
  withNetwork,
  withoutNetwork,
  withoutPeer,
  withoutPort,
  withoutStaticMac,
  withPeer,
  withPort,
  withStaticMac,
  withWorkers,
} from './config/edit.js';
import { canonicalAddress } from './config/text.js';
import type { NodeEvents } from './node.js';

export abstract class ChangingNode extends EventEmitter<NodeEvents> {
  abstract get config(): Config;
  abstract status(): StatusDocument;
  abstract peers(): PeerDocument[];
  abstract workers(): WorkerState[];
  /** Runs a step after all that were asked for before. */
  protected abstract inTurn<T>(step: () => Promise<T>): Promise<T>;
  /** Moves the node to another configuration. On failure it stays on the one that it has. */
  protected abstract change(config: Config): Promise<void>;
  /** Throws a RestartError when the configuration has more workers than the node has room for. */
  protected abstract requireRoom(config: Config): void;
  /** Forgets a peer that traffic made known; false when there is none. */
  protected abstract forgetDynamicPeer(network: string, address: string): boolean;

  setWorkers(workers: number): Promise<WorkerState[]> {
    return this.inTurn(async () => {
      const from = this.config.node.workers;
      const config = withWorkers(this.config, workers);
      this.requireRoom(config);
      await this.change(config);
      if (from !== workers) this.emit('workers-changed', { from, to: workers });
      return this.workers();
    });
  }

  addNetwork(network: NetworkInput): Promise<NetworkDocument> {
    return this.inTurn(async () => {
      await this.change(withNetwork(this.config, network));
      const added = this.status().networks.find((n) => n.name === network.name)!;
      this.emit('network-added', added);
      return added;
    });
  }

  removeNetwork(name: string): Promise<void> {
    return this.inTurn(async () => {
      await this.change(withoutNetwork(this.config, name));
      this.emit('network-removed', name);
    });
  }

  addStaticMac(network: string, entry: StaticMacInput): Promise<MacDocument> {
    return this.inTurn(async () => {
      await this.change(withStaticMac(this.config, network, entry));
      const { mac, port = null, peer = null } = entry;
      return { network, mac: mac.toLowerCase(), port, peer, static: true, expiresInSec: null, held: false };
    });
  }

  removeStaticMac(network: string, mac: string): Promise<void> {
    return this.inTurn(() => this.change(withoutStaticMac(this.config, network, mac)));
  }

  addPort(network: string, port: PortInput): Promise<PortDocument> {
    return this.inTurn(async () => {
      await this.change(withPort(this.config, network, port));
      const added = this.status().ports.find((p) => p.name === port.name)!;
      this.emit('port-added', added);
      return added;
    });
  }

  removePort(name: string): Promise<void> {
    return this.inTurn(async () => {
      await this.change(withoutPort(this.config, name));
      this.emit('port-removed', name);
    });
  }

  addPeer(network: string, peer: PeerInput): Promise<PeerDocument> {
    return this.inTurn(async () => {
      await this.change(withPeer(this.config, network, peer));
      const address = canonicalAddress(typeof peer === 'string' ? peer : peer.address);
      const added = this.peers().find((p) => p.network === network && p.address === address)!;
      this.emit('peer-added', added);
      return added;
    });
  }

  removePeer(network: string, given: string): Promise<void> {
    return this.inTurn(async () => {
      const address = canonicalAddress(given);
      const wasDynamic = this.forgetDynamicPeer(network, address);
      await this.change(wasDynamic ? this.config : withoutPeer(this.config, network, address));
      this.emit('peer-removed', { network, address });
    });
  }
}
