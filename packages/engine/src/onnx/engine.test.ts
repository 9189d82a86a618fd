import { describeEngineContract } from '../testing/contract.ts';
import { createOnnxEngine, createOnnxEngineWith } from './node.ts';

describeEngineContract('onnx', createOnnxEngine);

// As on processors for which ONNX Runtime has no blocked convolutions.
describeEngineContract('onnx, convolutions as products of matrices', (config) =>
  createOnnxEngineWith(config, undefined),
);
