/** Shows a download of the dataset as it goes. */
import type { RunContext } from '@lockstep/coordinator';
import { bar, megabytes, type Output } from '../output.ts';

export const showDownload =
  (output: Output): NonNullable<RunContext['onDownload']> =>
  ({ file, bytes, total }) =>
    output.progress(`downloading ${bar(bytes / total)} ${file}  ${megabytes(bytes)} of ${megabytes(total)}`);
