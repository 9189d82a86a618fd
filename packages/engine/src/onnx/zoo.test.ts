// The contract on the models of the zoo, where sums are long and mistakes of rounding would show. In small batches and with
// few finite differences, because the reference and tf.js in plain JavaScript take a tenth to some seconds a picture.
import { describeEngineContract } from '../testing/contract.ts';
import { type ZooName, zoo } from '../zoo/recipes.ts';
import { createOnnxEngine } from './node.ts';

const models = (...names: ZooName[]) => names.map((name) => ({ name, topology: zoo[name].topology }));

describeEngineContract('onnx (dense and convolutional nets of the zoo)', createOnnxEngine, {
  models: models('mlp', 'cnn'),
  samplesPerParameter: 1,
  batchSizes: [2, 1],
});

// A coordinate at a time would take the reference a minute. In these batches no input of a ReLU is so
// close to zero that float32 puts it on the other side, which would change the gradient by up to 1e-2.
describeEngineContract('onnx (residual net of the zoo)', createOnnxEngine, {
  models: models('resnet'),
  samplesPerParameter: 0,
  batchSizes: [2, 1],
});
