/** Which address the QR code holds. */
import { expect, it } from 'vitest';
import { joinAddress } from './invitation.ts';

const at = (href: string) => ({ href, hostname: new URL(href).hostname });
const known = { url: 'http://192.168.1.5:7070/', reachable: true };
const token = 'a token+';

it.each([
  ['http://lab:7070/', known, 'http://lab:7070/join'],
  ['https://proxy/runs/1/?a=b#c', known, 'https://proxy/runs/1/join'],
  ['http://127.0.0.1:7070/', known, 'http://192.168.1.5:7070/join'],
  ['http://localhost:7070/', known, 'http://192.168.1.5:7070/join'],
  ['http://lab:7070/', undefined, 'http://lab:7070/join'],
])('from %s', (href, invitation, expected) => {
  expect(joinAddress(at(href), invitation)).toMatchObject({
    href: expected,
    holdsToken: false,
    scope: 'other machines',
  });
});

it.each(['http://127.0.0.1:7070/', 'http://localhost:7070/', 'http://[::1]:7070/'])(
  'says that nobody reaches %s',
  (href) => {
    const nowhere = { url: 'http://127.0.0.1:7070/', reachable: false };
    for (const invitation of [nowhere, undefined]) {
      expect(joinAddress(at(href), invitation).scope).toBe('this machine');
    }
  },
);

it('holds the token in its fragment, and shows it nowhere', () => {
  const address = joinAddress(at('http://lab:7070/'), { ...known, token });
  expect(address.shown).toBe('http://lab:7070/join');
  expect(new URLSearchParams(new URL(address.href).hash.slice(1)).get('token')).toBe(token);
  expect(new URL(address.href).search).toBe('');
  expect(address.holdsToken).toBe(true);
});
