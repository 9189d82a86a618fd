import { describe, expect, it } from 'vitest';
import { MessagePieces, releaseWhole } from './release.ts';

const LONG = 16 * 1024;

describe('releaseWhole', () => {
  it('frees a long array that has its memory to itself, and no other', () => {
    const whole = new Uint8Array(LONG);
    const short = new Uint8Array(LONG - 1);
    const part = new Uint8Array(new ArrayBuffer(LONG + 1), 0, LONG);
    const shared = new Uint8Array(new SharedArrayBuffer(LONG));
    for (const array of [whole, short, part, shared]) releaseWhole(array);
    expect([whole, short, part, shared].map(({ length }) => length)).toEqual([0, LONG - 1, LONG, LONG]);
  });
});

describe('MessagePieces', () => {
  const SIZE = 16 * 1024;
  const piece = (): Uint8Array => new Uint8Array(SIZE);

  it('frees what lies wholly inside a message, and keeps what others may have a part in', () => {
    const pieces = new MessagePieces();
    const [first, second, third, last, behind] = [piece(), piece(), piece(), piece(), piece()];
    for (const each of [first, second, third]) pieces.came(each);
    // Ends in the fourth piece, where the next one begins.
    pieces.ended();
    pieces.came(last);
    expect([first, second, third, last].map(({ length }) => length)).toEqual([SIZE, 0, 0, SIZE]);
    pieces.came(behind);
    pieces.ended();
    expect([first, last, behind].map(({ length }) => length)).toEqual([SIZE, SIZE, 0]);
  });

  it('frees nothing where several messages end in one piece', () => {
    const pieces = new MessagePieces();
    const first = piece();
    pieces.ended();
    pieces.ended();
    pieces.came(first);
    pieces.ended();
    expect(first.length).toBe(SIZE);
  });
});
