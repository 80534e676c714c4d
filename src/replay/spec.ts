/**
 * Texts of the command line such as `vxlan:vni=42,remote=198.18.0.2,gpe`: a kind, then words with or without a value.
 */
import { WeftError } from '../packet/error.js';
import * as Address from '../wire/address.js';
import * as Ethernet from '../wire/ethernet.js';

/** Getters give null for a word that is not there, and throw a WeftError when its value is wrong. */
export interface Spec<Kind extends string = string> {
  readonly kind: Kind;
  text(word: string): string | null;
  integer(word: string, min: number, max: number): number | null;
  /** A number, or `inherit`, which is `otherwise`. */
  inherited(word: string, min: number, max: number, otherwise: number): number | null;
  /** `seq`, `seq=on`, `seq=off`. */
  flag(word: string): boolean | null;
  /** 4 or 16 bytes. */
  address(word: string): Uint8Array | null;
  /** Lower case, with colons. */
  mac(word: string): string | null;
  fail(message: string): never;
}

/** `words` are those of each kind, `shared` those of all. */
export function readSpec<Kind extends string>(
  text: string,
  option: string,
  words: { readonly [K in Kind]: readonly string[] },
  shared: readonly string[],
): Spec<Kind> {
  const colon = text.indexOf(':');
  const kind = (colon < 0 ? text : text.slice(0, colon)) as Kind;
  const fail = (message: string): never => {
    const known = Object.hasOwn(words, kind) ? `${kind}: ${[...words[kind], ...shared].join(', ')}.` : null;
    throw new WeftError('USAGE', `${option} ${text}: ${message}`, {
      object: option,
      remedy: known === null ? `Kinds: ${Object.keys(words).join(', ')}.` : `Words of ${known}`,
    });
  };
  if (!Object.hasOwn(words, kind)) fail(`there is no kind '${kind}'`);
  const values = new Map<string, string | null>();
  for (const part of colon < 0 ? [] : text.slice(colon + 1).split(',')) {
    const equals = part.indexOf('=');
    const word = equals < 0 ? part : part.slice(0, equals);
    if (!words[kind].includes(word) && !shared.includes(word)) fail(`${kind} has no '${word}'`);
    if (values.has(word)) fail(`'${word}' stands there twice`);
    values.set(word, equals < 0 ? null : part.slice(equals + 1));
  }

  function given(word: string): string | null {
    const value = values.get(word);
    if (value === undefined) return null;
    return value === null || value === '' ? fail(`${word} needs a value`) : value;
  }

  function integer(word: string, min: number, max: number): number | null {
    const value = given(word);
    if (value === null) return null;
    const isNumber = /^(\d{1,10}|0x[0-9a-f]{1,8})$/i.test(value);
    if (isNumber && Number(value) >= min && Number(value) <= max) return Number(value);
    return fail(`${word} is a number of ${min} to ${max}, not '${value}'`);
  }

  return {
    kind,
    text: given,
    integer,
    inherited(word, min, max, otherwise) {
      return given(word) === 'inherit' ? otherwise : integer(word, min, max);
    },
    flag(word) {
      if (!values.has(word)) return null;
      const value = values.get(word) ?? 'on';
      if (value !== 'on' && value !== 'off') fail(`${word} is on or off, not '${value}'`);
      return value === 'on';
    },
    address(word) {
      const value = given(word);
      if (value === null) return null;
      return Address.fromText(value) ?? fail(`${word} is an IP address, not '${value}'`);
    },
    mac(word) {
      const value = given(word);
      if (value === null) return null;
      const mac = Ethernet.macFromText(value);
      return mac === null ? fail(`${word} is a MAC, not '${value}'`) : Ethernet.macToText(mac, 0);
    },
    fail,
  };
}
