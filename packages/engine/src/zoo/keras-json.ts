/** Writes Keras topologies in TypeScript: what `model.to_json()` would say of the same layers in Python. */

export interface KerasLayer {
  readonly class_name: string;
  readonly config: { readonly name: string; readonly [field: string]: unknown };
  readonly inbound_nodes?: readonly unknown[];
}

/** A Sequential model: one layer after the other. */
export function sequential(
  name: string,
  inputShape: readonly number[],
  layers: readonly [className: string, config?: object][],
): unknown {
  const counts = new Map<string, number>();
  const named = layers.map(([className, config], i): KerasLayer => {
    const base = className.replace(/([a-z0-9])([A-Z])/g, '$1_$2').toLowerCase();
    const count = counts.get(base) ?? 0;
    counts.set(base, count + 1);
    const first = i === 0 ? { batch_input_shape: [null, ...inputShape] } : {};
    return { class_name: className, config: { name: count === 0 ? base : `${base}_${count}`, ...first, ...config } };
  });
  return { class_name: 'Sequential', config: { name, layers: named } };
}

/** A functional model under construction: each call adds a layer and returns its name. */
export class FunctionalModel {
  readonly #name: string;
  readonly #layers: KerasLayer[] = [];

  constructor(name: string) {
    this.#name = name;
  }

  input(shape: readonly number[]): string {
    this.#layers.push({
      class_name: 'InputLayer',
      config: { name: 'input', batch_input_shape: [null, ...shape] },
      inbound_nodes: [],
    });
    return 'input';
  }

  layer(className: string, name: string, inputs: readonly string[], config: object = {}): string {
    const inbound = inputs.length === 0 ? [] : [inputs.map((input) => [input, 0, 0, {}])];
    this.#layers.push({ class_name: className, config: { name, ...config }, inbound_nodes: inbound });
    return name;
  }

  /** The topology with `output` as the model's only output. */
  finish(output: string): unknown {
    const config = {
      name: this.#name,
      layers: this.#layers.map((layer) => ({ ...layer, name: layer.config.name })),
      input_layers: [['input', 0, 0]],
      output_layers: [[output, 0, 0]],
    };
    return { class_name: 'Functional', config };
  }
}
