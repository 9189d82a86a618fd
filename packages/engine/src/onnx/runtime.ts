/** What the engine needs of an ONNX Runtime, whichever build of it: native in Node.js, WebAssembly or WebGPU in a browser. */
import type { InferenceSession, TensorConstructor } from 'onnxruntime-common';
import type { Block } from './blocked.ts';

/** What graphs are made of, since not every operator exists, or is fast, everywhere. */
export interface Dialect {
  /** Of blocked convolutions; undefined where there are none. */
  readonly block: Block | undefined;
  /**
   * Whether the graph runs on a GPU: then no value is an integer of 64 bits and no operator lacks a kernel in ONNX
   * Runtime's WebGPU provider, and parameters and results each cross the bus in one piece.
   */
  readonly gpu: boolean;
}

/** Dialect of a GPU. */
export const gpuDialect: Dialect = { block: undefined, gpu: true };

export interface OnnxRuntime {
  /** What its sessions compute on. */
  readonly device: string;
  readonly Tensor: TensorConstructor;
  readonly dialect: Dialect;
  /** Whether outputs can stay in the device's own memory and be fed to other sessions. */
  readonly keeps: boolean;
  /**
   * Opens a session over an ONNX file.
   * @param keep whether its outputs stay in the device's own memory; only where `keeps` says that they can
   */
  open(graph: Uint8Array, keep: boolean): Promise<InferenceSession>;
  /** Frees the memory of a copy that nobody needs. */
  release(array: { readonly buffer: ArrayBufferLike }): void;
}
