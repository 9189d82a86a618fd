/** What the live page is told to invite others with. */
import { expect, it } from 'vitest';
import { serveInvitation } from './invitation.ts';
import { bearer, httpUrl, openServer, TOKEN } from './testing/peers.ts';

it('names an address and the token, to those who have shown it', async () => {
  const { server } = await openServer();
  serveInvitation(server, TOKEN);
  const url = httpUrl(server, '/api/invitation');
  expect((await fetch(url)).status).toBe(401);
  const response = await fetch(url, { headers: bearer });
  expect(response.headers.get('cache-control')).toBe('no-store');
  expect(await response.json()).toEqual({ url: httpUrl(server, '/'), reachable: false, token: TOKEN });
});
