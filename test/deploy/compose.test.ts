/** compose.yaml: names what exists, and its parts fit each other. */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { ROOT } from '../lockstep.ts';
import { interpolate } from './commands.ts';
import { isInContext } from './dockerfile.ts';
import { type Any, DEPLOY, read, yaml } from './files.ts';

const run = promisify(execFile);

describe('compose.yaml', () => {
  const [compose] = yaml('compose.yaml');
  const services = Object.entries<Any>(compose.services);
  const { prometheus, grafana, coordinator } = compose.services;
  const mountsOf = (service: Any): { source: string; target: string }[] =>
    service.volumes.map((volume: string) => {
      const [source, target] = volume.split(':');
      return { source: source!, target: target! };
    });

  it('names only services, volumes, secrets, files and images that there are', () => {
    for (const [name, service] of services) {
      for (const other of Object.keys(service.depends_on ?? {})) expect(compose.services, name).toHaveProperty(other);
      for (const { source } of service.secrets ?? []) expect(compose.secrets).toHaveProperty(source);
      for (const { source } of mountsOf(service)) {
        if (source.startsWith('.')) expect(existsSync(join(DEPLOY, source)), source).toBe(true);
        else expect(Object.keys(compose.volumes)).toContain(source);
      }
      if (service.build) {
        expect(existsSync(join(DEPLOY, service.build.context, service.build.dockerfile))).toBe(true);
      } else {
        expect(service.image, 'a fixed version').toMatch(/:v?\d+\.\d+\.\d+$/);
      }
    }
  });

  it('explains every setting', () => {
    const asked = new Set([...read('compose.yaml').matchAll(/\$\{(\w+)/g)].map(([, name]) => name));
    const explained = new Set([...read('.env.example').matchAll(/^(\w+)=/gm)].map(([, name]) => name));
    expect(explained).toEqual(asked);
  });

  it('keeps its token out of git, images and command lines', async () => {
    await run('git', ['check-ignore', '--quiet', 'deploy/.env'], { cwd: ROOT });
    expect(isInContext('deploy/.env')).toBe(false);
    for (const [, { command, entrypoint }] of services)
      expect(JSON.stringify([command, entrypoint])).not.toMatch(/token/i);
  });

  it('lets Prometheus read the coordinator', () => {
    const [config] = yaml('prometheus/prometheus.yml');
    const [job] = config.scrape_configs;
    const mounts = mountsOf(prometheus);
    const home = '/etc/prometheus';
    expect(mounts.map(({ target }) => target)).toContain(`${home}/prometheus.yml`);
    for (const rules of config.rule_files) expect(mounts.map(({ target }) => target)).toContain(resolve(home, rules));
    expect(prometheus.secrets[0].target).toBe(resolve(home, job.authorization.credentials_file));
    const [pattern] = job.file_sd_configs[0].files;
    const targets = mounts.find(({ target }) => dirname(target) === dirname(resolve(home, pattern)))!;
    const [{ targets: addresses }] = yaml(targets.source)[0];
    const [, port] = /--port (\d+)/.exec(coordinator.command)!;
    expect(addresses).toEqual([`coordinator:${port}`]);
  });

  it('shows the dashboards in Grafana', () => {
    const mounts = mountsOf(grafana);
    const [{ providers }] = yaml('grafana/provisioning/dashboards/lockstep.yml');
    const dashboards = mounts.find(({ target }) => target === providers[0].options.path)!;
    expect(dashboards.source).toBe('./grafana/dashboards');
    const home = grafana.environment.GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH.replace(
      dashboards.target,
      dashboards.source,
    );
    expect(existsSync(join(DEPLOY, home))).toBe(true);
    const [{ datasources }] = yaml('grafana/provisioning/datasources/prometheus.yml');
    // Grafana replaces $NAME and ${NAME}; it takes the whole of ${NAME:-default} for a name.
    const [, variable] = /^\$\{?(\w+)\}?$/.exec(datasources[0].url) ?? [];
    expect(grafana.environment[variable!], datasources[0].url).toBe('http://prometheus:9090');
  });

  it('reaches the coordinator under the name and port that it has', () => {
    const ports = coordinator.ports.map((port: string) => interpolate(port).split(':').at(-1));
    const workers = services.filter(([name]) => name.startsWith('worker'));
    expect(workers.length).toBeGreaterThan(1);
    for (const [, { command }] of workers) expect(command[1]).toBe(`ws://coordinator:${ports[0]}`);
  });
});
