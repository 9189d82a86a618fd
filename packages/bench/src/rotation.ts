/** Blocks of several subjects in turns, so that what changes about the machine hits all of them alike. */
import { throwIfInterrupted } from './within.ts';

export interface Rotated<Subject, Block> {
  readonly subject: Subject;
  readonly round: number;
  readonly block: Block;
}

/**
 * Yields one block of each subject a round. Every second round goes backwards: a drift that is linear in time then hits
 * the first and the last subject alike.
 * @param measure does one block of a subject
 * @throws LockstepError `interrupted`
 */
export async function* rotate<Subject, Block>(
  subjects: readonly Subject[],
  rounds: number,
  signal: AbortSignal | undefined,
  measure: (subject: Subject, round: number) => Promise<Block>,
): AsyncGenerator<Rotated<Subject, Block>, void, void> {
  for (let round = 0; round < rounds; round++) {
    for (const subject of round % 2 === 0 ? subjects : [...subjects].reverse()) {
      throwIfInterrupted(signal);
      yield { subject, round, block: await measure(subject, round) };
    }
  }
}
