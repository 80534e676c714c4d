/**
 * A node that can run. It owns the devices, the control socket and the plan. Everything that changes them waits in one queue, and a step
 * that fails leaves what was there before.
 */
import { type CaptureOptions, type CaptureStream, captureStream } from '../observe/capture.js';
import type { Dataplane, WorkerState } from '../observe/dataplane.js';
import type {
  DropsDocument,
  MacDocument,
  NeighbourDocument,
  PeerDocument,
  ReloadDocument,
  RouteAnswer,
  RouteDocument,
  StatsDocument,
  StatusDocument,
} from '../observe/documents.js';
import { buildDrops, buildStats } from '../observe/figures.js';
import { buildRoutes, findRoute } from '../observe/routes.js';
import { packageVersion } from '../observe/version.js';
import { buildMacs, buildNeighbours, buildPeers, buildStatus, type NodeView } from '../observe/view.js';
import { makeCounterBlock } from '../packet/counters.js';
import { WeftError } from '../packet/error.js';
import { isPacketPort } from '../pipeline/tables.js';
import { type ApiServer, createApi } from './api/api.js';
import { defaultSocketPath } from './api/controlSocket.js';
import { changeRun, healRun, type Run, reloadRun, usesTun } from './change.js';
import { ChangingNode } from './changingNode.js';
import { checkValue, requireConfig } from './config/check.js';
import type { Config, ConfigInput } from './config/config.js';
import { readConfigFile } from './config/configFile.js';
import { canonicalAddress } from './config/text.js';
import { type DeviceKernel, requireRights } from './devices/deviceKernel.js';
import { createDevices } from './devices/devices.js';
import { dpdkSettings } from './devices/dpdkDevices.js';
import { followDpdkLog } from './devices/dpdkLog.js';
import { createHealing, type Healing } from './devices/healing.js';
import { followMachines } from './devices/machines.js';
import { followMtus, type MtuFollower } from './followMtus.js';
import { followKernelNextHops, type KernelNextHops } from './kernelNextHops.js';
import type { Node, NodeOptions, NodeParts, ReloadOptions } from './node.js';
import { createDynamicPeers, type DynamicPeers } from './peers/dynamicPeers.js';
import type { Heartbeats } from './peers/heartbeats.js';
import { startHeartbeats } from './peers/nodeHeartbeats.js';
import { gatherFacts, nodeName } from './plan/facts.js';
import { makePlan } from './plan/plan.js';
import { requireRouted } from './plan/routedNetwork.js';
import { routeBytesOf } from './plan/routeRoom.js';
import { RestartError } from './reload.js';
import { workersMaxOf, workersRestart } from './workers.js';

export class RunningNode extends ChangingNode implements Node {
  readonly name: string;
  readonly socket: string | null;
  #config: Config;
  #state: StatusDocument['node']['state'] = 'stopped';
  readonly #parts: NodeParts;
  readonly #file: string | undefined;
  readonly #captures = new Set<CaptureStream>();
  /** Read once: later there may be no descriptor left for it. */
  readonly #version = packageVersion();
  #queue: Promise<unknown> = Promise.resolve();
  #run: Run | null = null;

  constructor(config: Config, options: NodeOptions, parts: NodeParts) {
    super();
    this.#config = config;
    this.#parts = parts;
    this.#file = options.file;
    this.name = nodeName(config);
    this.socket = options.control === false ? null : (config.node.socket ?? defaultSocketPath(this.name));
  }

  get state() {
    return this.#state;
  }

  get config() {
    return this.#config;
  }

