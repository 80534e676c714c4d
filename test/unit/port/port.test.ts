import { expect, it } from 'vitest';
import { bindPcapPorts } from '../../../src/port/pcap.js';
import { makeCaptureContext } from '../../rig/captureContext.js';
import { makeRig } from '../../rig/pipeline.js';

it('gives ports of every kind the same shape, which the walk is compiled for', () => {
  const { pipeline } = makeRig({ ports: { m: { id: 1, network: 1 }, t: { id: 2, network: 1, kind: 'tap' } } });
  const { walk } = pipeline;
  const { port } = bindPcapPorts(makeCaptureContext())({ id: 3, name: 'p' });
  const shapes = [walk.ports[1], walk.ports[2], port].map((p) => Object.keys(p as object));
  expect(shapes[1]).toEqual(shapes[0]);
  expect(shapes[2]).toEqual(shapes[0]);
  const kinds = [walk.ports[1], walk.ports[2], port].map((p) => Object.values(p as object).map((v) => typeof v));
  expect(kinds[1]).toEqual(kinds[0]);
  expect(kinds[2]).toEqual(kinds[0]);
});
