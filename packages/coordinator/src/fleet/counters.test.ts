import { expect, it } from 'vitest';
import { Counters } from './counters.ts';

it('counts by reason', () => {
  const counters = new Counters();
  expect(counters.get('late')).toBe(0);
  counters.add('late');
  counters.add('late', 3);
  counters.add('lost');
  expect(counters.get('late')).toBe(4);
  expect(JSON.parse(JSON.stringify(counters))).toEqual({ late: 4, lost: 1 });
});
