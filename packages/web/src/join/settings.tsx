/** What people can choose for this tab. */
import type { WebDevice } from '@lockstep/engine/browser';
import { knowsBattery } from './battery.ts';
import type { Tab } from './tab.ts';

const DEVICES: Record<WebDevice, string> = {
  auto: 'the GPU where there is one',
  webgpu: 'WebGPU',
  wasm: 'WebAssembly',
};

export function Settings({ tab }: { readonly tab: Tab }) {
  const { device, numLanes, pauseOnBattery } = tab.choices;
  return (
    <form class="settings" onSubmit={(event) => event.preventDefault()}>
      <label>
        <span>Compute with</span>
        <select
          class="field"
          value={device}
          onChange={({ currentTarget }) => tab.choose({ device: currentTarget.value as WebDevice })}
        >
          {Object.entries(DEVICES).map(([value, words]) => (
            <option key={value} value={value}>
              {words}
            </option>
          ))}
        </select>
      </label>
      <label>
        <span>Engines on WebAssembly, one core each</span>
        <input
          class="field"
          type="number"
          min={1}
          max={64}
          value={numLanes}
          onChange={({ currentTarget }) => tab.choose({ numLanes: currentTarget.valueAsNumber })}
        />
      </label>
      {knowsBattery && (
        <label class="check">
          <input
            type="checkbox"
            checked={pauseOnBattery}
            onChange={({ currentTarget }) => tab.choose({ pauseOnBattery: currentTarget.checked })}
          />
          <span>Pause on battery</span>
        </label>
      )}
    </form>
  );
}
