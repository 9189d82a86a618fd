import { describe, expect, it } from 'vitest';
import { supportedActivations } from '../topology/keras.ts';
import { supportedLayers } from '../topology/layers.ts';
import { contractModels, tieModel } from './models.ts';

describe('contractModels', () => {
  it('use every supported layer and activation, so that no engine can leave one out', () => {
    const json = JSON.stringify([...contractModels, tieModel]);
    for (const name of supportedLayers) expect(json).toContain(`"class_name":"${name}"`);
    for (const name of supportedActivations) expect(json).toContain(`"activation":"${name}"`);
  });
});
