import { WeftError } from '../packet/error.js';
import type { CaptureDevice } from './captureDevices.js';
import type { ReplayInput } from './options.js';
import type { TaskInput } from './task.js';

/** Which port or underlay each capture comes in at. Pure. */
export function resolveInputs(inputs: readonly ReplayInput[], devices: readonly CaptureDevice[]): TaskInput[] {
  if (inputs.length === 0) throw new WeftError('USAGE', 'no capture to replay', { remedy: 'name a file' });
  const resolved = inputs.map((input) => {
    const { kind, id, name } = deviceOf(input, devices);
    return { file: input.file, kind, id, device: name };
  });
  const seen = new Set<string>();
  for (const { file, kind, device } of resolved) {
    for (const key of [`${kind} ${device}`, file === '-' ? 'the standard input' : '']) {
      if (key === '' || !seen.has(key)) {
        seen.add(key);
        continue;
      }
      throw new WeftError('USAGE', `${key} has two captures`, {
        object: key,
        remedy: 'join them first, as mergecap does, or give each a port of its own',
      });
    }
  }
  return resolved;
}

function deviceOf(input: ReplayInput, devices: readonly CaptureDevice[]): CaptureDevice {
  const { file, port, underlay } = input;
  if (port !== undefined && underlay !== undefined)
    throw new WeftError('USAGE', `${file}: a capture comes in at a port or at an underlay, not at both`);
  const kind = underlay !== undefined ? 'underlay' : 'port';
  const name = underlay ?? port;
  const all = devices.filter((d) => d.kind === kind);
  if (name === undefined) {
    if (all.length === 1) return all[0];
    throw new WeftError('USAGE', `${file}: which of ${all.length} ports is it for?`, {
      object: file,
      remedy: `name a port or an underlay: ${devices.map((d) => d.name).join(', ')}`,
    });
  }
  const found = all.find((d) => d.name === name);
  if (found !== undefined) return found;
  const others = devices.find((d) => d.name === name);
  throw new WeftError('USAGE', `${file}: there is no ${kind} ${name}`, {
    object: `${kind} ${name}`,
    remedy: others
      ? `${name} is an ${others.kind}`.replace('an port', 'a port')
      : `there are: ${devices.map((d) => `${d.kind} ${d.name}`).join(', ')}`,
  });
}
