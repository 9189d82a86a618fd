/** Whether this device runs on its battery (https://www.w3.org/TR/battery-status/); only some browsers tell. */

interface BatteryManager extends EventTarget {
  readonly charging: boolean;
}

type WithBattery = Navigator & { getBattery?: () => Promise<BatteryManager> };

export const knowsBattery = 'getBattery' in navigator;

/** Tells at once and at each change whether it runs on its battery. */
export async function watchBattery(onChange: (isOnBattery: boolean) => void): Promise<void> {
  try {
    const battery = await (navigator as WithBattery).getBattery?.();
    if (!battery) return;
    const tell = (): void => onChange(!battery.charging);
    battery.addEventListener('chargingchange', tell);
    tell();
  } catch {
    // It does not tell after all.
  }
}
