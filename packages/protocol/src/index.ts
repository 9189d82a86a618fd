/** What a coordinator and its workers say to each other, and what a run tells the world. */
export { type CloseReason, closeCodes, shouldRetry } from './close.ts';
export {
  type DatasetEvent,
  type DoneEvent,
  type EpochEvent,
  type ErrorEvent,
  type ListeningEvent,
  type ModelEvent,
  type ProgressEvent,
  runEvent,
  type StepEvent,
  type TrainEvent,
  type WorkerEvent,
} from './events.ts';
export { decodeFromCoordinator, decodeFromWorker, encodeFrame, type Frame, FrameError } from './frame.ts';
export { describeJob, type JobDescription, type JobText, layoutHash, parseJob } from './job.ts';
export { type JoinEvent, joinEvent } from './join-events.ts';
export type { CoordinatorMessage, MessageOf, WorkerMessage } from './messages.ts';
export { type Invitation, type MemberStatus, type RunStatus, runStatus } from './status.ts';
export { PROTOCOL_VERSION, SUBPROTOCOL, TOKEN_SUBPROTOCOL } from './version.ts';
