/** The network front of the coordinator: one port for HTTP and WebSockets, and what guards it. */

export { serveInvitation } from './invitation.ts';
export { joinCommand } from './join-command.ts';
export type { ServerLimits } from './limits.ts';
export { CoordinatorServer, type ServerOptions, type WorkerPeer } from './server.ts';
export { readTls } from './tls.ts';
export { resolveToken } from './token.ts';
