import { describeEngineContract } from '../testing/contract.ts';
import { createOnnxEngine } from './engine.ts';

describeEngineContract('onnx', createOnnxEngine);
