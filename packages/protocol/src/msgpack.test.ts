/** Headers as other languages may write them, and as only an attacker does. */
import { describe, expect, it } from 'vitest';
import { decodeFromCoordinator, decodeFromWorker, MAX_WORKER_HEADER_BYTES } from './frame.ts';
import { checkMsgpack } from './msgpack.ts';

/** A frame around any bytes as its header. */
function frameOf(header: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(4 + header.length);
  new DataView(bytes.buffer).setUint32(0, header.length, true);
  bytes.set(header, 4);
  return bytes;
}

const text = (value: string): number[] => [0xa0 + value.length, ...Buffer.from(value)];
/** A valid pong with one more field, which a reader passes over, made of these msgpack bytes. */
const withExtra = (...extra: number[]): Uint8Array =>
  frameOf(
    Uint8Array.of(
      0x84,
      ...text('type'),
      ...text('pong'),
      ...text('sentAt'),
      5,
      ...text('at'),
      6,
      ...text('x'),
      ...extra,
    ),
  );
const pong = { type: 'pong', sentAt: 5, at: 6 };

describe('a header', () => {
  it('may write integers at any width', () => {
    const fields = [...text('type'), ...text('pong'), ...text('at'), 6, ...text('sentAt')];
    for (const five of [
      [5],
      [0xcc, 5],
      [0xcd, 0, 5],
      [0xce, 0, 0, 0, 5],
      [0xcf, 0, 0, 0, 0, 0, 0, 0, 5],
      [0xd0, 5],
      [0xd1, 0, 5],
      [0xd2, 0, 0, 0, 5],
      [0xd3, 0, 0, 0, 0, 0, 0, 0, 5],
      [0xca, 0x40, 0xa0, 0, 0],
      [0xcb, 0x40, 0x14, 0, 0, 0, 0, 0, 0],
    ]) {
      expect(decodeFromWorker(frameOf(Uint8Array.of(0x83, ...fields, ...five))).message).toEqual(pong);
    }
  });

  it('may write lengths at any width', () => {
    const lengths = (...types: number[]) => [
      [types[0]!, 0, 1],
      [types[1]!, 0, 0, 0, 1],
    ];
    for (const string of [[0xa1], [0xd9, 1], ...lengths(0xda, 0xdb)]) {
      for (const array of [[0x91], ...lengths(0xdc, 0xdd)]) {
        for (const map of [[0x81], ...lengths(0xde, 0xdf)]) {
          const extra = [...map, ...string, 0x78, ...array, ...map, ...string, 0x79, 0xc3];
          expect(decodeFromWorker(withExtra(...extra)).message).toEqual(pong);
        }
      }
    }
  });
});

describe('a header that no honest peer sends', () => {
  it.each([
    [0xc1, []],
    [0xc4, [1, 7]],
    [0xc5, [0, 1, 7]],
    [0xc6, [0, 0, 0, 1, 7]],
    [0xc7, [1, 0x40, 7]],
    [0xc8, [0, 1, 0x40, 7]],
    [0xc9, [0, 0, 0, 1, 0x40, 7]],
    [0xd4, [0x72, 0x40]],
    [0xd5, [0x40, 1, 2]],
    [0xd6, [0xff, 1, 2, 3, 4]],
    [0xd7, [0xff, 1, 2, 3, 4, 5, 6, 7, 8]],
    [0xd8, [0x40, ...new Array(16).fill(7)]],
  ])('msgpack type %i has no place in a message', (type, body) => {
    expect(() => decodeFromWorker(withExtra(type, ...body))).toThrow(`0x${type.toString(16)} has no place`);
  });

  it('an array is refused before anything of its claimed length is made', () => {
    const claims = [
      [0xdd, 0xff, 0xff, 0xff, 0xff],
      [0xdd, 0x00, 0xf4, 0x24, 0x00],
      [0xdc, 0xff, 0xff],
      [0xdf, 0xff, 0xff, 0xff, 0xff],
      [0xdf, 0x00, 0xf4, 0x24, 0x00],
      [0xde, 0xff, 0xff],
      [0x9f],
      [0x8f],
      [0xdb, 0xff, 0xff, 0xff, 0xff],
      [0xda, 0xff, 0xff],
      [0xd9, 0xff],
    ];
    const before = process.memoryUsage().heapUsed;
    for (const claim of claims) {
      const nested = Array.from({ length: 16 }, () => claim).flat();
      for (const bytes of [claim, nested, [...claim, 0xc0, 0xc0]]) {
        expect(() => checkMsgpack(Uint8Array.from(bytes))).toThrow('it ends too early');
        expect(() => decodeFromWorker(withExtra(...bytes))).toThrow('it ends too early');
      }
    }
    // 16 million elements are 128 MB.
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(64e6);
  });

  it('arrays in arrays that each claim all the rest are refused', () => {
    const header = new Uint8Array(MAX_WORKER_HEADER_BYTES).fill(0xc0);
    for (let depth = 0; depth < 16; depth++) {
      const rest = header.length - 5 * (depth + 1);
      new DataView(header.buffer).setUint8(5 * depth, 0xdd);
      new DataView(header.buffer).setUint32(5 * depth + 1, rest);
    }
    expect(() => decodeFromWorker(frameOf(header))).toThrow('it ends too early');
  });

  it('what is nested too deep is refused', () => {
    const nested = (levels: number): Uint8Array => withExtra(...new Array(levels - 1).fill(0x91), 0x90);
    expect(decodeFromWorker(nested(16)).message).toEqual(pong);
    for (const levels of [17, 30_000]) {
      expect(() => decodeFromWorker(nested(levels))).toThrow('nested deeper than 16');
    }
    expect(() => decodeFromCoordinator(frameOf(new Uint8Array(5e6).fill(0x81)))).toThrow('nested deeper than 16');
  });
});
