import { checkValue } from '../../../src/control/config/check.js';

/** A router with one TUN port, to be spread into a network. */
export const ONE_TUN = { ports: [{ name: 'r0', type: 'tun' as const }] };

/** Problems of a network on underlay `lan` and of what is beside it, each as `path: message (remedy)`. */
export function faultsOf(
  network: object,
  rest: { underlay?: object; networks?: object[] } & Record<string, unknown> = {},
) {
  const { underlay, networks = [], ...root } = rest;
  const value = {
    underlays: [{ name: 'lan', address: '192.0.2.1', ...underlay }],
    networks: [{ name: 'n', underlay: 'lan', ...network }, ...networks],
    ...root,
  };
  return checkValue(value).problems.map(({ path, message, remedy }) => `${path}: ${message} (${remedy})`);
}
