/** What the operating system knows of the graphics cards, for people: no driver is touched for it. */
import { execFile } from 'node:child_process';
import { readdir, readFile, readlink } from 'node:fs/promises';
import { release } from 'node:os';
import { basename, join } from 'node:path';
import { promisify } from 'node:util';

export interface Card {
  /** `nvidia`, `amd`, `intel`, or what else the system calls it. */
  readonly vendor: string;
  /** Its name, or the number by which the vendor knows it. */
  readonly model: string;
  /** Name and version; undefined where no driver is bound to it. */
  readonly driver: string | undefined;
}

const TIMEOUT_MS = 10_000;
const PCI = '/sys/bus/pci/devices';
const VENDORS: Readonly<Record<string, string>> = { '0x10de': 'nvidia', '0x1002': 'amd', '0x8086': 'intel' };

const textOf = async (path: string): Promise<string | undefined> =>
  (await readFile(path, 'utf8').catch(() => undefined))?.trim();

async function linuxCard(address: string): Promise<Card | undefined> {
  const folder = join(PCI, address);
  // Displays of all kinds, and accelerators without one.
  if (!(await textOf(join(folder, 'class')))?.startsWith('0x03')) return undefined;
  const number = (await textOf(join(folder, 'vendor'))) ?? '';
  const vendor = VENDORS[number] ?? `vendor ${number}`;
  const driver = await readlink(join(folder, 'driver')).then(basename, () => undefined);
  const version = driver === undefined ? undefined : await textOf(join('/sys/module', driver, 'version'));
  const information = await textOf(`/proc/driver/nvidia/gpus/${address}/information`);
  const model = /^Model:\s*(.+)$/m.exec(information ?? '')?.[1];
  return {
    vendor,
    model: model ?? `device ${(await textOf(join(folder, 'device'))) ?? ''}`,
    driver: driver === undefined ? undefined : `${driver} ${version ?? `of Linux ${release()}`}`,
  };
}

async function linuxCards(): Promise<Card[]> {
  const cards = await Promise.all((await readdir(PCI)).map(linuxCard));
  return cards.filter((card) => card !== undefined);
}

/** What a program writes, as JSON. */
async function read(file: string, args: readonly string[]): Promise<unknown> {
  const { stdout } = await promisify(execFile)(file, args, { timeout: TIMEOUT_MS, windowsHide: true });
  return JSON.parse(stdout);
}

type Fields = Readonly<Record<string, string | undefined>>;

async function macCards(): Promise<Card[]> {
  const { SPDisplaysDataType: cards = [] } = (await read('system_profiler', ['-json', 'SPDisplaysDataType'])) as {
    SPDisplaysDataType?: Fields[];
  };
  return cards.map((card) => ({
    vendor: card.spdisplays_vendor?.replace(/^sppci_vendor_/, '').toLowerCase() ?? 'unknown',
    model: card.sppci_model ?? 'unknown',
    driver: card.spdisplays_mtlgpufamilysupport?.replace(/^spdisplays_/, ''),
  }));
}

async function windowsCards(): Promise<Card[]> {
  const script =
    'ConvertTo-Json @(Get-CimInstance Win32_VideoController | Select-Object AdapterCompatibility,Name,DriverVersion)';
  const cards = (await read('powershell.exe', ['-NoProfile', '-Command', script])) as Fields[];
  return cards.map((card) => ({
    vendor: card.AdapterCompatibility?.toLowerCase() ?? 'unknown',
    model: card.Name ?? 'unknown',
    driver: card.DriverVersion,
  }));
}

const readers: Partial<Record<NodeJS.Platform, () => Promise<Card[]>>> = {
  linux: linuxCards,
  darwin: macCards,
  win32: windowsCards,
};

/** The machine's graphics cards; none where the system does not say. */
export async function graphicsCards(): Promise<Card[]> {
  return (await readers[process.platform]?.().catch(() => [])) ?? [];
}
