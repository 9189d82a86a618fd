/** The live page of a run: listens to the coordinator and draws what it says. */
import { render } from 'preact';
import { Store } from './data/store.ts';
import { listen } from './data/stream.ts';
import { App } from './parts/app.tsx';
import { startTheme } from './theme.ts';

startTheme();
const store = new Store();
render(<App store={store} />, document.getElementById('page')!);

listen('events', {
  onMessage(message) {
    const version = store.view.status?.version;
    // Another version of the coordinator serves another page.
    if (message.event === 'status' && version !== undefined && version !== message.version) location.reload();
    store.update(({ view }) => view.apply(message));
  },
  onConnection(connection) {
    store.update((store) => {
      store.connection = connection;
    });
  },
});
