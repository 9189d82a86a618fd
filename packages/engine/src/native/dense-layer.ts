/** Dense layers: a product forward, two backward. */
import { reluGradient, sumPartsOfRows, transpose } from './elementwise.ts';
import { multiply, type Product } from './gemm.ts';
import { channelShape, type Shape3 } from './parameters.ts';
import { type Buffer, type Program, padded, WIDEST } from './program.ts';
import type { Layer, Node, Place } from './rule.ts';
import { type RowsTogether, SparseMatrix } from './sparse.ts';

const FLOAT_BYTES = Float32Array.BYTES_PER_ELEMENT;

/** Rows of the input that stay in the cache while the kernel goes by. */
const CHUNK_ROWS = 64;

/** Width and depth of products from which it can pay to leave out zeros. */
const MIN_SPARSE = 64;

export function dense(node: Node<'dense'>, { parameters, inputs: [input], relu: rectified, wanted }: Place): Layer {
  const { positions, outer, channels, room } = input!;
  const units = node.shape.at(-1)!;
  const columns = padded(units);
  const depth = outer * room;
  const shape: Shape3 = { outer, inner: channels, columns: units, innerRoom: room, columnsRoom: columns };
  const kernel = parameters.place(node.kernel, shape);
  const bias = node.bias === undefined ? undefined : parameters.place(node.bias, channelShape(units));
  const transposed = wanted[0]
    ? parameters.derive(depth * columns, (p, into) => transpose(p, depth, columns, into, depth, kernel, columns))
    : undefined;
  const [inputRow, outputRow] = [depth * FLOAT_BYTES, columns * FLOAT_BYTES];
  const mayBeSparse = depth % WIDEST === 0 && depth >= MIN_SPARSE && columns >= MIN_SPARSE;
  const sparse = (p: Program, from: Buffer, rows: number, columns: number): SparseMatrix | undefined =>
    mayBeSparse ? new SparseMatrix(p, { from, rows, columns }) : undefined;
  /** Neighbours in a picture are black together; channels have nothing in common. */
  const together: RowsTogether = room === 1 ? 2 : 1;
  return {
    arrangement: { positions, outer: 1, channels: units, room: columns },
    forward: (run, [from]) => {
      const { p, count } = run;
      const rows = count * positions;
      const parts = run.counts.map((samples) => samples * positions);
      const output = p.borrow(rows * columns);
      const product: Product = {
        rows,
        columns,
        depth: [{ count: depth, left: FLOAT_BYTES, right: outputRow }],
        leftRows: inputRow,
        intoRow: outputRow,
        start: bias ?? 'zero',
        relu: rectified,
      };
      const matrix = sparse(p, from!, rows, depth);
      p.point<[number, number, number]>([output, from!, kernel], (into, left, right) => {
        const densely = (): void =>
          p.strips(
            rows,
            CHUNK_ROWS,
            [
              [into, outputRow],
              [left, inputRow],
            ],
            (rows) => multiply(p, into, left, right, { ...product, rows }),
          );
        if (matrix) matrix.multiply(into, left, right, product, densely);
        else densely();
      });
      const backward = (gradient: Buffer): (Buffer | undefined)[] => {
        let slope = gradient;
        if (rectified) {
          slope = p.borrow(rows * columns);
          reluGradient(p, rows * columns, slope, gradient, output);
        }
        const kernelProduct: Product = {
          rows: depth,
          columns,
          depth: [{ count: rows, left: inputRow, right: outputRow }],
          parts,
          order: 'rows',
          leftRows: FLOAT_BYTES,
          intoRow: outputRow,
          start: 'zero',
        };
        p.point<[number, number, number]>([run.produce(node.kernel, shape), from!, slope], (into, left, right) => {
          const densely = (): void => multiply(p, into, left, right, kernelProduct);
          if (matrix) matrix.multiplyTransposed(into, left, right, kernelProduct, together, densely);
          else densely();
        });
        if (node.bias !== undefined) {
          sumPartsOfRows(p, parts, columns, run.produce(node.bias, channelShape(units)), slope);
        }
        const back = transposed && p.borrow(rows * depth);
        if (transposed && back) {
          const backProduct: Product = {
            rows,
            columns: depth,
            depth: [{ count: columns, left: FLOAT_BYTES, right: inputRow }],
            leftRows: outputRow,
            intoRow: inputRow,
            start: 'zero',
          };
          // A ReLU lets half of it through, and dropout less.
          const slopes = rectified ? sparse(p, slope, rows, columns) : undefined;
          p.point<[number, number, number]>([back, slope, transposed], (into, left, right) => {
            const densely = (): void => multiply(p, into, left, right, backProduct);
            if (slopes) slopes.multiply(into, left, right, backProduct, densely);
            else densely();
          });
        }
        if (slope !== gradient) p.giveBack(slope);
        return [back];
      };
      return { output, backward };
    },
  };
}
