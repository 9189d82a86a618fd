/** Light or dark: as the system says, unless the reader has chosen otherwise. */

export type Theme = 'light' | 'dark';

const KEY = 'lockstep-theme';
const system = matchMedia('(prefers-color-scheme: dark)');
const listeners = new Set<() => void>();

const systemTheme = (): Theme => (system.matches ? 'dark' : 'light');

/** Storage may be forbidden; the choice then lasts as long as the page. */
function remembered(): Theme | undefined {
  try {
    const value = localStorage.getItem(KEY);
    return value === 'light' || value === 'dark' ? value : undefined;
  } catch {
    return undefined;
  }
}

function remember(theme: Theme | undefined): void {
  try {
    if (theme) localStorage.setItem(KEY, theme);
    else localStorage.removeItem(KEY);
  } catch {
    // As above.
  }
}

export const currentTheme = (): Theme => (document.documentElement.dataset.theme as Theme | undefined) ?? systemTheme();

function show(theme: Theme | undefined): void {
  if (theme) document.documentElement.dataset.theme = theme;
  else delete document.documentElement.dataset.theme;
  for (const listener of listeners) listener();
}

/** The other one. Choosing what the system says anyway means to follow the system again. */
export function toggleTheme(): void {
  const next = currentTheme() === 'dark' ? 'light' : 'dark';
  const choice = next === systemTheme() ? undefined : next;
  remember(choice);
  show(choice);
}

/** @returns what ends the subscription */
export function onThemeChange(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export function startTheme(): void {
  show(remembered());
  system.addEventListener('change', () => show(remembered()));
  addEventListener('storage', ({ key }) => {
    if (key === KEY) show(remembered());
  });
}
