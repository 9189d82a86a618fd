/** The command to copy to another machine so that it joins as a worker. */

const PLAIN_IN_A_SHELL = /^[\w.:/=+@%-]+$/;

/** @param tokenShown undefined where the token is known already, or none is needed */
export function joinCommand(
  server: { readonly url: string; readonly fingerprint: string | undefined },
  tokenShown: string | undefined,
): string {
  const token = tokenShown === undefined ? [] : ['--token', tokenShown];
  const fingerprint = server.fingerprint === undefined ? [] : ['--tls-fingerprint', server.fingerprint];
  return ['npx', 'lockstep', 'join', server.url, ...token, ...fingerprint].map(quote).join(' ');
}

function quote(word: string): string {
  return PLAIN_IN_A_SHELL.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
