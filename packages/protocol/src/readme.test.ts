/** Holds the README to what the code does: its examples, and its tables of fields, close codes and events. */
import { readFileSync } from 'node:fs';
import {
  coveringNodes,
  loadKernels,
  pack,
  packedBytes,
  packSparse,
  purposes,
  RandomStream,
  Region,
  Rounding,
  ShardPlan,
  unpackSparse,
  type WireFormat,
} from '@lockstep/core';
import { parseTopology, zoo } from '@lockstep/engine';
import { describe, expect, it } from 'vitest';
import { closeCodes, shouldRetry } from './close.ts';
import { runEvent } from './events.ts';
import { decodeFromCoordinator, encodeFrame } from './frame.ts';
import { describeJob, layoutHash, parseJob } from './job.ts';
import { coordinatorMessage, workerMessage } from './messages.ts';
import { PROTOCOL_VERSION, SUBPROTOCOL } from './version.ts';

const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8');

/** Lines of the code block of this language. */
function block(language: string): string[] {
  const found = new RegExp(`^\`\`\`${language}\n(.*?)\n\`\`\`$`, 'ms').exec(readme);
  expect(found, `a block of ${language}`).not.toBeNull();
  return found![1]!.split('\n');
}

/** Cells of the table that stands under a heading, without its head and without backticks. */
function table(heading: string): string[][] {
  const section = readme.split(/^#+ /m).find((text) => text.startsWith(`${heading}\n`));
  const rows = section?.split('\n').filter((line) => line.startsWith('|')) ?? [];
  return rows.slice(2).map((row) =>
    row
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim().replaceAll('`', '')),
  );
}

/** Lines of examples: a JSON object of what is given, and a JSON array of what follows. */
const examples = (language: string): { given: Record<string, number>; result: number[] }[] =>
  block(language).map((line) => {
    const at = line.indexOf('} ') + 1;
    return { given: JSON.parse(line.slice(0, at)), result: JSON.parse(line.slice(at)) };
  });

describe('the README', () => {
  it('is of this version', () => {
    expect(readme).toContain(`protocol version ${PROTOCOL_VERSION} `);
    expect(readme).toContain(`\`${SUBPROTOCOL}\``);
    expect(readme).toMatch(new RegExp(`\\| \`hello\` +\\| \`protocol\` +\\| count +\\| ${PROTOCOL_VERSION} +\\|`));
    expect(readme).toMatch(new RegExp(`^\\| \`protocol\` +\\| ${PROTOCOL_VERSION} +\\|`, 'm'));
  });
});

describe('an example of the README', () => {
  it('is a frame, byte by byte', () => {
    const hex = block('hex').map((line) => line.split(';')[0]!.replaceAll(' ', ''));
    const bytes = Buffer.from(hex.join(''), 'hex');
    const { message, payload } = decodeFromCoordinator(bytes);
    expect(message).toEqual({ type: 'parameters', runStep: 3 });
    expect([...new Float32Array(Uint8Array.from(payload).buffer)]).toEqual([1, -2.5]);
    expect(Buffer.from(encodeFrame(message, [payload]))).toEqual(bytes);
  });

  it('is the hash of a layout', () => {
    const [text, hash] = block('layout');
    const { parameters } = parseTopology(zoo.mlp!.topology).layout;
    expect(JSON.parse(text!)).toEqual(parameters.map(({ name, shape, kind }) => [name, shape, kind]));
    expect(layoutHash(parameters)).toBe(hash);
  });

  it('is the order of a shard', () => {
    for (const { given, result } of examples('orders')) {
      const plan = new ShardPlan(given.samples!, given.shards!, given.shards!);
      expect([...plan.epochOrder(given.seed!, given.epoch!, given.shard!)]).toEqual(result);
    }
  });

  it('is the nodes that cover a range', () => {
    for (const { given, result } of examples('nodes')) {
      expect(coveringNodes({ from: given.from!, to: given.to! }, given.shards!)).toEqual(result);
    }
  });
});

it('packs a part of a sum as the README describes it', () => {
  for (const line of block('sparse')) {
    const at = line.indexOf('} ') + 1;
    const { weights, indices, values, behind } = JSON.parse(line.slice(0, at));
    const sums = {
      indices: Uint32Array.from(indices),
      values: Float32Array.from(values),
      tail: Float32Array.from(behind),
    };
    const packed = packSparse(sums);
    expect(Buffer.from(packed).toString('hex')).toBe(line.slice(at).trim());
    expect(unpackSparse(packed, indices.length, weights, weights + behind.length)).toEqual(sums);
  }
});

