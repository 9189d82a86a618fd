/** Gradients: models, topologies and the engines that compute them. */
export { accelerate, findPageAdvice, type PageAdvice } from './accelerate.ts';
export { prepareDevice } from './device/environment.ts';
export { DEVICE_HELP, isDeviceName } from './device/name.ts';
export { noiseSamples } from './device/noise.ts';
export { type DeviceReport, type Survey, type SurveyOptions, surveyDevices } from './device/survey.ts';
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
export { chooseEngine, createEngine, type EngineChoice, numEngineThreads, selfTestSketch } from './select.ts';
export { compareSketches, MAX_SKETCH_LENGTH, sketchGradient } from './self-test.ts';
export { type Network, numElements } from './topology/network.ts';
export { parseTopology } from './topology/parse.ts';
export { describeViews, evaluateViews, isPlain, PLAIN_VIEW, predictViews, type Views } from './views.ts';
export { defaultRecipe, learningRateFor, type Recipe, type ZooModel } from './zoo/recipe.ts';
export { recipeNames, recipes, type ZooName, zoo, zooNames } from './zoo/recipes.ts';
