/** Who may come in, by request and by WebSocket: the checks in their order, without answering any. */

import type { IncomingMessage } from 'node:http';
import { SUBPROTOCOL } from '@lockstep/protocol';
import { addressOf } from './connections.ts';
import { Credentials } from './credentials.ts';
import type { ServerLimits } from './limits.ts';
import type { Refusal } from './refusal.ts';
import * as refusals from './refusals.ts';
import { Site } from './site.ts';
import { offeredVersions } from './subprotocol.ts';

/** `/` as well, because people type `ws://host:7070`. */
const WORKER_PATHS = ['/', '/worker'];

export interface RouteOptions {
  /** Whether it may be seen without the token. */
  readonly open: boolean;
}

export class Gate {
  readonly #credentials: Credentials;
  readonly #site: Site;

  /** @throws LockstepError `usage` for an allowed origin that is none */
  constructor(options: {
    readonly host: string;
    readonly token: string | undefined;
    readonly tls: object | undefined;
    readonly allowedOrigins: readonly string[];
    readonly limits: ServerLimits;
  }) {
    const { host, token, tls, allowedOrigins, limits } = options;
    this.#credentials = new Credentials(token, limits);
    this.#site = new Site({ scheme: tls ? 'https' : 'http', host, hasToken: token !== undefined, allowedOrigins });
  }

  /** @param route what is registered under the path, if anything @returns undefined for who may come in */
  async examineRequest(request: IncomingMessage, route: RouteOptions | undefined): Promise<Refusal | undefined> {
    const { method, headers } = request;
    const foreign = this.#site.check(request);
    if (foreign) return foreign;
    if (method !== 'GET' && method !== 'HEAD') return refusals.METHOD;
    if (headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0) return refusals.BODY;
    const unknown = route?.open ? undefined : await this.#checkCredentials(request);
    return unknown ?? (route ? undefined : refusals.NO_ROUTE);
  }

  /** @returns undefined for who may come in */
  async examineUpgrade(request: IncomingMessage): Promise<Refusal | undefined> {
    const foreign = this.#site.check(request);
    if (foreign) return foreign;
    if (!WORKER_PATHS.includes(pathOf(request))) return refusals.NO_WORKER_PATH;
    const unknown = await this.#checkCredentials(request);
    if (unknown) return unknown;
    const versions = offeredVersions(request.headers['sec-websocket-protocol']);
    if (versions.includes(SUBPROTOCOL)) return undefined;
    return versions.length === 0 ? refusals.NO_SUBPROTOCOL : refusals.otherVersion(versions);
  }

  async #checkCredentials(request: IncomingMessage): Promise<Refusal | undefined> {
    const address = addressOf(request.socket);
    // The peer is gone, so nobody will read the answer: its token is not even looked at.
    if (address === undefined) return refusals.GONE;
    return this.#credentials.check(request, address);
  }
}

/** Without the query. */
export function pathOf({ url }: IncomingMessage): string {
  return (url ?? '').split('?', 1)[0]!;
}
