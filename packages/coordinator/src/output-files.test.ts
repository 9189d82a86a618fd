import { mkdir, mkdtemp, readdir, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { writeNewFile, writeNewFolder } from './output-files.ts';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const OURS = /^model\.json$|\.bin$/;
const files = (text: string) => [
  { name: 'weights.bin', bytes: bytes(text) },
  { name: 'model.json', bytes: bytes(`{"${text}"}`) },
];

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lockstep-output-'));
});

describe('writeNewFile', () => {
  it('writes, and replaces only when it must', async () => {
    const path = join(folder, 'a', 'b.onnx');
    expect(await writeNewFile(path, bytes('xone').subarray(1), false)).toBe(path);
    await expect(writeNewFile(path, bytes('two'), false)).rejects.toMatchObject({
      code: 'output-exists',
      message: `${path} exists already.`,
    });
    expect(await readFile(path, 'utf8')).toBe('one');
    await writeNewFile(path, bytes('three'), true);
    expect(await readFile(path, 'utf8')).toBe('three');
    expect(await readdir(join(folder, 'a'))).toEqual(['b.onnx']);
  });

  it('never takes a folder for a file, nor a file for a folder', async () => {
    await expect(writeNewFile(folder, bytes('x'), true)).rejects.toMatchObject({ code: 'output-exists' });
    await writeFile(join(folder, 'file'), '');
    await expect(writeNewFile(join(folder, 'file', 'x'), bytes('x'), true)).rejects.toMatchObject({
      code: 'output-unwritable',
    });
  });
});

describe('writeNewFolder', () => {
  const read = (name: string) => readFile(join(folder, 'out', name), 'utf8');

  it('writes all files, and replaces an earlier export only when it must', async () => {
    const path = join(folder, 'out');
    expect(await writeNewFolder(path, files('one'), false, OURS)).toBe(path);
    await writeFile(join(path, 'left-over.bin'), '');
    await expect(writeNewFolder(path, files('two'), false, OURS)).rejects.toMatchObject({ code: 'output-exists' });
    expect(await read('weights.bin')).toBe('one');
    await writeNewFolder(path, files('three'), true, OURS);
    expect(await read('model.json')).toBe('{"three"}');
    expect((await readdir(path)).sort()).toEqual(['model.json', 'weights.bin']);
    expect(await readdir(folder)).toEqual(['out']);
  });

  it('takes an empty folder, and no folder with anything else in it', async () => {
    const path = join(folder, 'out');
    await mkdir(path);
    await writeNewFolder(path, files('one'), false, OURS);
    await writeFile(join(path, 'thesis.tex'), 'years of work');
    await expect(writeNewFolder(path, files('two'), true, OURS)).rejects.toMatchObject({
      code: 'output-exists',
      message: expect.stringContaining('thesis.tex'),
    });
    expect(await read('thesis.tex')).toBe('years of work');
    await writeFile(join(folder, 'file'), '');
    await expect(writeNewFolder(join(folder, 'file'), files('x'), true, OURS)).rejects.toMatchObject({
      code: 'output-exists',
    });
  });

  it('leaves everything as it was when it cannot be completed', async () => {
    const path = join(folder, 'out');
    await writeNewFolder(path, files('one'), false, OURS);
    const broken = [...files('two'), { name: 'no/such/folder', bytes: bytes('x') }];
    await expect(writeNewFolder(path, broken, true, OURS)).rejects.toMatchObject({ code: 'output-unwritable' });
    expect(await read('weights.bin')).toBe('one');
    expect(await readdir(folder)).toEqual(['out']);
  });
});
