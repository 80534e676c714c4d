/** Stable codes of the errors that weft throws at its boundaries. */
export type WeftErrorCode =
  | 'CONFIG' // the configuration is wrong; `problems` lists every fault
  | 'RESTART' // a running node cannot take it; `restart` lists what
  | 'USAGE' // the caller asked for something that does not exist or does not fit
  | 'DEVICE' // a device could not be opened, changed or removed
  | 'UNDERLAY' // an underlay socket or its address could not be used
  | 'PERMISSION' // root, a capability or /dev/net/tun is missing
  | 'UNAVAILABLE' // a part is not built or not installed
  | 'NODE_UNREACHABLE' // no running node answers on the control socket
  | 'CAPTURE' // a capture file could not be read or written
  | 'WORKER' // a worker could not be started or did not answer
  | 'LIMIT'; // a fixed limit of the node is reached

export interface WeftErrorDetails {
  /** The thing that the error is about, as the user named it: `port web`, `underlay wan`. */
  object?: string;
  syscall?: string;
  /** Positive errno of the system call. */
  errno?: number;
  /** What the user can do about it, as a sentence. */
  remedy?: string;
  cause?: unknown;
}

/** Error of a boundary (configuration, open, control): one sentence, a stable code, the object and the remedy. */
export class WeftError extends Error {
  readonly code: WeftErrorCode;
  readonly object: string | undefined;
  readonly syscall: string | undefined;
  readonly errno: number | undefined;
  readonly remedy: string | undefined;

  constructor(code: WeftErrorCode, message: string, details: WeftErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = 'WeftError';
    this.code = code;
    this.object = details.object;
    this.syscall = details.syscall;
    this.errno = details.errno;
    this.remedy = details.remedy;
  }
}
