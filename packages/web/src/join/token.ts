/**
 * The token of the coordinator, as this tab knows it: from the fragment of its address, which browsers send to nobody, or
 * typed in. It stays with the tab, so that the page can be loaded again.
 */

const KEY = 'lockstep-token';
const PARAMETER = 'token';

/** The token in a fragment such as `#token=…`. */
export function tokenIn(hash: string): string | undefined {
  return new URLSearchParams(hash.replace(/^#/, '')).get(PARAMETER) || undefined;
}

/** The fragment that {@link tokenIn} reads. */
export const fragmentWith = (token: string): string => `#${new URLSearchParams({ [PARAMETER]: token })}`;

/** Takes the token out of the address, so that it is neither seen there nor copied with it. */
export function takeToken(): string | undefined {
  const given = tokenIn(location.hash);
  if (given !== undefined) {
    history.replaceState(null, '', location.pathname + location.search);
    keepToken(given);
    return given;
  }
  try {
    return sessionStorage.getItem(KEY) ?? undefined;
  } catch {
    return undefined;
  }
}

export function keepToken(token: string): void {
  try {
    sessionStorage.setItem(KEY, token);
  } catch {
    // Storage is off: it must be typed again after the page was loaded again.
  }
}
