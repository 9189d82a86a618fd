/** The rate of a large float32 matrix product on one thread through ONNX Runtime: what the core can do, in GFLOP/s. */
import * as ort from 'onnxruntime-node';
import { serve } from './lines.js';

const SIZE = 1024;

/** Protocol buffers, as far as one MatMul needs them (onnx.proto3 of the ONNX project). */
function varint(value) {
  const bytes = [];
  for (; value > 127; value >>>= 7) bytes.push((value & 127) | 128);
  return [...bytes, value];
}
const number = (field, value) => [...varint(field << 3), ...varint(value)];
const message = (field, ...parts) => {
  const bytes = parts.flat();
  return [...varint((field << 3) | 2), ...varint(bytes.length), ...bytes];
};
const text = (field, value) => message(field, [...Buffer.from(value)]);

function matrix(field, name) {
  const dimension = message(1, number(1, SIZE));
  const type = message(1, number(1, 1), message(2, dimension, dimension)); // 1 is float32
  return message(field, text(1, name), message(2, type));
}
const product = message(1, text(1, 'a'), text(1, 'b'), text(2, 'c'), text(4, 'MatMul'));
const graph = message(7, product, text(2, 'gemm'), matrix(11, 'a'), matrix(11, 'b'), matrix(12, 'c'));
const model = Uint8Array.from([...number(1, 10), ...graph, ...message(8, number(2, 21))]);

const session = await ort.InferenceSession.create(model, { intraOpNumThreads: 1, interOpNumThreads: 1 });
const tensor = () =>
  new ort.Tensor(
    'float32',
    Float32Array.from({ length: SIZE * SIZE }, () => Math.random() - 0.5),
    [SIZE, SIZE],
  );
const feeds = { a: tensor(), b: tensor() };
const fetches = { c: tensor() };

await serve({}, async ({ seconds }) => {
  const started = performance.now();
  for (let done = 1; ; done++) {
    await session.run(feeds, fetches);
    const elapsed = (performance.now() - started) / 1000;
    if (elapsed >= seconds) return (2 * SIZE ** 3 * done) / elapsed / 1e9;
  }
});
