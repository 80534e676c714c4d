/** The plain cases of decap and admission, as the kernel of the way in does them (pipeline/inbound.as.ts). */
export interface TunnelKernel {
  /**
   * Takes plain tunnel headers off lanes 0..n, none of which has a network or an origin afterwards. Returns the number of lanes that `careful` then
   * names, for the kinds' own decap.
   */
  decap(this: void, n: number): number;
  /**
   * Admits lane `from`, which lives, and those that follow it with its sender, kind, id and payload. Returns the first lane that is none of them;
   * the summary has their packets and bytes.
   */
  admit(this: void, from: number, n: number, network: number, origin: number): number;
}
