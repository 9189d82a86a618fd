/** Keeps the screen on while the tab trains: a device that goes to sleep stops computing. */

/** Browsers have it on https and on this machine only. */
export const canKeepScreenOn = 'wakeLock' in navigator;

export class Screen {
  #lock: WakeLockSentinel | undefined;
  #isWanted = false;

  constructor() {
    // A browser takes the lock back when the page is hidden.
    document.addEventListener('visibilitychange', () => void this.#update());
  }

  set keepOn(isWanted: boolean) {
    if (this.#isWanted === isWanted) return;
    this.#isWanted = isWanted;
    void this.#update();
  }

  async #update(): Promise<void> {
    if (!canKeepScreenOn) return;
    if (!this.#isWanted) {
      const lock = this.#lock;
      this.#lock = undefined;
      await lock?.release().catch(() => {});
      return;
    }
    if (document.visibilityState !== 'visible' || (this.#lock && !this.#lock.released)) return;
    try {
      const lock = await navigator.wakeLock.request('screen');
      if (this.#isWanted) this.#lock = lock;
      else await lock.release();
    } catch {
      // The battery is low, or the system forbids it.
    }
  }
}
