/**
 * The queues of a TAP or TUN device. They are attached and given up while frames move: the kernel puts no packet on one that nobody reads yet, and
 * what waits on one that goes is read before it is closed.
 */
import type { Tap, TapRequest } from '../../native/tun.js';
import type { PathReason } from '../../observe/documents.js';
import { type DeviceKernel, tryClose } from './deviceKernel.js';

export interface TapQueues {
  /** What the workers are given. */
  readonly fds: readonly number[];
  /**
   * So many queues, if the device can have more than one. Packets for what goes are put on the others from now on, and what waits there can be read
   * until `settle`. Returns the way back. Throws with everything as it was.
   */
  resize(count: number): () => void;
  /** The workers have changed over: new queues get packets, and those that nobody reads any more are closed. */
  settle(): string[];
  /** `isLeft`: the device stays, and the kernel chooses again as it likes. */
  close(isLeft: boolean): string[];
}

/** Of an open device. `request` attaches to it once more; what is worth saying goes to `reasons`. */
export function createTapQueues(
  kernel: DeviceKernel,
  opened: Tap,
  request: TapRequest,
  reasons: PathReason[],
): TapQueues {
  let fds = [...opened.fds];
  let leaving: number[] = [];
  /** Queues that the kernel chooses among by the flow; 0: as it likes. */
  let steered = 0;

  function steer(count: number): void {
    if (count === steered) return;
    forget(reasons, 'steering');
    try {
      kernel.tapSteer(fds[0], count);
      steered = count;
    } catch (error) {
      reasons.push(unsteered(error));
    }
  }

  /** A queue of the device that stands, and of no other that has its name by now. */
  function attach(count: number): number[] {
    const more = kernel.openTap({ ...request, create: false, queues: count });
    if (more.ifindex === opened.ifindex && more.fds.length === count) return more.fds;
    for (const fd of more.fds) kernel.close(fd);
    const text = `device ${request.name}: it is another one now`;
    throw Object.assign(new Error(text), { code: 'ENODEV', errno: 19, syscall: 'ioctl TUNSETIFF' });
  }

  function grow(count: number): () => void {
    steer(fds.length);
    const fresh = attach(count - fds.length);
    fds = [...fds, ...fresh];
    return () => {
      fds = fds.filter((fd) => !fresh.includes(fd));
      leaving.push(...fresh);
    };
  }

  function shrink(count: number): () => void {
    const gone = fds.slice(count);
    steer(count);
    fds = fds.slice(0, count);
    leaving.push(...gone);
    return () => {
      leaving = leaving.filter((fd) => !gone.includes(fd));
      fds = [...fds, ...gone];
    };
  }

  return {
    get fds() {
      return fds;
    },
    resize(count) {
      if (!opened.multiQueue || count === fds.length) return () => {};
      return count > fds.length ? grow(count) : shrink(count);
    },
    settle() {
      // Without a choice the kernel need not look.
      if (opened.multiQueue) steer(fds.length > 1 ? fds.length : 0);
      return leaving.splice(0).flatMap((fd) => tryClose(kernel, fd));
    },
    close(isLeft) {
      if (isLeft) steer(0);
      return [...leaving.splice(0), ...fds].flatMap((fd) => tryClose(kernel, fd));
    },
  };
}

/** Flows move to the queue of the worker that their answers come in at, and packets that wait on the first one are overtaken. */
function unsteered(error: unknown): PathReason {
  const why = (error as { code?: string }).code ?? (error as Error).message;
  return {
    feature: 'steering',
    reason: `the kernel takes no program that chooses queues (${why}): a flow may change its queue, and be reordered there`,
    remedy: why === 'EPERM' ? 'give weft CAP_BPF as well' : null,
  };
}

/** Takes a reason back. */
export function forget(reasons: PathReason[], feature: string): void {
  const said = reasons.findIndex((reason) => reason.feature === feature);
  if (said >= 0) reasons.splice(said, 1);
}
