/**
 * What the status has of a virtual machine.
 */

/** The virtual machine behind a port of type vhost-user. */
export interface MachineDocument {
  socket: string;
  /** server: weft listens at the socket; client: the machine does. */
  mode: 'server' | 'client';
  /** absent: nobody is connected; silent: its network card has not been started. */
  state: 'absent' | 'silent' | 'running';
  /** Of its network card, in use or not; 0 unless it runs. */
  queues: number;
  /** Null unless it runs. */
  agreed: AgreedFeatures | null;
}

/** What a machine and its port have agreed to (virtio 1.2, section 5.1.3). */
export interface AgreedFeatures {
  rings: 'split' | 'packed';
  /** Frames may lie in several of the machine's buffers. */
  mergeable: boolean;
  /** What the machine leaves to the port: `checksum`, `tso4`, `tso6`. */
  sends: string[];
  /** What it takes unfinished and uncut, in the same words. */
  takes: string[];
  /** All bits, in hexadecimal. */
  features: string;
}
