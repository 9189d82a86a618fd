import { defineConfig } from 'vite';

/** `npx vite` in this folder shows the page as you change it, with the data of a run that goes on here. */
const coordinator = process.env.LOCKSTEP_URL ?? 'http://127.0.0.1:7070';

export default defineConfig({
  // The page works under any path, and loads nothing from elsewhere.
  base: './',
  build: {
    // Browsers that know light-dark(); it then stays as it is written.
    target: ['chrome123', 'firefox128', 'safari17.5'],
    // The content security policy allows no data: URLs.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  server: { proxy: { '/api': coordinator, '/events': coordinator } },
});
