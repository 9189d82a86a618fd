/** Gradients: models, topologies and the engines that compute them. */
export { evaluateBothWays, predictBothWays } from './both-ways.ts';
export {
  type Engine,
  type EngineConfig,
  type EngineKind,
  type Evaluation,
  engineKinds,
  type MicroBatch,
  type RandomKey,
  type Samples,
} from './engine.ts';
export type { ExportedFile, ModelNotes, TrainedModel } from './export/description.ts';
export { type ExportFormat, exportFormats, exportModel, isFolder } from './export/export.ts';
export { chooseEngine, createEngine, type EngineChoice } from './select.ts';
export { type Network, numElements } from './topology/network.ts';
export { parseTopology } from './topology/parse.ts';
export { defaultRecipe, type Recipe, type ZooModel, type ZooName, zoo, zooNames } from './zoo/recipes.ts';
