/**
 * Residual networks (He and others, 2016; their shape after Page's ResNet-9, 2018) and how to train them well. A stage halves
 * the picture and doubles the channels, then adds a pair of convolutions with a shortcut. The stem before the stages halves the
 * picture as well in the quick one, and leaves it as fine as it is in the other: as many parameters, four times the work.
 */
import { FunctionalModel } from './keras-json.ts';
import { defaultRecipe, type ZooModel } from './recipe.ts';

/** Of the stem, which has no shortcut, and of two stages. */
const CHANNELS = [32, 64, 128];

/** Half-lives of a few hundred steps: the moving statistics must settle within a short run. */
const MOMENTUM = 0.9;

function build(name: string, stem: 'pooled' | 'fine'): unknown {
  const model = new FunctionalModel(name);
  const convolution = (layer: string, input: string, filters: number): string =>
    model.layer('Conv2D', layer, [input], {
      filters,
      kernel_size: [3, 3],
      padding: 'same',
      use_bias: false,
      kernel_initializer: 'he_normal',
    });
  const normalized = (layer: string, input: string): string => {
    const normalization = model.layer('BatchNormalization', `${layer}_bn`, [input], {
      momentum: MOMENTUM,
      epsilon: 1e-5,
    });
    return model.layer('Activation', `${layer}_relu`, [normalization], { activation: 'relu' });
  };
  let x = model.input([28, 28, 1]);
  CHANNELS.forEach((filters, i) => {
    const stage = i === 0 ? 'stem' : `stage${i}`;
    x = convolution(`${stage}_conv`, x, filters);
    // Pooling comes first: normalizing and rectifying a quarter of the pixels costs a quarter.
    if (i > 0 || stem === 'pooled') x = model.layer('MaxPooling2D', `${stage}_pool`, [x], { pool_size: [2, 2] });
    x = normalized(stage, x);
    if (i === 0) return;
    let branch = normalized(`${stage}_branch1`, convolution(`${stage}_branch1_conv`, x, filters));
    branch = normalized(`${stage}_branch2`, convolution(`${stage}_branch2_conv`, branch, filters));
    x = model.layer('Add', `${stage}_add`, [x, branch]);
  });
  x = model.layer('GlobalAveragePooling2D', 'pool', [x]);
  return model.finish(model.layer('Dense', 'classifier', [x], { units: 10, activation: 'softmax' }));
}

export const resnet: ZooModel = {
  topology: build('resnet', 'pooled'),
  recipe: {
    ...defaultRecipe,
    epochs: 20,
    batchSize: 256,
    optimizer: 'muon',
    learningRate: 0.006,
    schedule: 'one-cycle',
    weightDecay: 0.01,
    labelSmoothing: 0.05,
    flip: true,
    shift: 1,
    testFlip: true,
    testShift: 1,
  },
};

/** For the last tenths, in longer training; parts of the pictures are erased, so that they are not learned by heart. */
export const resnetFine: ZooModel = {
  topology: build('resnet-fine', 'fine'),
  recipe: { ...resnet.recipe, epochs: 24, erase: 0.25 },
};
