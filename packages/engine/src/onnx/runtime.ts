/** What the engine needs of an ONNX Runtime, whichever build of it: native in Node.js, WebAssembly or WebGPU in a browser. */
import type { InferenceSession, TensorConstructor } from 'onnxruntime-common';
import type { Block } from './blocked.ts';

export interface OnnxRuntime {
  /** What its sessions compute on. */
  readonly device: string;
  readonly Tensor: TensorConstructor;
  /** Of its blocked convolutions; undefined where it has none. */
  readonly block: Block | undefined;
  /** Opens a session over an ONNX file. */
  open(graph: Uint8Array): Promise<InferenceSession>;
  /** Frees the memory of a copy that nobody needs. */
  release(array: { readonly buffer: ArrayBufferLike }): void;
}
