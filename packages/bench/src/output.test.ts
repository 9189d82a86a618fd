import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { checkFolder, defaultFolder, writeReport } from './output.ts';
import { enginesReport, training } from './testing/reports.ts';

const fresh = (): string => mkdtempSync(join(tmpdir(), 'lockstep-output-'));

describe('writeReport', () => {
  it('writes three files into a new folder, and leaves nothing else', async () => {
    const parent = fresh();
    const files = await writeReport(training, join(parent, 'deep', 'report'));
    expect(files.map((path) => path.slice(parent.length))).toEqual([
      '/deep/report/bench.json',
      '/deep/report/bench.md',
      '/deep/report/bench.svg',
    ]);
    expect(JSON.parse(readFileSync(files[0]!, 'utf8'))).toEqual(training);
    expect(readdirSync(join(parent, 'deep'))).toEqual(['report']);
  });

  it('writes no plot where there is none', async () => {
    const files = await writeReport(enginesReport, join(fresh(), 'report'));
    expect(files.map((path) => path.split('/').at(-1))).toEqual(['bench.json', 'bench.md']);
  });

  it('never writes over anything', async () => {
    const folder = fresh();
    mkdirSync(join(folder, 'empty'));
    writeFileSync(join(folder, 'file'), 'mine');
    for (const name of ['empty', 'file']) {
      await expect(writeReport(training, join(folder, name))).rejects.toMatchObject({ code: 'output-exists' });
      await expect(checkFolder(join(folder, name))).rejects.toMatchObject({ code: 'output-exists' });
    }
    expect(readdirSync(join(folder, 'empty'))).toEqual([]);
  });

  it('says in time when it will not be able to write', async () => {
    const file = join(fresh(), 'file');
    writeFileSync(file, '');
    await expect(checkFolder(join(file, 'report'))).rejects.toMatchObject({ code: 'output-unwritable' });
    expect(existsSync(join(file, 'report'))).toBe(false);
    if (process.getuid?.() === 0) return;
    const locked = fresh();
    chmodSync(locked, 0o500);
    await expect(checkFolder(join(locked, 'report'))).rejects.toMatchObject({ code: 'output-unwritable' });
  });
});

describe('defaultFolder', () => {
  it('has the time in its name, without what file systems do not like', () => {
    expect(defaultFolder(new Date('2026-01-02T03:04:05.678Z'))).toBe('bench-2026-01-02T03-04-05');
  });
});
