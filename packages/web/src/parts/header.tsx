/** Above everything: what this is, and light or dark. */
import type { RunStatus } from '@lockstep/protocol';
import { useEffect, useState } from 'preact/hooks';
import { currentTheme, onThemeChange, toggleTheme } from '../theme.ts';
import { Logo, Moon, Sun } from './icons.tsx';

function ThemeToggle() {
  const [theme, setTheme] = useState(currentTheme());
  useEffect(() => onThemeChange(() => setTheme(currentTheme())), []);
  const other = theme === 'dark' ? 'light' : 'dark';
  return (
    <button type="button" class="button" onClick={toggleTheme} aria-label={`Show the page in ${other} colours`}>
      {other === 'dark' ? <Moon /> : <Sun />}
      <span>{other === 'dark' ? 'Dark' : 'Light'}</span>
    </button>
  );
}

export function Header({ status }: { readonly status: RunStatus | undefined }) {
  return (
    <header class="page-header">
      <h1>
        <Logo /> Lockstep
      </h1>
      {status?.model && (
        <p class="run-name">
          {status.model.name} <span class="quiet">on {status.dataset?.name ?? 'unknown data'}</span>
        </p>
      )}
      <ThemeToggle />
    </header>
  );
}
