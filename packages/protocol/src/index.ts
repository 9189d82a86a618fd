/** What a run tells the world. */
export {
  type DatasetEvent,
  type DoneEvent,
  type EpochEvent,
  type ErrorEvent,
  type ModelEvent,
  type ProgressEvent,
  runEvent,
  type StepEvent,
  type TrainEvent,
  type WorkerEvent,
} from './events.ts';
