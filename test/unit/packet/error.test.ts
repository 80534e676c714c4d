import { expect, it } from 'vitest';
import { WeftError } from '../../../src/packet/error.js';

it('carries code, object, syscall, errno, remedy and cause', () => {
  const cause = new Error('underneath');
  const error = new WeftError('DEVICE', 'port web: no such device', {
    object: 'port web',
    syscall: 'ioctl TUNSETIFF',
    errno: 19,
    remedy: 'create it first',
    cause,
  });
  expect(error).toBeInstanceOf(Error);
  expect({ ...error, message: error.message, cause: error.cause }).toEqual({
    name: 'WeftError',
    code: 'DEVICE',
    message: 'port web: no such device',
    object: 'port web',
    syscall: 'ioctl TUNSETIFF',
    errno: 19,
    remedy: 'create it first',
    cause,
  });
});

it('has no cause of its own when it was given none', () => {
  const error = new WeftError('USAGE', 'so');
  expect('cause' in error).toBe(false);
  expect([error.object, error.errno]).toEqual([undefined, undefined]);
});
