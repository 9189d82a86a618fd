/**
 * What comes over the event stream. The coordinator that sends it has served this page, too, so it is checked only as far
 * as the page would break; the schemas themselves would be most of what a browser has to load.
 */
import type { RunStatus, TrainEvent } from '@lockstep/protocol';

export type Message = (RunStatus & { readonly event: 'status' }) | TrainEvent;

type Fields = Readonly<Record<string, unknown>>;

const isObject = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const haveNumbers = (fields: Fields, names: readonly string[]): boolean =>
  names.every((name) => Number.isFinite(fields[name]));
const haveArrays = (fields: Fields, names: readonly string[]): boolean =>
  names.every((name) => Array.isArray(fields[name]));

function isStatus(fields: Fields): boolean {
  const { curve, startId, state, result } = fields;
  if (typeof startId !== 'string' || typeof state !== 'string') return false;
  if (!haveNumbers(fields, ['runStep', 'totalSteps', 'epoch', 'fraction', 'samplesPerSecond'])) return false;
  if (!haveArrays(fields, ['classNames', 'epochs', 'members', 'log'])) return false;
  if (!isObject(fields.refused) || !isObject(fields.reassigned) || !isObject(curve)) return false;
  if (result !== undefined && !(isObject(result) && haveNumbers(result, ['testLoss', 'testAccuracy']))) return false;
  const columns = [curve.runStep, curve.loss, curve.accuracy, curve.samplesPerSecond];
  return columns.every((column) => Array.isArray(column) && column.length === (curve.runStep as unknown[]).length);
}

function isUsable(fields: Fields): boolean {
  switch (fields.event) {
    case 'status':
      return isStatus(fields);
    case 'step':
      return haveNumbers(fields, ['runStep', 'epoch', 'loss', 'accuracy']);
    case 'epoch':
      return haveNumbers(fields, ['epoch', 'testLoss', 'testAccuracy', 'trainLoss', 'trainAccuracy']);
    case 'done':
      return haveNumbers(fields, ['testLoss', 'testAccuracy']);
    default:
      return typeof fields.event === 'string';
  }
}

/** Undefined for what is no message, or lacks what the page needs of it. */
export function parseMessage(text: string): Message | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  return isObject(value) && isUsable(value) ? (value as unknown as Message) : undefined;
}
