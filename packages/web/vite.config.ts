import { defineConfig } from 'vite';

/** `npx vite` in this folder shows the page as you change it, with the data of a run that goes on here. */
const coordinator = process.env.LOCKSTEP_URL ?? 'http://127.0.0.1:7070';

/** Most of a build goes into the Web Workers, which is no news. */
const checks = { pluginTimings: false };

export default defineConfig({
  // The page works under any path, and loads nothing from elsewhere.
  base: './',
  build: {
    // Browsers that know light-dark(); it then stays as it is written.
    target: ['chrome123', 'firefox128', 'safari17.5'],
    // The content security policy allows no data: URLs.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    rolldownOptions: { input: ['index.html', 'join.html'], checks },
    // ONNX Runtime's WebAssembly is what it is.
    chunkSizeWarningLimit: 1000,
  },
  worker: {
    format: 'es',
    // In a folder of their own, because the coordinator lets scripts from there compile WebAssembly.
    rolldownOptions: {
      checks,
      output: { entryFileNames: 'assets/worker/[name]-[hash].js', chunkFileNames: 'assets/worker/[name]-[hash].js' },
    },
  },
  resolve: {
    // The other build tries to compile functions, which the content security policy forbids.
    alias: { msgpackr: 'msgpackr/index-no-eval' },
  },
  server: { proxy: { '/api': coordinator, '/events': coordinator, '/worker': { target: coordinator, ws: true } } },
});
