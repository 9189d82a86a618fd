import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer, text } from 'node:stream/consumers';
import { describe, expect, it } from 'vitest';
import { wheel } from '../testing/wheels.ts';
import { zip } from '../testing/zip.ts';
import { openWheel } from './wheel.ts';

const folder = mkdtempSync(join(tmpdir(), 'lockstep-wheel-'));

function write(name: string, content: Buffer | string): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

/** Longer than what is unpacked in one piece. */
const library = Buffer.alloc(300_000, 'library ');
const good = wheel({ files: { 'tensorflow/libtensorflow_cc.so.2': library } });

describe('openWheel', () => {
  it('reads what it is, and the files that the binding needs', async () => {
    const opened = await openWheel(write('good.whl', good));
    expect(opened).toMatchObject({ name: 'tensorflow-cpu', version: '2.21.0' });
    expect(opened.cudaRequirements).toEqual(['nvidia-cublas-cu12<13.0,>=12.5.3.2']);
    expect(opened.files.map(({ name, size }) => [name, size])).toEqual([
      ['tensorflow/libtensorflow_cc.so.2', library.length],
    ]);
    expect((await buffer(await opened.files[0]!.open())).equals(library)).toBe(true);
    opened.close();
  });

  it('takes wheels for Linux on this machine, and for any', async () => {
    const path = (platform: string): string => write('platform.whl', wheel({ platform }));
    for (const platform of ['any', 'linux_x86_64', 'manylinux_2_17_x86_64', 'manylinux2014_x86_64']) {
      (await openWheel(path(platform), 'x64')).close();
    }
    (await openWheel(path('manylinux_2_27_aarch64'), 'arm64')).close();
    for (const platform of ['win_amd64', 'macosx_12_0_arm64', 'manylinux_2_27_aarch64', 'musllinux_1_2_x86_64']) {
      await expect(openWheel(path(platform), 'x64'), platform).rejects.toMatchObject({
        code: 'usage',
        message: `${join(folder, 'platform.whl')} is for ${platform}, and this machine is Linux on x86_64.`,
      });
    }
  });

  it.each([
    ['a file that is not there', join(folder, 'nothing.whl'), 'does not exist'],
    ['a folder', folder, 'is not a file'],
    ['another kind of file', write('page.whl', '<html>'.repeat(100)), 'is not a wheel'],
    ['an empty file', write('empty.whl', ''), 'is not a wheel'],
    ['the beginning of a wheel', write('short.whl', good.subarray(0, good.length - 500)), 'only the beginning'],
    ['a zip file', write('zip.whl', zip({ 'a.txt': 'a' })), 'has no *.dist-info/WHEEL'],
  ])('refuses %s', async (_, path, problem) => {
    await expect(openWheel(path)).rejects.toMatchObject({ code: 'usage', message: expect.stringContaining(problem) });
  });

  it('notices a file that was changed', async () => {
    const changed = Buffer.from(good);
    const name = 'tensorflow/libtensorflow_cc.so.2';
    // Its checksum stands before its name in the directory at the end.
    changed[changed.lastIndexOf(name) - 30]! ^= 1;
    const opened = await openWheel(write('changed.whl', changed));
    await expect(text(await opened.files[0]!.open())).rejects.toMatchObject({
      code: 'usage',
      message: expect.stringContaining(`is damaged: ${name} has a wrong checksum`),
    });
    opened.close();
  });
});
