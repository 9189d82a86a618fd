/** A lane of a tab: a Web Worker with an engine of its own. */
import { type LaneScope, serveLane } from '@lockstep/worker/browser';

serveLane(self as unknown as LaneScope);
