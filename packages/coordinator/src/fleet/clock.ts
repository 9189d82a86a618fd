/** Time, so that a simulation can bring its own. */

export interface Clock {
  /** Milliseconds; never goes back. */
  now(): number;
  /** What `now` must be added to for milliseconds since 1970. */
  readonly origin: number;
  /** Calls `action` once after some time. Returns how to call it off. */
  after(ms: number, action: () => void): () => void;
}

export const realClock: Clock = {
  now: () => performance.now(),
  origin: performance.timeOrigin,
  after: (ms, action) => {
    const timer = setTimeout(action, ms);
    return () => clearTimeout(timer);
  },
};
