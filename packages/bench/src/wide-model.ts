/** A model of any size, for measurements to which only its size matters. */

const NUM_PIXELS = 784;
const NUM_CLASSES = 10;

/** A dense net with one hidden layer and about so many parameters, as Keras writes it. */
export function wideModel(numParameters: number): unknown {
  // Per unit: its weights, its bias, and its weights to the classes.
  const units = Math.max(1, Math.round((numParameters - NUM_CLASSES) / (NUM_PIXELS + 1 + NUM_CLASSES)));
  const layers = [
    { class_name: 'Flatten', config: { name: 'flatten', batch_input_shape: [null, 28, 28, 1] } },
    { class_name: 'Dense', config: { name: 'dense', units, activation: 'relu' } },
    { class_name: 'Dense', config: { name: 'dense_1', units: NUM_CLASSES, activation: 'softmax' } },
  ];
  return { class_name: 'Sequential', config: { name: 'wide', layers } };
}
