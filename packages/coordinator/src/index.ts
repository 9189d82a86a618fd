/** The run: `train()` yields events; `evaluate()`, `predict()` and `exportRun()` use the weights that it saved. */
export {
  dataOptions,
  resolveConfig,
  type TrainConfig,
  type TrainOptions,
  trainOptions,
} from './config.ts';
export { type EvaluateOptions, type EvaluationReport, evaluate, evaluateOptions } from './evaluate.ts';
export { type ExportOptions, type ExportReport, exportOptions, exportRun } from './export-run.ts';
export { type LoadedModel, loadModel } from './model.ts';
export { type MetricDefinition, metricDefinitions } from './observe/index.ts';
export { unwritableOutput, writeNewFolder } from './output-files.ts';
export {
  type PictureFailure,
  type PicturePrediction,
  type PredictContext,
  type Prediction,
  type PredictOptions,
  predict,
  predictOptions,
} from './predict.ts';
export type { ClassScores, ScoreReport, Scores } from './scores.ts';
export type { RunContext } from './setup.ts';
export { train } from './train.ts';
export { VERSION } from './version.ts';
export { isTopk, type WireSetting, wireSetting } from './wire-choice.ts';
