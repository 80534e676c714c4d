/**
 * The receiving sockets at one address and port (SO_REUSEPORT), one for each worker. The kernel is told which of them get packets, so that new ones
 * get none before they are read, and those that go can be read until they are empty.
 */
import { type DeviceKernel, tryClose } from './deviceKernel.js';

/** Carriers that follow each other at an address and port share one. */
export interface SocketGroup {
  /** A socket that was bound. */
  join(fd: number): void;
  /** Closes a descriptor, one of the group or not; returns what failed. */
  close(fd: number): string[];
  /** Packets go to these only, by the sender's address and port. A kernel that cannot be told chooses among all. */
  choose(fds: readonly number[]): void;
  /** The kernel has been told before. */
  readonly isChosen: boolean;
}

export function createSocketGroup(kernel: DeviceKernel): SocketGroup {
  /** As the kernel has them: the last one takes the place of one that is closed. */
  const order: number[] = [];
  let chosen = '';

  function leave(fd: number): void {
    const at = order.indexOf(fd);
    if (at < 0) return;
    const last = order.pop()!;
    if (last !== fd) order[at] = last;
  }

  return {
    join: (fd) => void order.push(fd),
    close(fd) {
      leave(fd);
      return tryClose(kernel, fd);
    },
    choose(fds) {
      const places = fds.map((fd) => order.indexOf(fd));
      if (places.join() === chosen) return;
      try {
        kernel.udpSteer(fds[0], places);
        chosen = places.join();
      } catch {
        // Linux before 4.5. What comes at the last moment, before a socket is closed, is lost.
      }
    },
    get isChosen() {
      return chosen !== '';
    },
  };
}
