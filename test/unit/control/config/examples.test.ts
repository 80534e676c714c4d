// The configurations that people copy: the files of examples/ and the YAML of README.md.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { checkText } from '../../../../src/control/config/check.js';
import { kindOf, modeOf } from '../../../../src/control/config/encapsulation.js';
import { makePlan } from '../../../../src/control/plan/plan.js';

const ROOT = fileURLToPath(new URL('../../../../', import.meta.url));
const FACTS = {
  hostname: 'h',
  underlayMtu: new Map(),
  underlayPrefixes: new Map(),
  users: new Map(),
  groups: new Map(),
};

const read = (name: string) => readFileSync(join(ROOT, name), 'utf8');
const files = readdirSync(join(ROOT, 'examples')).filter((name) => name.endsWith('.yaml'));
const blocks = [...read('README.md').matchAll(/^```yaml\n([\s\S]*?)^```/gm)].map((match) => match[1]);

it.each(files)('%s is good', (name) => {
  const { config, problems } = checkText(read(`examples/${name}`));
  expect(problems).toEqual([]);
  expect(makePlan(config!, FACTS).plan.networks.length).toBeGreaterThan(0);
});

it('every encapsulation and mode has an example', () => {
  const networks = files.flatMap((name) => checkText(read(`examples/${name}`)).config!.networks);
  expect(new Set(networks.map(kindOf))).toEqual(new Set(['vxlan', 'geneve', 'gre', 'ipip', 'fou', 'gue']));
  expect(new Set(networks.map(modeOf))).toEqual(new Set(['l2', 'l3', 'xconnect']));
});

it('README.md has good configurations', () => {
  expect(blocks.length).toBeGreaterThan(1);
  // A block about the node alone leaves its networks out.
  const whole = (block: string) => (/^networks:/m.test(block) ? block : `${block}networks: [{name: any}]\n`);
  for (const block of blocks) expect(checkText(whole(block)).problems).toEqual([]);
});
