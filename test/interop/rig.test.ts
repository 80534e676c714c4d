// The rig itself: what the other interop tests stand on.
import { existsSync } from 'node:fs';
import { afterEach, expect, it } from 'vitest';
import * as Rig from '../rig/namespaces.js';
import { describeWith } from '../rig/requirements.js';

describeWith(['root', 'ip', 'ping'], 'the rig', () => {
  afterEach(Rig.removeNamespaces);

  it('joins two namespaces by a veth', () => {
    const a = { namespace: Rig.makeNamespace('a'), device: 'v0', address: '198.18.0.1/24' };
    const b = { namespace: Rig.makeNamespace('b'), device: 'v0', address: '198.18.0.2/24' };
    Rig.joinByVeth(a, b);
    expect(Rig.runIn(a.namespace, 'ping', '-c', '1', '-W', '2', '198.18.0.2')).toMatch(/1 received/);
  });

  it('ends what it started and leaves no namespace behind', async () => {
    const name = Rig.makeNamespace('gone');
    const child = Rig.startIn(name, 'sleep', '60');
    const path = Rig.namespacePath(name);
    expect(existsSync(path)).toBe(true);
    await Rig.removeNamespaces();
    expect(child.signalCode).toBe('SIGKILL');
    expect(existsSync(path)).toBe(false);
  });

  it('says what a failing command said', () => {
    const name = Rig.makeNamespace('fails');
    expect(() => Rig.runIn(name, 'ping', '-c', '1', '-W', '1', '198.18.0.9')).toThrow(/unreachable/i);
  });
});