describe('rounding as the README describes it', () => {
  const LENGTH = 300;
  const region = new Region();
  const [vector, packed] = [region.floats(LENGTH), region.floats(LENGTH)];
  const memory = region.allocate('private');
  const kernels = loadKernels(memory);

  function roundAndPack(format: WireFormat, seed: number, runStep: number, node: number, values: readonly number[]) {
    const { length } = values;
    const view = new Float32Array(memory.buffer, vector, length);
    view.set(values);
    new Rounding(kernels, { format, seed, runStep, numWeights: length }).round(node, vector, 0, length);
    pack(kernels, format, packed, vector, length, { from: 0, to: length });
    const bytes = new Uint8Array(memory.buffer, packed, packedBytes(format, length, length));
    return { rounded: [...view], packed: Buffer.from(bytes) };
  }

  /** The text, word by word, for one block that is neither zero nor infinite. */
  function byTheText(format: WireFormat, keys: readonly [number, number], block: readonly number[], first: number) {
    const f = Math.fround;
    const bitsOf = (value: number): number => new Uint32Array(Float32Array.of(value).buffer)[0]!;
    const floatOf = (bits: number): number => new Float32Array(Uint32Array.of(bits).buffer)[0]!;
    const most = block.map((value) => bitsOf(Math.abs(value))).reduce((a, b) => Math.max(a, b));
    const field = most >>> 23;
    return block.map((value, i) => {
      let r = (Math.imul(first + i, 0x9e3779b9) + keys[0]) | 0;
      r = Math.imul(r ^ (r >>> 16), 0x21f0aaad);
      r = Math.imul(r ^ (r >>> 15) ^ keys[1], 0x735a2d97);
      r = (r ^ (r >>> 15)) >>> 0;
      if (format === 'int8') {
        const scale = 2 ** (field - 6 + ((most & 0x7fffff) > 0x7e0000 ? 1 : 0) - 127);
        return Math.floor(f(f(value / scale) + (r >>> 16) / 2 ** 16)) * scale;
      }
      const sign = Object.is(Math.sign(value), -0) || value < 0 ? -1 : 1;
      const least = 2 ** (field - 127 - 28);
      if (Math.abs(value) < least) return sign * (f(((r >>> 8) / 2 ** 24) * least) < Math.abs(value) ? least : 0);
      return sign * floatOf((bitsOf(Math.abs(value)) + (r >>> 19)) & ~0x1fff);
    });
  }

  it.each(['fp16', 'int8'] as const)('gives the values of the kernels: %s', (format) => {
    const random = new RandomStream(4, purposes.jitter, 0, 0, 0);
    const values = Array.from({ length: LENGTH }, () => Math.fround(random.normal() * 10 ** (4 * random.normal())));
    const stream = new RandomStream(9, purposes.rounding, 70_000, 12, 0);
    const keys = [stream.uint32(), stream.uint32()] as const;
    const expected = [
      ...byTheText(format, keys, values.slice(0, 256), 0),
      ...byTheText(format, keys, values.slice(256), 256),
    ];
    expect(roundAndPack(format, 9, 70_000, 12, values).rounded).toEqual(expected);
  });

  it('packs as in the examples', () => {
    for (const line of block('rounding')) {
      const at = line.indexOf('} ') + 1;
      const { format, seed, runStep, node, values } = JSON.parse(line.slice(0, at));
      expect(roundAndPack(format, seed, runStep, node, values).packed.toString('hex')).toBe(line.slice(at).trim());
    }
  });
});

describe('a table of the README', () => {
  it.each([
    ['From the worker', workerMessage],
    ['From the coordinator', coordinatorMessage],
  ] as const)('has every field of every message: %s', (heading, schema) => {
    let message = '';
    const documented = table(heading).map(([name, field]) => {
      message = name || message;
      return `${message}.${field}`;
    });
    const fields = schema.options.flatMap(({ shape }) =>
      Object.keys(shape)
        .filter((field) => field !== 'type')
        .map((field) => `${shape.type.value}.${field}`),
    );
    expect(documented).toEqual(fields);
  });

  it('has every field of a job', () => {
    const partitions = ['0'.repeat(64)];
    const augmentation = { flip: false, shift: 0, erase: 0 };
    const settings = { labelSmoothing: 0, augmentation, topk: 1, seed: 0, numSamples: 1, numShards: 1, batchSize: 1 };
    const job = parseJob(describeJob({ topology: {}, ...settings, partitions }));
    expect(table('Job').map(([field]) => field)).toEqual(Object.keys(job));
  });

  it('has every close code, and whether to dial again', () => {
    const codes = Object.entries(closeCodes).map(([name, code]) => [`${code}`, name, shouldRetry(code) ? 'yes' : 'no']);
    expect(table('Close codes').map(([code, name, _, retry]) => [code, name, retry])).toEqual(codes);
  });

  it('has every event', () => {
    const events = runEvent.options.map(({ shape }) => shape.event.value);
    expect(
      table('Events')
        .map(([event]) => event)
        .sort(),
    ).toEqual(events.sort());
  });
});
