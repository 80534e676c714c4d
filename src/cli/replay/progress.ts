/**
 * The progress bar of a long replay, on a terminal alone.
 */
import type { ReplayProgress } from '../../replay/options.js';
import { bytes, count, duration } from '../output.js';

/** A replay that is over sooner shows none. */
const SHOWN_AFTER_MS = 1000;
const BAR_CELLS = 24;
const CLEAR_LINE = '\r\u001b[K';

export interface ProgressBar {
  show(progress: ReplayProgress): void;
  /** Leaves the line empty. */
  end(): void;
}

type Terminal = Pick<NodeJS.WriteStream, 'isTTY' | 'write'>;

export function createProgressBar(terminal: Terminal = process.stderr, now = () => performance.now()): ProgressBar {
  const startedAt = now();
  let isShown = false;
  return {
    show(progress) {
      const elapsedMs = now() - startedAt;
      if (!terminal.isTTY || elapsedMs < SHOWN_AFTER_MS) return;
      isShown = true;
      terminal.write(`${CLEAR_LINE}${progressText(progress, elapsedMs / 1000)}`);
    },
    end() {
      if (isShown) terminal.write(CLEAR_LINE);
      isShown = false;
    },
  };
}

/** `[######------------------]  25 %  1,234,567 packets  2.1 Mpps  3.0 s left` */
export function progressText({ packets, bytes: read, bytesTotal }: ReplayProgress, seconds: number): string {
  const speed = `${count(packets)} packets  ${(packets / seconds / 1e6).toFixed(2)} Mpps`;
  if (bytesTotal === null || bytesTotal === 0) return `${speed}  ${bytes(read)}  ${duration(seconds)}`;
  const part = Math.min(1, read / bytesTotal);
  const full = Math.floor(part * BAR_CELLS);
  const bar = `[${'#'.repeat(full)}${'-'.repeat(BAR_CELLS - full)}]`;
  const left = part > 0 ? `  ${duration((seconds / part) * (1 - part))} left` : '';
  return `${bar} ${String(Math.floor(part * 100)).padStart(3)} %  ${speed}${left}`;
}
