/** The algorithm of Lockstep with no I/O and no clock. */
export { type Augmentation, augment, isAugmented, mirror, move } from './augment.ts';
export { ErrorFeedback } from './error-feedback.ts';
export { type ErrorCode, invariant, LockstepError } from './errors.ts';
export { drawHeldOut } from './hold-out.ts';
export { glorotUniform, type Initializer, initializeParameters, ones, zeros } from './initializers.ts';
export { type KernelFunctions, loadKernels, Region } from './kernels.ts';
export { type Parameter, ParameterLayout, type ParameterSpec } from './layout.ts';
export {
  averageDecay,
  matricesOf,
  matrixScratch,
  numOptimizerSlots,
  type OptimizerConfig,
  type OptimizerName,
  optimizerDefaults,
  optimizerNames,
  type StatePointers,
  type UpdateScalars,
  updateDirections,
  updateSlice,
} from './optimizers.ts';
export { purposes, RandomStream } from './random.ts';
export { BLOCK_LENGTH, reduceBlocks } from './reduction.ts';
export { freePieces, release, releaseWhole } from './release.ts';
export {
  decodeSafetensors,
  encodeSafetensors,
  fillFromTensors,
  type NamedTensor,
  type TensorFile,
  tensorsOf,
} from './safetensors.ts';
export { learningRateAt, type Schedule, type ScheduleName, scheduleNames } from './schedules.ts';
export { type Range, ShardPlan } from './shards.ts';
export { numEntries, packSparse, type SparseSums, unpackSparse } from './sparse.ts';
export {
  type Addition,
  coveringNodes,
  type Operand,
  planReduction,
  type Reduction,
  ROOT,
  shardsUnder,
  sumsUnder,
} from './tree.ts';
export {
  BROADCAST,
  changeFormat,
  pack,
  packedBytes,
  Rounding,
  type RoundingTerms,
  SLICE_UNIT,
  type SumFormat,
  slicedBytes,
  slicesOf,
  unpack,
  type WireFormat,
  wireFormats,
} from './wire.ts';
