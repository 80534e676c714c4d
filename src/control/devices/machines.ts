/**
 * Virtual machines that come and go behind the ports of a node: nobody else tells of them.
 */
export interface MachinesParts {
  /** Of each port of type vhost-user, by its name: whether its machine runs now. */
  running(): ReadonlyMap<string, boolean>;
  up(name: string): void;
  down(name: string): void;
}

/** A machine that is away for less is not missed. */
const LOOK_MS = 1000;

export function followMachines({ running, up, down }: MachinesParts): { stop(): void } {
  let before: ReadonlyMap<string, boolean> = new Map();
  const look = () => {
    const now = running();
    for (const [name, isRunning] of now) if (isRunning !== (before.get(name) ?? false)) (isRunning ? up : down)(name);
    before = now;
  };
  const timer = setInterval(look, LOOK_MS).unref();
  return { stop: () => clearInterval(timer) };
}
