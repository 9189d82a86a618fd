/** Watches a coordinator as Prometheus and the live page do, from a process of its own: for watched-rate.js. */
const SCRAPE_MS = 1_000;
let watching;

async function scrape(url, signal) {
  while (!signal.aborted) {
    const response = await fetch(new URL('/metrics', url), { signal });
    await response.text();
    await new Promise((resolve) => setTimeout(resolve, SCRAPE_MS));
  }
}

async function follow(url, signal) {
  const response = await fetch(new URL('/events', url), { signal });
  for await (const piece of response.body) if (piece.length === 0) return;
}

process.on('message', ({ url }) => {
  watching?.abort();
  watching = url ? new AbortController() : undefined;
  if (watching) {
    const { signal } = watching;
    const ignoreEnd = (error) => {
      if (!signal.aborted) throw error;
    };
    scrape(url, signal).catch(ignoreEnd);
    follow(url, signal).catch(ignoreEnd);
  }
  process.send('done');
});
