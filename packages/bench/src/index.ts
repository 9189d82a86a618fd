/** Benchmarks: how fast, how well it scales, and whether that became worse. */
export { benchAccuracy } from './accuracy.ts';
export { accuracyText, reachedText, timeRatioText } from './accuracy-markdown.ts';
export { accuracyRatios, accuracyRows, subjectName } from './accuracy-rows.ts';
export { benchAggregate } from './aggregate.ts';
export type { BenchContext } from './context.ts';
export { benchEngines } from './engines.ts';
export type { BenchEvent } from './events.ts';
export { describeNetwork } from './network-description.ts';
export {
  type AccuracyOptions,
  type AggregateOptions,
  accuracyOptions,
  aggregateOptions,
  type BenchOptions,
  benchOptions,
  type EnginesOptions,
  enginesOptions,
} from './options.ts';
export { checkFolder, defaultFolder, writeReport } from './output.ts';
export { type BenchReport, benchReport } from './report.ts';
export { estimate, median } from './statistics.ts';
export { benchTraining } from './training.ts';
export { lawsOf } from './training-markdown.ts';
