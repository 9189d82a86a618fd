/** Opens the engine that training takes on this machine's CPU, for scripts that measure it by itself. */
import { chooseEngine, createEngine } from '@lockstep/engine';

export async function openDefaultEngine(network) {
  const config = { network, labelSmoothing: 0 };
  const { kind, device } = await chooseEngine('auto', 'cpu', config);
  return createEngine(kind, config, device);
}
