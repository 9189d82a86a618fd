/** Serves the files of a built web page, each under its own path. */
import { readdirSync } from 'node:fs';
import { posix, sep } from 'node:path';
import sirv from 'sirv';
import type { CoordinatorServer } from '../server/index.ts';

/** @param folder what the build of the page left behind */
export function servePages(server: CoordinatorServer, folder: string): void {
  // It looks at the file anew each time: the page may be built again during a run.
  const serve = sirv(folder, { etag: true, dev: true });
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  const paths = files.map(({ parentPath, name }) => {
    const directory = parentPath.slice(folder.length).split(sep).join('/');
    return posix.join('/', directory, name);
  });
  for (const path of [...paths, ...(paths.includes('/index.html') ? ['/'] : [])]) {
    server.route(path, (request, response) => {
      // The page is asked for anew each time; its assets have their content's hash in their names.
      response.setHeader(
        'Cache-Control',
        path.includes('/assets/') ? 'public, max-age=31536000, immutable' : 'no-cache',
      );
      // A file that goes away just now must not end the run.
      response.once('pipe', (file) => file.on('error', () => response.destroy()));
      serve(request, response, () => {
        response.statusCode = 404;
        response.end();
      });
    });
  }
}
