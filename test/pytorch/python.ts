/** The interpreter that has PyTorch, for tests that need one. */
import { findTorch } from '../../packages/bench/src/torch-python.ts';

/** Undefined where there is none. */
export const torchPython = (await findTorch(undefined, process.env, undefined))?.python;
