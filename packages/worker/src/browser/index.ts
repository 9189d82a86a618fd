/** A worker in a browser tab: the thread that talks with the coordinator, and the lanes that compute for it. */
import './plain-checks.ts';

export { askStatus } from './dial.ts';
export { joinTab, type TabOptions } from './join.ts';
export { type LaneScope, serveLane } from './lane.ts';
export type { LanePort } from './lane-client.ts';
