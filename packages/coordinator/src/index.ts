/** The run: `train()` yields events, `evaluate()` reports on saved weights. */
export {
  computeOptions,
  dataOptions,
  type TrainConfig,
  type TrainOptions,
  trainOptions,
} from './config.ts';
export { type EvaluateOptions, type EvaluationReport, evaluate } from './evaluate.ts';
export { type MetricDefinition, metricDefinitions } from './observe/index.ts';
export type { RunContext } from './setup.ts';
export { train } from './train.ts';
