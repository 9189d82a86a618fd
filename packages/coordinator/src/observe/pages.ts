/** Serves the files of the built web pages, each under its own path, compressed where the build has compressed them. */
import { readdirSync } from 'node:fs';
import { posix, sep } from 'node:path';
import sirv from 'sirv';
import type { CoordinatorServer } from '../server/index.ts';

/** Short paths of pages. */
const ALIASES: ReadonlyMap<string, string> = new Map([
  ['/index.html', '/'],
  ['/join.html', '/join'],
]);

/**
 * What may be seen without the token: everything but the live page. It is the same program everywhere and says nothing of
 * the run; the join page asks for the token itself, which a link may bring along in its fragment.
 */
const isOpen = (path: string): boolean => path !== '/index.html';

/** Scripts of Web Workers, which have a policy of their own, that of their file. */
const WORKER_SCRIPTS = '/assets/worker/';
/** They load ONNX Runtime: compiling WebAssembly is allowed to them and to nobody else. */
const WORKER_POLICY = "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'";

/** @param folder what the build of the pages left behind */
export function servePages(server: CoordinatorServer, folder: string): void {
  // It looks at the file anew each time: the page may be built again during a run.
  const serve = sirv(folder, { etag: true, dev: true, gzip: true });
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  for (const { parentPath, name } of files) {
    const directory = parentPath.slice(folder.length).split(sep).join('/');
    // A compressed copy goes out in the place of its original.
    if (name.endsWith('.gz')) continue;
    const path = posix.join('/', directory, name);
    const alias = ALIASES.get(path);
    for (const route of alias === undefined ? [path] : [path, alias]) {
      server.route(
        route,
        (request, response) => {
          // The page is asked for anew each time; its assets have their content's hash in their names.
          response.setHeader(
            'Cache-Control',
            path.includes('/assets/') ? 'public, max-age=31536000, immutable' : 'no-cache',
          );
          if (path.startsWith(WORKER_SCRIPTS)) response.setHeader('Content-Security-Policy', WORKER_POLICY);
          // A file that goes away just now must not end the run.
          response.once('pipe', (file) => file.on('error', () => response.destroy()));
          request.url = path;
          serve(request, response, () => {
            response.statusCode = 404;
            response.end();
          });
        },
        { open: isOpen(path) },
      );
    }
  }
}
