/**
 * Words of `weft replay`: what commander collects, checked against each other and turned into what the library takes.
 */
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import type { Config } from '../../control/config/config.js';
import { WeftError } from '../../packet/error.js';
import type { Pace, PacketEdit, ReplayInput } from '../../replay/options.js';

export interface ReplayVerbOptions {
  config?: string;
  port?: string;
  map?: string;
  out?: string;
  outDir?: string;
  only?: string[];
  push: string[];
  pop?: string;
  set: string[];
  expect?: string;
  expectCounters?: string;
  ignore: string[];
  times?: boolean;
  json?: boolean;
  junit?: string;
  real?: boolean;
  topspeed?: boolean;
  multiplier?: number;
  pps?: number;
  mbps?: number;
  loop?: number;
  limit?: number;
  duration?: number;
  quiet?: boolean;
}

/** Throws a WeftError with code USAGE for words that do not go together. */
export function checkOptions(captures: readonly string[], options: ReplayVerbOptions): void {
  const { config, port, map, out, outDir, only, push, pop, set, expect, json } = options;
  const wants = (isWrong: boolean, message: string, remedy?: string) => {
    if (isWrong) throw new WeftError('USAGE', message, { remedy });
  };
  const rewrites = push.length > 0 || pop !== undefined;
  wants(
    config === undefined && !rewrites && set.length === 0,
    'say what the captures go through',
    'Name a configuration with --config, or say what to change with --push, --pop or --set.',
  );
  wants(config !== undefined && rewrites, '--push and --pop take the place of --config');
  const real = paceOf(options) !== null || options.loop !== undefined;
  const needConfig = { '--port': port, '--map': map, '--only': only, 'the real clock': real || undefined };
  for (const [word, value] of Object.entries(needConfig))
    wants(config === undefined && value !== undefined, `${word} needs --config`);
  wants(captures.length === 0 && map === undefined, 'name a capture, or - for standard input');
  wants(port !== undefined && map !== undefined, '--port and --map exclude each other');
  wants(out !== undefined && outDir !== undefined, '--out and --out-dir exclude each other');
  wants(captures.filter((file) => file === '-').length > 1, 'standard input can be read once');
  wants(config === '-' && captures.includes('-'), 'standard input can be read once');
  wants(out === '-' && json === true, '--out - and --json both want standard output');
  wants(out === '-' && expect !== undefined, '--expect needs --out FILE, or neither of the two');
}

/** Null for the virtual clock. */
export function paceOf({ real, topspeed, multiplier, pps, mbps }: ReplayVerbOptions): Pace | null {
  const given = Object.entries({ topspeed, multiplier, pps, mbps }).filter(([, value]) => value !== undefined);
  if (given.length > 1)
    throw new WeftError('USAGE', `${given.map(([word]) => `--${word}`).join(' and ')} exclude each other`);
  if (given.length === 0 && real !== true) return null;
  return Object.fromEntries(given);
}

/** `FIELD=VALUE` */
export function editsOf(texts: readonly string[]): PacketEdit[] {
  return texts.map((text) => {
    const equals = text.indexOf('=');
    if (equals < 1)
      throw new WeftError('USAGE', `--set ${text}: it is FIELD=VALUE`, {
        object: '--set',
        remedy: 'Example: --set ttl=3',
      });
    return { field: text.slice(0, equals), value: text.slice(equals + 1) };
  });
}

/** Which capture comes in where. */
export async function inputsOf(
  captures: readonly string[],
  options: ReplayVerbOptions,
  config: Config,
): Promise<ReplayInput[]> {
  const { port, map } = options;
  if (map === undefined)
    return captures.map((file) => ({ file, ...(port === undefined ? {} : deviceOf(port, '--port', config)) }));
  const places = await readMap(map);
  const files = captures.length > 0 ? captures : [...places.keys()];
  return files.map((file) => {
    const place = places.get(file) ?? places.get(basename(file));
    if (place === undefined)
      throw new WeftError('USAGE', `${map} does not say where ${file} comes in`, { object: map });
    return { file, ...deviceOf(place, map, config) };
  });
}

/** A file of lines `CAPTURE: NAME`, in YAML. */
async function readMap(path: string): Promise<Map<string, string>> {
  const { parse } = await import('yaml');
  const wrong = (message: string, cause?: unknown) =>
    new WeftError('USAGE', `${path}: ${message}`, {
      object: path,
      remedy: 'It has a line CAPTURE: NAME for each capture; NAME is a port or an underlay.',
      cause,
    });
  let value: unknown;
  try {
    value = parse(readFileSync(path, 'utf8'));
  } catch (cause) {
    throw wrong((cause as Error).message.replace(/, open.*$/, '').split('\n')[0], cause);
  }
  const entries = typeof value === 'object' && value !== null && !Array.isArray(value) ? Object.entries(value) : [];
  if (entries.length === 0 || entries.some(([, place]) => typeof place !== 'string')) throw wrong('not a map');
  return new Map(entries as [string, string][]);
}

/** `web` is a port or else an underlay; `port:web` and `underlay:lan` say which. */
function deviceOf(text: string, where: string, config: Config): { port: string } | { underlay: string } {
  const [, kind, name] = /^(?:(port|underlay):)?(.*)$/s.exec(text) as RegExpExecArray;
  const ports = config.networks.flatMap((network) => network.ports.map((port) => port.name));
  const underlays = config.underlays.map((underlay) => underlay.name);
  if (kind !== 'underlay' && ports.includes(name)) return { port: name };
  if (kind !== 'port' && underlays.includes(name)) return { underlay: name };
  const known = [...ports.map((port) => `port ${port}`), ...underlays.map((underlay) => `underlay ${underlay}`)];
  throw new WeftError('USAGE', `${where}: there is no ${kind ?? 'port or underlay'} ${name}`, {
    object: name,
    remedy: known.length > 0 ? `The configuration has ${known.join(', ')}.` : 'The configuration has none.',
  });
}
