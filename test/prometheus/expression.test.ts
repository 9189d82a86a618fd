/** How expressions are taken apart. */
import { describe, expect, it } from 'vitest';
import { operandsOf } from './expression.ts';

describe('operandsOf', () => {
  it.each<[string, string[]]>([
    ['up', ['up']],
    ['up == 0', ['up', '0']],
    ['rate(a_total[1m]) / 2', ['rate(a_total[1m]) / 2']],
    ['a{x="b > c and (d"} >= bool 3', ['a{x="b > c and (d"}', '3']],
    ['a - b > 0.03', ['a - b', '0.03']],
    ['(a > b) or b', ['a', 'b', 'b']],
    ['a and on (job, instance) b{s=~"x|y"} == 1', ['a', 'b{s=~"x|y"}', '1']],
    ['up == 0 unless on (job) last_over_time(c[30m]) < 60', ['up', '0', 'last_over_time(c[30m])', '60']],
    ['a < ignoring (x) group_left (y) b', ['a', 'b']],
    ['lockstep_or_and_total', ['lockstep_or_and_total']],
    ['instance:or:rate != 1', ['instance:or:rate', '1']],
    ['time() - (a or b) > c', ['time() - (a or b)', 'a', 'b', 'c']],
    ['sum by (x) (rate(a[1m])) > 0', ['sum by (x) (rate(a[1m]))', '0']],
    ['((a))', ['a']],
  ])('%s', (expression, operands) => {
    expect(operandsOf(expression)).toEqual(operands);
  });

  it('refuses a comparison that it cannot take out', () => {
    expect(() => operandsOf('sum(a > 1)')).toThrow(/Compare outside/);
    expect(() => operandsOf('2 * (a > 1)')).toThrow(/Compare outside/);
  });
});