  start(): Promise<void> {
    return this.inTurn(async () => {
      if (this.#state !== 'stopped') throw usage(`node ${this.name} is ${this.#state} already`, this.name);
      this.#setState('starting');
      const undo: (() => unknown)[] = [];
      try {
        this.#run = await this.#open(undo);
      } catch (error) {
        for (const step of undo.reverse()) await step();
        this.#setState('stopped');
        throw error;
      }
      this.#setState('running');
      this.#run.heartbeats = this.#startHeartbeats(this.#run);
      this.#run.healing = this.#startHealing(this.#run);
      this.#run.kernelNextHops = this.#followNextHops(this.#run);
      const warn = (message: string) => this.emit('warning', message);
      this.#run.dpdkLog = followDpdkLog(() => this.#config, warn, this.#parts.now);
      this.#run.machines = this.#followMachines(this.#run);
    });
  }

  stop(): Promise<void> {
    return this.inTurn(async () => {
      const run = this.#run;
      if (run === null || this.#state !== 'running') return;
      this.#setState('stopping');
      for (const capture of this.#captures) capture.finish();
      run.dynamicPeers.stop();
      run.mtus.stop();
      run.heartbeats?.stop();
      run.healing?.stop();
      run.kernelNextHops?.stop();
      run.dpdkLog?.stop();
      run.machines?.stop();
      try {
        await run.dataplane.stop();
      } finally {
        for (const failure of run.devices.closeAll()) this.emit('warning', `not closed cleanly: ${failure}`);
        run.dataplane.dropDpdk();
        await run.api?.close();
        this.#setState('stopped');
      }
    });
  }

  /** Opens everything in the order in which it depends on each other; `undo` grows with each step. */
  async #open(undo: (() => unknown)[]): Promise<Run> {
    const config = this.#config;
    const hasTaps = usesTun(config);
    const hasSockets = config.underlays.some((underlay) => underlay.kind === 'udp');
    if (hasTaps || hasSockets) requireRights(hasTaps);
    // The workers warm up while everything else is opened.
    const dataplane = this.#parts.dataplane(config);
    undo.push(() => dataplane.dropDpdk());
    undo.push(() => dataplane.stop());
    dataplane.prepare();
    let api: ApiServer | null = null;
    if (this.socket !== null) {
      api = await createApi(this, this.socket);
      undo.push(() => api?.close());
    }
    const kernel = this.#parts.kernel();
    const facts = { ...gatherFacts(config, kernel), workersMax: workersMaxOf(config) };
    const planned = makePlan(config, facts);
    const devices = createDevices(
      kernel,
      () => dataplane.dpdkFrames(dpdkSettings(this.#config)),
      dpdkSettings(config).idle,
    );
    devices.open(planned.plan);
    undo.push(() => devices.closeAll());
    await dataplane.start(planned.plan, devices.forWorkers(planned.plan));
    const startedAt = this.#parts.now();
    const dynamicPeers = this.#watch(dataplane);
    const retired = new Float64Array(makeCounterBlock());
    const mtus = this.#followMtus(kernel, dataplane);
    const routeBytes = routeBytesOf(config);
    const opened = { facts, planned, devices, dataplane, dynamicPeers, mtus, startedAt, retired, routeBytes };
    return { api, heartbeats: null, healing: null, kernelNextHops: null, dpdkLog: null, machines: null, ...opened };
  }

  #watch(dataplane: Dataplane): DynamicPeers {
    const { events } = dataplane;
    events.on('worker-lost', (event) => this.emit('worker-lost', event));
    events.on('worker-replaced', (event) => this.emit('worker-replaced', event));
    const dynamicPeers = createDynamicPeers({
      view: () => (this.#state === 'running' ? this.#view() : null),
      changed: () => this.inTurn(() => this.change(this.#config)),
      warn: (message) => this.emit('warning', message),
    });
    events.on('unknown-peer', ({ network, address }) => dynamicPeers.heard(network, address));
    return dynamicPeers;
  }

  #followMtus(kernel: DeviceKernel, dataplane: Dataplane): MtuFollower {
    const run = () => this.#run!;
    const mtus = followMtus({
      kernel,
      config: () => this.#config,
      plan: () => run().planned.plan,
      facts: { get: () => run().facts, set: (facts) => Object.assign(run(), { facts }) },
      changed: (prepare) =>
        this.inTurn(() => {
          prepare();
          return this.change(this.#config);
        }),
      news: () => this.#run?.healing?.news(),
      warn: (message) => this.emit('warning', message),
      now: this.#parts.now,
    });
    dataplane.events.on('path-mtu', (report) => {
      if (this.#state === 'running') mtus.heard(report);
    });
    return mtus;
  }

  #startHeartbeats(run: Run): Heartbeats {
    return startHeartbeats(run, this.#config, {
      kernel: this.#parts.kernel(),
      relocate: () => this.inTurn(() => this.change(this.#config)),
      up: (peer) => this.emit('peer-up', peer),
      down: (peer) => this.emit('peer-down', peer),
      movedTo: (peer, to) => this.emit('peer-moved', { ...peer, to }),
      warn: (message) => this.emit('warning', message),
      now: this.#parts.now,
    });
  }

  #followMachines(run: Run): { stop(): void } {
    return followMachines({
      running: () => run.devices.machines(run.planned.plan),
      up: (name) => this.emit('machine-up', { name }),
      down: (name) => this.emit('machine-down', { name }),
    });
  }

  #followNextHops(run: Run): KernelNextHops {
    return followKernelNextHops({
      kernel: this.#parts.kernel(),
      dataplane: run.dataplane,
      plan: () => run.planned.plan,
      warn: (message) => this.emit('warning', message),
    });
  }

  #startHealing(run: Run): Healing {
    const plan = () => run.planned.plan;
    const healing = createHealing({
      find: (isClose, isNews) => {
        if (isNews) run.devices.mendRoutes();
        return run.devices.losses(plan(), isClose, isNews);
      },
      renew: (lost) =>
        this.inTurn(async () => {
          const { failed, failures } = await healRun(this.#running(), lost);
          this.#changed(this.#config, failures);
          return failed;
        }),
      isPlanned: ({ kind, id }) => plan()[kind === 'port' ? 'ports' : 'underlays'].some((one) => one.id === id),
      lost: ({ kind, name, message }) => this.emit(`${kind}-lost`, { name, message }),
      healed: ({ kind, name }, afterSec) => this.emit(`${kind}-healed`, { name, afterSec }),
      warn: (message) => this.emit('warning', message),
      now: this.#parts.now,
    });
    run.dataplane.events.on('device-failed', (failure) => healing.failed(failure));
    return healing;
  }

  /** Without a configuration, the file that the node was made of is read again. */
  reload(config?: ConfigInput, { dryRun = false }: ReloadOptions = {}): Promise<ReloadDocument> {
    return this.inTurn(async () => {
      const run = this.#running();
      if (!dryRun) this.emit('reloading');
      try {
        const after = config === undefined ? this.#readFile() : requireConfig(checkValue(config));
        const kernel = this.#parts.kernel();
        const { document, failures } = await reloadRun(run, { before: this.#config, after, kernel, dryRun });
        if (dryRun) return document;
        this.#changed(after, failures);
        this.emit('reloaded', document);
        return document;
      } catch (error) {
        if (!dryRun) this.emit('reload-failed', error as Error);
        throw error;
      }
    });
  }

  #readFile(): Config {
    const file = this.#file;
    if (file === undefined)
      throw new WeftError('USAGE', `node ${this.name} was not made of a file that can be read again`, {
        object: `node ${this.name}`,
        remedy: 'name the file: `weft reload --config FILE`',
      });
    return requireConfig(readConfigFile(file), file);
  }

  /** Moves the node to another configuration. On failure it stays on the one that it has. */
  protected async change(config: Config): Promise<void> {
    this.#changed(config, await changeRun(this.#running(), config));
  }

  #changed(config: Config, failures: string[]): void {
    this.#config = config;
    for (const failure of failures) this.emit('warning', `not closed cleanly: ${failure}`);
  }

  protected requireRoom(config: Config): void {
    const { facts } = this.#running();
    const restart = workersRestart(this.#config, config, facts.workersMax ?? workersMaxOf(this.#config));
    if (restart.length > 0) throw new RestartError(restart);
  }

  protected forgetDynamicPeer(network: string, address: string): boolean {
    return this.#running().dynamicPeers.forget(network, address);
  }

  status(): StatusDocument {
    return buildStatus(this.#view());
  }

  workers(): WorkerState[] {
    return this.#running().dataplane.workers();
  }

  stats(): StatsDocument {
    return buildStats(this.#view());
  }

  neighbours(): NeighbourDocument[] {
    return buildNeighbours(this.#view());
  }

  macs(): MacDocument[] {
    return buildMacs(this.#view());
  }

  peers(): PeerDocument[] {
    return buildPeers(this.#view());
  }

  drops(): DropsDocument {
    return buildDrops(this.#view());
  }

  routes(): RouteDocument[] {
    return buildRoutes(this.#view().plan);
  }

  route(network: string, address: string): RouteAnswer {
    const { plan } = this.#view();
    requireRouted(plan, network, address);
    const wanted = canonicalAddress(address);
    return { network, address: wanted, route: findRoute(plan, network, wanted) };
  }

  capture(on: string, options: CaptureOptions = {}): CaptureStream {
    const { planned, dataplane } = this.#running();
    const port = planned.plan.ports.find((p) => p.name === on);
    if (!port) {
      const known = planned.plan.ports.map((p) => p.name).join(', ') || 'none';
      throw new WeftError('USAGE', `there is no port ${JSON.stringify(on)}`, { object: on, remedy: `ports: ${known}` });
    }
    const isPackets = isPacketPort(planned.plan, port);
    const stream = captureStream(on, dataplane, port.id, { ...options, isPackets });
    this.#captures.add(stream);
    stream.once('close', () => this.#captures.delete(stream));
    return stream;
  }

  #view(): NodeView {
    const run = this.#run;
    if (run === null) throw usage(`node ${this.name} was not started`, this.name);
    return {
      plan: run.planned.plan,
      dataplane: run.dataplane,
      pathMtus: run.mtus.paths.list(),
      liveness: run.heartbeats?.documents(),
      devices: run.devices.reports(run.planned.plan),
      losses: run.healing?.documents(),
      retired: run.retired,
      node: { name: this.name, version: this.#version, pid: process.pid, state: this.#state, socket: this.socket },
      startedAt: run.startedAt,
      now: this.#parts.now(),
    };
  }

  #running(): Run {
    if (this.#run === null || this.#state !== 'running') throw usage(`node ${this.name} is not running`, this.name);
    return this.#run;
  }

  #setState(state: StatusDocument['node']['state']): void {
    this.#state = state;
    this.emit('state', state);
  }

  /** Runs a step after all that were asked for before. */
  protected inTurn<T>(step: () => Promise<T>): Promise<T> {
    const result = this.#queue.then(step);
    this.#queue = result.catch(() => {});
    return result;
  }
}

function usage(message: string, node: string): WeftError {
  return new WeftError('USAGE', message, { object: `node ${node}` });
}
