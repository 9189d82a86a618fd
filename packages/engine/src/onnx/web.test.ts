/** ONNX Runtime's WebAssembly build, as browsers run it, keeps the contract of engines. */
import { describeEngineContract } from '../testing/contract.ts';
import { createWasmEngine } from './web.ts';

// The graphs are those of the native engine, which are held against finite differences there.
describeEngineContract('onnx on WebAssembly', createWasmEngine, { samplesPerParameter: 0, batchSizes: [3] });
