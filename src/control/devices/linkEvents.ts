/**
 * News of devices, addresses and routes of a network namespace, as the kernel tells them. They are fetched by a timer of the main thread: an
 * empty look costs a system call, and nothing here is in a hurry.
 */
import type { AddressEvent, LinkEvent, MonitorNews } from '../../native/tun.js';
import type { DeviceKernel } from './deviceKernel.js';

const LOOK_MS = 250;

/** What happened between two looks; with the device's name at addresses, empty if it is gone already. */
export interface LinkNews extends Omit<MonitorNews, 'events'> {
  events: (LinkEvent | (AddressEvent & { name: string }))[];
}

export interface LinkEvents {
  /** Looks at once, instead of at the timer's next turn. */
  look(): void;
  stop(): void;
}

type MonitorKernel = Pick<DeviceKernel, 'monitorOpen' | 'monitorRead' | 'linkList' | 'close'>;

/**
 * Calls `heard` whenever there is news. The namespace stays alive until `stop`. Throws what the addon throws when the monitor can't be opened;
 * a look that fails counts as news that were lost.
 */
export function watchLinks(kernel: MonitorKernel, heard: (news: LinkNews) => void, netns?: string): LinkEvents {
  const query = netns === undefined ? {} : { netns };
  let fd = kernel.monitorOpen(query);
  const names = new Map<number, string>();

  function nameOf(index: number): string {
    if (!names.has(index)) for (const link of kernel.linkList(query)) names.set(link.index, link.name);
    return names.get(index) ?? '';
  }

  function named(event: LinkEvent | AddressEvent): LinkNews['events'][number] {
    if (event.kind === 'address') return { ...event, name: nameOf(event.index) };
    if (event.deleted) names.delete(event.index);
    else names.set(event.index, event.name);
    return event;
  }

  function read(): LinkNews {
    try {
      const { events, routes, overrun } = kernel.monitorRead(fd);
      return { events: events.map(named), routes, overrun };
    } catch {
      return { events: [], routes: true, overrun: true };
    }
  }

  function look(): void {
    if (fd < 0) return;
    const news = read();
    if (news.overrun) names.clear();
    if (news.overrun || news.routes || news.events.length > 0) heard(news);
  }

  const timer = setInterval(look, LOOK_MS).unref();
  return {
    look,
    stop() {
      if (fd < 0) return;
      clearInterval(timer);
      kernel.close(fd);
      fd = -1;
    },
  };
}
