/** Setting TensorFlow up for the engine `tensorflow`. */
export { type Flavour, flavours, installationFolder } from './installation.ts';
export type { SetupOptions, SetupProgress } from './obtain.ts';
export { type SetupResult, setUpTensorflow } from './setup.ts';
