/** Tokens in the fragment of an address. */
import { expect, it } from 'vitest';
import { fragmentWith, tokenIn } from './token.ts';

it.each(['abcdefgh', 'a+b/c=d&e#f%g', '"quoted"~^'])('carries %s', (token) => {
  expect(tokenIn(new URL(fragmentWith(token), 'http://here/join').hash)).toBe(token);
});

it.each(['', '#', '#token=', '#other=1'])('finds none in "%s"', (hash) => expect(tokenIn(hash)).toBe(undefined));
