/**
 * Batch normalization of rows of channels, with a ReLU behind it if there is one. Sums go over the rows of one part (a picture)
 * after the other, and then over the parts: shorter sums, smaller errors.
 */
import { at, type Register, type Vector } from './assembler.ts';
import type { Buffer, Move, Program } from './program.ts';

const FLOAT_BYTES = Float32Array.BYTES_PER_ELEMENT;

export interface Rows {
  /** Pictures, and pixels of each. */
  readonly count: number;
  readonly pixels: number;
  /** Filled up. */
  readonly channels: number;
}

/** Vectors of channels that are done at a time: as many as registers allow. */
const vectorsOf = (p: Program): number => (p.asm.isa === 'avx512' ? 4 : 2);

const numRows = ({ count, pixels }: Rows): number => count * pixels;

/** Goes over vectors of channels, some at a time; `pointers` move on with them. */
function channelStrips(
  p: Program,
  { channels }: Rows,
  pointers: readonly Register[],
  body: (vectors: number) => void,
): void {
  p.strips(
    channels / p.lanes,
    vectorsOf(p),
    pointers.map((pointer): Move => [pointer, p.vectorBytes]),
    body,
  );
}

/**
 * Sums over all rows of terms, for some vectors of channels.
 * @param parts first of the vectors for the sums of one part @param totals and of those for the whole
 * @param accumulate adds a row's terms to the sums of its part
 */
function sumParts(
  p: Program,
  { count, pixels, channels }: Rows,
  pointers: readonly Register[],
  parts: Vector,
  totals: Vector,
  numSums: number,
  accumulate: () => void,
): void {
  const row = channels * FLOAT_BYTES;
  const each = (body: (i: number) => void): void => {
    for (let i = 0; i < numSums; i++) body(i);
  };
  each((i) => p.asm.zero(totals + i));
  p.loop(
    count,
    pointers.map((pointer): Move => [pointer, pixels * row]),
    () => {
      each((i) => p.asm.zero(parts + i));
      p.loop(
        pixels,
        pointers.map((pointer): Move => [pointer, row]),
        accumulate,
      );
      each((i) => p.asm.add(totals + i, totals + i, parts + i));
    },
  );
}

/** Parameters and statistics, each of all channels. */
interface Scaling {
  readonly gamma: Buffer | undefined;
  readonly beta: Buffer | undefined;
  readonly mean: Buffer;
  readonly variance: Buffer;
  /** Receives 1 / sqrt(variance + epsilon), and that times gamma. */
  readonly inverse: Buffer;
  readonly factor: Buffer;
}

/** Mean and population variance of each channel. */
export function statistics(p: Program, rows: Rows, from: Buffer, { mean, variance }: Scaling): void {
  const { asm, vectorBytes } = p;
  const one = asm.numVectors - 1;
  p.constant(one, 1 / numRows(rows));
  p.point<[Register, Register, Register]>([from, mean, variance], (source, means, variances) =>
    channelStrips(p, rows, [source, means, variances], (vectors) => {
      const [parts, totals, center, value] = [0, vectors, 2 * vectors, 3 * vectors];
      const each = (body: (i: number) => void): void => {
        for (let i = 0; i < vectors; i++) body(i);
      };
      sumParts(p, rows, [source], parts, totals, vectors, () =>
        each((i) => asm.add(parts + i, parts + i, at(source, i * vectorBytes))),
      );
      each((i) => {
        asm.multiply(center + i, totals + i, one);
        asm.store(at(means, i * vectorBytes), center + i);
      });
      sumParts(p, rows, [source], parts, totals, vectors, () =>
        each((i) => {
          asm.load(value + i, at(source, i * vectorBytes));
          asm.subtract(value + i, value + i, center + i);
          asm.multiplyAdd(parts + i, value + i, value + i);
        }),
      );
      each((i) => {
        asm.multiply(totals + i, totals + i, one);
        asm.store(at(variances, i * vectorBytes), totals + i);
      });
    }),
  );
}

/** Works out what the variance is divided by. */
function scales(p: Program, channels: number, epsilon: number, { gamma, variance, inverse, factor }: Scaling): void {
  const { asm } = p;
  const [value, one, small] = [0, 1, 2];
  p.constant(one, 1);
  p.constant(small, epsilon);
  const buffers = [variance, inverse, factor, ...(gamma ? [gamma] : [])];
  p.point<Register[]>(buffers, (variances, inverses, factors, gammas) =>
    p.loop(
      channels / p.lanes,
      [variances, inverses, factors, ...(gammas === undefined ? [] : [gammas])].map(
        (pointer): Move => [pointer!, p.vectorBytes],
      ),
      () => {
        asm.load(value, at(variances!));
        asm.add(value, value, small);
        asm.squareRoot(value, value);
        asm.divide(value, one, value);
        asm.store(at(inverses!), value);
        if (gammas !== undefined) asm.multiply(value, value, at(gammas));
        asm.store(at(factors!), value);
      },
    ),
  );
}

