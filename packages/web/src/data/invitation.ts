/** Under which address browsers of other devices join. */
import type { Invitation } from '@lockstep/protocol';
import { fragmentWith } from '../join/token.ts';

const TIMEOUT_MS = 10_000;

/** @throws when the coordinator does not say */
export async function askInvitation(): Promise<Invitation> {
  const response = await fetch('api/invitation', { signal: AbortSignal.timeout(TIMEOUT_MS) });
  if (!response.ok) throw new Error(`HTTP status ${response.status}`);
  return (await response.json()) as Invitation;
}

export interface Address {
  readonly href: string;
  /** The same without the token. */
  readonly shown: string;
  readonly holdsToken: boolean;
  /** Who reaches it. */
  readonly scope: 'this machine' | 'other machines';
}

const LOOPBACK = /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/;

/**
 * The address that this page was opened with, which works from where its viewer is; unless only this machine reaches that,
 * and the coordinator knows a better one.
 */
export function joinAddress(
  { href, hostname }: Pick<Location, 'href' | 'hostname'>,
  invitation: Invitation | undefined,
): Address {
  const isLocal = LOOPBACK.test(hostname);
  const base = isLocal && invitation?.reachable ? invitation.url : href;
  const address = new URL('join', base);
  const shown = address.href;
  if (invitation?.token !== undefined) address.hash = fragmentWith(invitation.token);
  return {
    href: address.href,
    shown,
    holdsToken: invitation?.token !== undefined,
    scope: isLocal && !invitation?.reachable ? 'this machine' : 'other machines',
  };
}
