/** Where the secret of a run comes from, and how it stays out of sight. */

/**
 * The token that was given as a flag, else that of LOCKSTEP_TOKEN. One that was given as a flag would stand in the
 * system's list of processes for all to read; the process is renamed so that it does not.
 */
export function tokenFrom(flag: string | undefined): string | undefined {
  if (flag !== undefined) process.title = 'lockstep';
  return flag ?? (process.env.LOCKSTEP_TOKEN || undefined);
}
