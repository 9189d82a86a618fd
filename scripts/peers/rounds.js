/** Subjects in turns: who takes part, block after block, and the ratios that come of it. */
import { setTimeout as sleep } from 'node:timers/promises';
import { estimate, median } from '@lockstep/bench';

/**
 * Starts subjects one after the other and warms each up with a block. One that cannot start is left out, with a word why.
 * @param starters functions that make a subject
 */
export async function startAll(starters, settings) {
  const subjects = [];
  for (const start of starters) {
    const subject = start();
    try {
      await subject.ready();
      await subject.block(settings);
      subjects.push(subject);
    } catch (error) {
      console.log(`left out: ${error.message}`);
      await subject.close();
    }
  }
  return subjects;
}

export const closeAll = (subjects) => Promise.all(subjects.map((subject) => subject.close()));

/** Before a block: threads of the one before may go on spinning for a while, waiting for more work. */
const PAUSE_MS = 250;

/** @param numBlocks one after the other, where one alone is too short @returns samples per second */
async function turn(subject, settings, numBlocks) {
  await sleep(PAUSE_MS);
  let secondsPerSample = 0;
  for (let i = 0; i < numBlocks; i++) {
    const { rate } = await subject.block(settings);
    secondsPerSample += 1 / rate / numBlocks;
  }
  return 1 / secondsPerSample;
}

/**
 * Alternates blocks in rotating order, in every second round backwards, so that neither drift of the machine nor who goes before
 * whom favours one.
 * @returns {Promise<Map<string, number[]>>} of each subject's name the rates, round by round
 */
export async function alternate(subjects, rounds, settings, numBlocks = 1) {
  const rates = new Map(subjects.map(({ name }) => [name, []]));
  for (let round = 0; round < rounds; round++) {
    const rotated = subjects.map((_, i) => subjects[(round + i) % subjects.length]);
    for (const subject of round % 2 === 0 ? rotated : rotated.toReversed()) {
      rates.get(subject.name).push(await turn(subject, settings, numBlocks));
    }
  }
  return rates;
}

/**
 * Alternates in several parts, each with new processes: where the memory of one happens to lie makes it faster or slower for as
 * long as it lives, on some machines by a fifth. A subject that is missing in one of the parts is left out of all.
 * @param onStart told of the subjects of each part
 */
export async function alternateAfresh(starters, { rounds, starts, numBlocks }, settings, onStart = () => {}) {
  const parts = [];
  for (let part = 0; part < starts; part++) {
    const count = Math.floor((rounds * (part + 1)) / starts) - Math.floor((rounds * part) / starts);
    if (count === 0) continue;
    const subjects = await startAll(starters, settings);
    onStart(subjects);
    parts.push(await alternate(subjects, count, settings, numBlocks));
    await closeAll(subjects);
  }
  const names = [...(parts[0]?.keys() ?? [])].filter((name) => parts.every((part) => part.has(name)));
  return new Map(names.map((name) => [name, parts.flatMap((part) => part.get(name))]));
}

/** Which of the names has the greatest median; undefined when none took part. */
export const fastest = (rates, names) =>
  names.filter((name) => rates.has(name)).sort((a, b) => median(rates.get(b)) - median(rates.get(a)))[0];

/** One subject's rates over another's, round by round. */
export function ratio(rates, of, to) {
  const list = rates.get(of).map((rate, i) => rate / rates.get(to)[i]);
  return { of, to, ...estimate(list) };
}

export const rateText = (rate) => rate.toLocaleString('en', { maximumFractionDigits: rate < 100 ? 1 : 0 });
