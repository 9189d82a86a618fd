/** The workers of a run: who they are, and how they do a step together. */

export { realClock } from './clock.ts';
export { LOCAL, type MemberFacts } from './crew.ts';
export { Fleet, type FleetReport } from './fleet.ts';
export { MEMBERSHIP } from './membership.ts';
export { Partitions } from './partitions.ts';
export { admit } from './socket.ts';
export { TIMING } from './step-machine.ts';
export type { StepReport } from './step-report.ts';
