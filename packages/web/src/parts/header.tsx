/** Above everything: what this is, and light or dark. */
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

interface Props {
  /** Undefined: not known yet. */
  readonly model: string | undefined;
  readonly dataset: string | undefined;
}

export function Header({ model, dataset }: Props) {
  return (
    <header class="page-header">
      <h1>
        <Logo /> Lockstep
      </h1>
      {model !== undefined && (
        <p class="run-name">
          {model} <span class="quiet">on {dataset ?? 'unknown data'}</span>
        </p>
      )}
      <ThemeToggle />
    </header>
  );
}
