/** The join page: makes this tab a worker of the run that served it. */
import { render } from 'preact';
import { startTheme } from '../theme.ts';
import { JoinPage } from './parts.tsx';
import { Tab } from './tab.ts';

startTheme();
const listeners = new Set<() => void>();
const tab = new Tab(() => {
  for (const listener of listeners) listener();
});
const subscribe = (redraw: () => void): (() => void) => {
  listeners.add(redraw);
  return () => listeners.delete(redraw);
};
render(<JoinPage tab={tab} subscribe={subscribe} />, document.getElementById('page')!);
tab.start();
