export interface Hugepages {
  release(): void;
}

/** Where the kernel's pool of 2 MB pages and the ledger of claims lie. */
export interface HugepageFiles {
  pool: string;
  ledger: string;
}

export const machine: HugepageFiles;

/** Sees to it that `pages` huge pages of 2 MB are free until `release` or the end of the process; `lack` says in a sentence why not. */
export function reserveHugepages(pages: number, where?: HugepageFiles): Hugepages | { lack: string };
