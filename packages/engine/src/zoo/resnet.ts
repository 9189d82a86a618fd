/**
 * A small residual network (He et al., 2016) with batch normalization: a stem, three stages of one basic block with 16,
 * 32 and 64 channels, global average pooling. About 78,000 parameters.
 */
import { FunctionalModel } from './keras-json.ts';

const STAGES = [
  { channels: 16, stride: 1 },
  { channels: 32, stride: 2 },
  { channels: 64, stride: 2 },
] as const;

/** Half-lives of a few hundred steps: the moving statistics must settle within a short run. */
const MOMENTUM = 0.9;

function build(): unknown {
  const model = new FunctionalModel('resnet');
  const convolution = (name: string, input: string, filters: number, size: number, stride: number): string =>
    model.layer('Conv2D', name, [input], {
      filters,
      kernel_size: [size, size],
      strides: [stride, stride],
      padding: 'same',
      use_bias: false,
      kernel_initializer: 'he_normal',
    });
  const normalization = (name: string, input: string): string =>
    model.layer('BatchNormalization', name, [input], { momentum: MOMENTUM, epsilon: 1e-5 });
  const relu = (name: string, input: string): string =>
    model.layer('Activation', name, [input], { activation: 'relu' });

  let x = convolution('stem_conv', model.input([28, 28, 1]), 16, 3, 1);
  x = relu('stem_relu', normalization('stem_bn', x));
  STAGES.forEach(({ channels, stride }, i) => {
    const stage = `stage${i + 1}`;
    let branch = convolution(`${stage}_conv1`, x, channels, 3, stride);
    branch = relu(`${stage}_relu1`, normalization(`${stage}_bn1`, branch));
    branch = normalization(`${stage}_bn2`, convolution(`${stage}_conv2`, branch, channels, 3, 1));
    const shortcut =
      stride === 1
        ? x
        : normalization(`${stage}_shortcut_bn`, convolution(`${stage}_shortcut`, x, channels, 1, stride));
    x = relu(`${stage}_relu2`, model.layer('Add', `${stage}_add`, [shortcut, branch]));
  });
  x = model.layer('GlobalAveragePooling2D', 'pool', [x]);
  return model.finish(model.layer('Dense', 'classifier', [x], { units: 10, activation: 'softmax' }));
}

export const resnet = build();
