/** What a browser's GPU is called. */
import { expect, it } from 'vitest';
import { gpuName } from './web-device.ts';

it.each([
  [{ vendor: 'nvidia', architecture: 'ampere', description: '' }, 'nvidia ampere'],
  [{ vendor: 'nvidia', architecture: 'ampere', description: 'NVIDIA RTX' }, 'NVIDIA RTX'],
  [{ vendor: '', architecture: '', description: '' }, 'unnamed GPU'],
  [{ vendor: 'v'.repeat(300), architecture: '', description: '' }, 'v'.repeat(100)],
])('names a GPU', (info, name) => expect(gpuName(info)).toBe(name));