/** into = (from - mean) * factor + beta, rectified if it is to be. */
export function normalize(
  p: Program,
  rows: Rows,
  into: Buffer,
  from: Buffer,
  epsilon: number,
  scaling: Scaling,
  relu: boolean,
): void {
  const { asm, vectorBytes } = p;
  const { mean, factor, beta } = scaling;
  scales(p, rows.channels, epsilon, scaling);
  const row = rows.channels * FLOAT_BYTES;
  const most = vectorsOf(p);
  const [means, factors, offsets, value, zero] = [0, most, 2 * most, 3 * most, asm.numVectors - 1];
  asm.zero(zero);
  const buffers = [into, from, mean, factor, ...(beta ? [beta] : [])];
  p.point<Register[]>(buffers, (target, source, meanPointer, factorPointer, betaPointer) =>
    channelStrips(
      p,
      rows,
      [target!, source!, meanPointer!, factorPointer!, ...(betaPointer === undefined ? [] : [betaPointer])],
      (vectors) => {
        const each = (body: (i: number, offset: number) => void): void => {
          for (let i = 0; i < vectors; i++) body(i, i * vectorBytes);
        };
        each((i, offset) => {
          asm.load(means + i, at(meanPointer!, offset));
          asm.load(factors + i, at(factorPointer!, offset));
          if (betaPointer === undefined) asm.zero(offsets + i);
          else asm.load(offsets + i, at(betaPointer, offset));
        });
        p.loop(
          numRows(rows),
          [
            [target!, row],
            [source!, row],
          ],
          () =>
            each((i, offset) => {
              asm.load(value + i, at(source!, offset));
              asm.subtract(value + i, value + i, means + i);
              asm.multiply(value + i, value + i, factors + i);
              asm.add(value + i, value + i, offsets + i);
              // In this order, so that NaN stays.
              if (relu) asm.maximum(value + i, zero, value + i);
              asm.store(at(target!, offset), value + i);
            }),
        );
      },
    ),
  );
}

export interface NormalizationGradient {
  /** With respect to the output, before the ReLU lets it through. */
  readonly gradient: Buffer;
  /** Behind the ReLU; undefined without one. */
  readonly rectified: Buffer | undefined;
  readonly from: Buffer;
  /** Receive the gradients of gamma and beta. */
  readonly gamma: Buffer;
  readonly beta: Buffer;
  /** Receives the gradient with respect to the input; undefined if nobody wants it. */
  readonly into: Buffer | undefined;
}

/** Ioffe and Szegedy, 2015, section 3, in terms of x - mean instead of the normalized x. */
export function normalizeGradient(
  p: Program,
  rows: Rows,
  { gradient, rectified, from, gamma, beta, into }: NormalizationGradient,
  { mean, inverse, factor }: Scaling,
): void {
  const { asm, vectorBytes } = p;
  const row = rows.channels * FLOAT_BYTES;
  const [share, zero, slope, value, spare] = [1, 2, 3, 4, 5].map((i) => asm.numVectors - i) as [
    Vector,
    Vector,
    Vector,
    Vector,
    Vector,
  ];
  p.constant(share, 1 / numRows(rows));
  asm.zero(zero);
  const vectors = [from, gradient, mean, inverse, factor, gamma, beta];
  const buffers = [...vectors, ...(into ? [into] : []), ...(rectified ? [rectified] : [])];
  p.point<Register[]>(buffers, (...pointers) => {
    const [source, slopes, means, inverses, factors, gammas, betas] = pointers as [
      Register,
      Register,
      Register,
      Register,
      Register,
      Register,
      Register,
    ];
    const target = into ? pointers[vectors.length] : undefined;
    const positive = rectified ? pointers.at(-1) : undefined;
    const data = [source, slopes, ...(positive === undefined ? [] : [positive])];
    channelStrips(p, rows, pointers, (width) => {
      const [center, products, sums, productParts, slopeParts] = [0, 1, 2, 3, 4].map((i) => i * width) as [
        Vector,
        Vector,
        Vector,
        Vector,
        Vector,
      ];
      const each = (body: (i: number, offset: number) => void): void => {
        for (let i = 0; i < width; i++) body(i, i * vectorBytes);
      };
      /** Loads the gradient that the ReLU lets through, and x - mean. */
      const load = (i: number, offset: number): void => {
        asm.load(slope, at(slopes, offset));
        if (positive !== undefined) asm.select(slope, slope, 'less', zero, at(positive, offset), spare);
        asm.load(value, at(source, offset));
        asm.subtract(value, value, center + i);
      };
      each((i, offset) => asm.load(center + i, at(means, offset)));
      sumParts(p, rows, data, productParts, products, 2 * width, () =>
        each((i, offset) => {
          load(i, offset);
          asm.multiplyAdd(productParts + i, slope, value);
          asm.add(slopeParts + i, slopeParts + i, slope);
        }),
      );
      each((i, offset) => {
        asm.store(at(betas, offset), sums + i);
        asm.multiply(value, products + i, at(inverses, offset));
        asm.store(at(gammas, offset), value);
      });
      if (target === undefined) return;
      // factor * (gradient - its mean - (x - mean) * the mean of the products / variance)
      const [scale, correlation, mean] = [productParts, products, sums];
      each((i, offset) => {
        asm.load(scale + i, at(factors, offset));
        asm.multiply(mean + i, sums + i, share);
        asm.multiply(correlation + i, products + i, share);
        asm.multiply(correlation + i, correlation + i, at(inverses, offset));
        asm.multiply(correlation + i, correlation + i, at(inverses, offset));
      });
      p.loop(
        numRows(rows),
        [...data, target].map((pointer): Move => [pointer, row]),
        () =>
          each((i, offset) => {
            load(i, offset);
            asm.subtract(slope, slope, mean + i);
            asm.multiplySubtract(slope, value, correlation + i);
            asm.multiply(slope, slope, scale + i);
            asm.store(at(target, offset), slope);
          }),
      );
    });
  });
}
