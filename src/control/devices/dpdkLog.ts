/**
 * What DPDK says while it runs, for the operator: with the name of the port that it is about, in words where they are known, and not more often
 * than somebody can read.
 */
import { loadedDpdk } from '../../native/dpdk.js';
import type { Config } from '../config/config.js';

export interface DpdkLogParts {
  /** Lines since the last call. */
  take(): string;
  /** `port vm0`, of what has its socket at a path; null where nothing has. */
  ownerOf(path: string): string | null;
  warn(message: string): void;
  now(): number;
}

/** Lines about one port in a window; what is more is counted. */
const LINES_MAX = 3;
const WINDOW_MS = 10_000;
/** `VHOST_CONFIG: (/run/vm0.sock) read message failed` */
const ABOUT = /^VHOST_\w+: \((\/[^)]*)\) (.*)$/;
/** Lines of weft's own addon. */
const OWN = /^(the port at |memory of a virtual machine )/;
/** Said beside another line that has the reason. */
const ECHO = /^(vhost message handling failed|processing \w+ failed)/;

const MEANINGS: [RegExp, string][] = [
  [
    /SET_MEM_TABLE/,
    'the machine does not share its memory: for QEMU, -object memory-backend-memfd,id=m,size=SIZE,share=on -numa node,memdev=m',
  ],
  [/^failed to mmap region|^mmap failed/, 'the memory that the machine shares cannot be mapped'],
];

interface Window {
  since: number;
  lines: Set<string>;
  more: number;
}

/** `look` is called every second or so. */
export function createDpdkLog({ take, ownerOf, warn, now }: DpdkLogParts): { look(): void } {
  const windows = new Map<string, Window>();

  function close(at: number): void {
    for (const [object, { since, more }] of windows) {
      if (at - since < WINDOW_MS) continue;
      if (more > 0) warn(`${object}: DPDK said ${more} lines more`);
      windows.delete(object);
    }
  }

  function say(object: string, line: string, at: number): void {
    let window = windows.get(object);
    if (window === undefined) {
      window = { since: at, lines: new Set(), more: 0 };
      windows.set(object, window);
    }
    const { lines } = window;
    if (lines.has(line) || lines.size >= LINES_MAX) {
      window.more++;
      return;
    }
    lines.add(line);
    const meaning = MEANINGS.find(([pattern]) => pattern.test(line))?.[1];
    warn(`${object}: ${meaning === undefined ? '' : `${meaning}; `}${OWN.test(line) ? '' : 'DPDK says: '}${line}`);
  }

  return {
    look() {
      const at = now();
      close(at);
      for (const line of take().split('\n')) {
        if (line.trim() === '') continue;
        const [, path = '', text = line] = ABOUT.exec(line) ?? [];
        if (!ECHO.test(text)) say(ownerOf(path) ?? 'devices of DPDK', text, at);
      }
    },
  };
}

const LOOK_EACH_MS = 1000;

/** Passes on what DPDK says from now on; says nothing until something has loaded it. */
export function followDpdkLog(config: () => Config, warn: (message: string) => void, now: () => number) {
  const log = createDpdkLog({
    take: () => loadedDpdk()?.takeLog() ?? '',
    ownerOf(path) {
      const ports = config().networks.flatMap(({ ports }) => ports);
      const owner = ports.find((port) => port.type === 'vhost-user' && port.path === path);
      return owner === undefined ? null : `port ${owner.name}`;
    },
    warn,
    now,
  });
  const timer = setInterval(log.look, LOOK_EACH_MS);
  timer.unref();
  return {
    stop() {
      clearInterval(timer);
      log.look();
    },
  };
}
