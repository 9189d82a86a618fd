/** What the live page must know to invite browsers of other machines: an address that they reach, and the token. */
import type { Invitation } from '@lockstep/protocol';
import { isLoopback } from './address.ts';
import type { CoordinatorServer } from './server.ts';

/**
 * Serves `/api/invitation`. Whoever may ask for it has shown the token already, in a way that no script of the page can
 * read.
 */
export function serveInvitation(server: CoordinatorServer, token: string | undefined): void {
  server.route('/api/invitation', (_, response) => {
    const url = new URL(server.url.replace(/^ws/, 'http'));
    const invitation: Invitation = { url: url.href, reachable: !isLoopback(url.hostname), token };
    response.setHeader('Content-Type', 'application/json');
    response.end(`${JSON.stringify(invitation)}\n`);
  });
}
