/** A real Slurm of one node for a test: its own key, ports and folder, and nothing left behind. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { accessSync, constants, mkdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { hostname, userInfo } from 'node:os';
import { delimiter, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { temporaryFolder } from '../lockstep.ts';

// Daemons are kept where only root's PATH leads.
const PATH = [process.env.PATH, '/usr/local/sbin', '/usr/sbin', '/sbin'].join(delimiter);

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** The programs of Slurm and munge that this machine lacks. */
export function missingPrograms(): string[] {
  const programs = ['munged', 'slurmctld', 'slurmd', 'sbatch', 'scancel', 'scontrol', 'squeue'];
  return programs.filter((name) => !PATH.split(delimiter).some((folder) => isExecutable(join(folder, name))));
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

const configuration = (folder: string, [controlPort, nodePort]: readonly number[]): string => `
ClusterName=lockstep
SlurmctldHost=localhost
SlurmctldPort=${controlPort}
SlurmdPort=${nodePort}
SlurmUser=${userInfo().username}
SlurmdUser=${userInfo().username}
AuthType=auth/munge
# What is requeued waits until credentials of its last start have expired: two minutes, if nothing is said.
AuthInfo=socket=${folder}/munge.socket,cred_expire=5
CredType=cred/munge
StateSaveLocation=${folder}/state
SlurmdSpoolDir=${folder}/spool
SlurmctldPidFile=${folder}/slurmctld.pid
SlurmdPidFile=${folder}/slurmd.pid
SlurmctldLogFile=${folder}/slurmctld.log
SlurmdLogFile=${folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
# More tasks at a time than the machine has cores.
SlurmdParameters=config_overrides
SchedulerType=sched/builtin
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
NodeName=${hostname()} NodeAddr=127.0.0.1 CPUs=8 State=UNKNOWN
PartitionName=test Nodes=${hostname()} Default=YES State=UP
`;

export class Slurm {
  readonly folder = temporaryFolder();
  readonly #env: NodeJS.ProcessEnv = { ...process.env, PATH, SLURM_CONF: join(this.folder, 'slurm.conf') };
  readonly #daemons: ChildProcess[] = [];

  /** @throws Error when it does not come up */
  async start(): Promise<void> {
    const { folder } = this;
    for (const name of ['state', 'spool']) mkdirSync(join(folder, name));
    writeFileSync(join(folder, 'munge.key'), randomBytes(1024), { mode: 0o400 });
    writeFileSync(join(folder, 'slurm.conf'), configuration(folder, [await freePort(), await freePort()]));
    const files = ['key-file=munge.key', 'socket=munge.socket', 'pid-file=munged.pid', 'log-file=munged.log'];
    // It is strict about who may write where its files are, and folders for temporary files are everybody's.
    const arguments_ = [...files, 'seed-file=munged.seed'].map((file) => `--${file.replace('=', `=${folder}/`)}`);
    this.#spawn('munged', ['--foreground', '--force', ...arguments_]);
    this.#spawn('slurmctld', ['-D']);
    this.#spawn('slurmd', ['-D', '-N', hostname()]);
    const deadline = Date.now() + 20_000;
    for (;;) {
      const state = await this.run('sinfo', ['--noheader', '--format', '%T']).catch((error: Error) => error.message);
      if (state === 'idle') return;
      const ended = this.#daemons.find(({ exitCode }) => exitCode !== null);
      if (ended || Date.now() > deadline) throw new Error(ended ? `${ended.spawnfile} ended` : `the node is ${state}`);
      await sleep(250);
    }
  }

  #spawn(name: string, args: readonly string[]): void {
    this.#daemons.push(spawn(name, args, { env: this.#env, stdio: 'ignore' }));
  }

  /** Runs one of Slurm's commands. Returns what it prints. */
  async run(name: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<string> {
    const { stdout } = await promisify(execFile)(name, args, { env: { ...this.#env, ...env }, cwd: this.folder });
    return stdout.trim();
  }

  /** The state of a task, such as RUNNING. */
  async state(task: string): Promise<string | undefined> {
    return /JobState=(\w+)/.exec(await this.run('scontrol', ['show', 'job', task]))?.[1];
  }

  /** Ends all jobs, and then the daemons, each by its own process. */
  async stop(): Promise<void> {
    await this.run('scancel', ['--user', userInfo().username]).catch(() => {});
    for (let i = 0; i < 100; i++) {
      if ((await this.run('squeue', ['--noheader']).catch(() => '')) === '') break;
      await sleep(250);
    }
    for (const daemon of this.#daemons.reverse()) {
      if (daemon.exitCode !== null) continue;
      const closed = new Promise((resolve) => daemon.once('close', resolve));
      daemon.kill('SIGTERM');
      await Promise.race([closed, sleep(5000)]);
      daemon.kill('SIGKILL');
    }
  }
}
