/** The manifests: names, labels, ports and secrets agree, and pods keep to the rules. */
import { execFile } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { ROOT } from '../lockstep.ts';
import { lastOf, parseDockerfile } from './dockerfile.ts';
import { type Any, DEPLOY, filesBelow, has, read, yaml } from './files.ts';

const run = promisify(execFile);

describe('kubernetes', () => {
  const manifests = filesBelow('kubernetes')
    .filter((path) => path.endsWith('.yaml') && !path.endsWith('kustomization.yaml'))
    .flatMap((path) => yaml(path).map((document) => ({ path, document })));
  const base = manifests.filter(({ path }) => path.startsWith('kubernetes/base/')).map(({ document }) => document);
  const pods = base.filter(({ spec }) => spec?.template).map(({ spec }) => spec.template);
  const containers = pods.flatMap(({ spec }) => spec.containers);
  const kustomizations = [
    'kustomization.yaml',
    ...filesBelow('kubernetes').filter((path) => /kustomization/.test(path)),
  ];

  const podsWith = (labels: Any): Any[] =>
    pods.filter(({ metadata }) => Object.entries(labels).every(([name, value]) => metadata.labels[name] === value));

  it('has documents of a kind and name', () => {
    expect(manifests.length).toBeGreaterThan(10);
    for (const { path, document } of manifests) {
      expect(document, path).toMatchObject({
        apiVersion: expect.stringMatching(/^(?:[a-z.0-9]+\/)?v\d(?:beta\d)?$/),
        kind: expect.stringMatching(/^[A-Z]/),
        metadata: { name: expect.stringMatching(/^lockstep/) },
      });
    }
  });

  it('brings in every file, and only files that there are', () => {
    for (const path of kustomizations) {
      const [{ resources, patches = [], configMapGenerator = [] }] = yaml(path);
      const named: string[] = [
        ...resources,
        ...patches.flatMap((patch: Any) => patch.path ?? []),
        ...configMapGenerator.flatMap(({ files }: Any) => files),
      ].map((file: string) => normalize(join(dirname(path), file)));
      for (const file of named) expect(existsSync(join(DEPLOY, file)), file).toBe(true);
      if (path === 'kustomization.yaml') continue;
      const beside = readdirSync(join(DEPLOY, dirname(path))).filter((name) => name !== 'kustomization.yaml');
      expect(named).toEqual(expect.arrayContaining(beside.map((name) => join(dirname(path), name))));
    }
  });

  it('shows every dashboard', () => {
    const [{ configMapGenerator }] = yaml('kustomization.yaml');
    expect([...configMapGenerator[0].files].sort()).toEqual(filesBelow('grafana/dashboards'));
  });

  it('selects pods that there are', () => {
    const selectors = manifests.flatMap(({ path, document: { kind, spec } }) => {
      if (path.startsWith('kubernetes/gpu')) return [];
      const labels =
        kind === 'Service' ? spec.selector : (spec?.selector?.matchLabels ?? spec?.podSelector?.matchLabels);
      return labels ? [{ path, kind, labels }] : [];
    });
    expect(selectors.length).toBeGreaterThanOrEqual(7);
    for (const { path, labels } of selectors) expect(podsWith(labels), path).toHaveLength(1);
    // A ServiceMonitor selects services, by the labels of those.
    const service = base.find(({ kind }) => kind === 'Service');
    const monitor = manifests.find(({ document }) => document.kind === 'ServiceMonitor')!.document;
    expect(service.metadata.labels).toMatchObject(monitor.spec.selector.matchLabels);
    expect(service.spec.ports.map(({ name }: Any) => name)).toContain(monitor.spec.endpoints[0].port);
  });

  it('agrees on ports, the token and volumes', () => {
    const service = base.find(({ kind }) => kind === 'Service');
    const [coordinator] = podsWith(service.spec.selector);
    const [{ ports, args, startupProbe, readinessProbe, livenessProbe }] = coordinator.spec.containers;
    expect(ports).toEqual([{ name: service.spec.ports[0].targetPort, containerPort: service.spec.ports[0].port }]);
    expect(args).toContain(`--port=${ports[0].containerPort}`);
    for (const { httpGet } of [startupProbe, readinessProbe, livenessProbe]) {
      expect(httpGet).toEqual({ path: '/healthz', port: ports[0].name });
    }
    const worker = containers.find(({ name }) => name === 'worker');
    expect(worker.args[1]).toBe(`ws://${service.metadata.name}:${service.spec.ports[0].port}`);
    const monitor = manifests.find(({ document }) => document.kind === 'ServiceMonitor')!.document;
    const secret = monitor.spec.endpoints[0].authorization.credentials;
    for (const { env } of containers) {
      const token = env.find(({ name }: Any) => name === 'LOCKSTEP_TOKEN');
      expect(token.valueFrom.secretKeyRef).toEqual(secret);
    }
    expect(read('kubernetes/README.md')).toContain(`secret generic ${secret.name} --from-literal=${secret.key}=`);
    for (const { spec } of pods) {
      const volumes = spec.volumes.map(({ name }: Any) => name);
      for (const { name } of spec.containers[0].volumeMounts) expect(volumes).toContain(name);
    }
    const claims = base.filter(({ kind }) => kind === 'PersistentVolumeClaim').map(({ metadata }) => metadata.name);
    expect(claims).toContain(coordinator.spec.volumes[0].persistentVolumeClaim.claimName);
  });

  it('keeps to the restricted standard, with a read-only root', () => {
    for (const { spec } of pods) {
      expect(spec.automountServiceAccountToken).toBe(false);
      expect(spec.securityContext).toMatchObject({
        runAsNonRoot: true,
        seccompProfile: { type: 'RuntimeDefault' },
      });
      // The user of the image, to whom its volumes belong.
      const user = lastOf(parseDockerfile('docker/Dockerfile.cpu').at(-1)!, 'USER');
      expect(`${spec.securityContext.runAsUser}:${spec.securityContext.runAsGroup}`).toBe(user);
      expect(spec.containers[0].securityContext).toEqual({
        allowPrivilegeEscalation: false,
        readOnlyRootFilesystem: true,
        capabilities: { drop: ['ALL'] },
      });
      expect(Object.keys(spec.containers[0].resources)).toEqual(['requests', 'limits']);
    }
  });

  it('patches and scales what there is', () => {
    const names = base.map(({ kind, metadata }) => `${kind}/${metadata.name}`);
    for (const { path, document } of manifests.filter(({ path }) => path.startsWith('kubernetes/gpu/'))) {
      expect(names, path).toContain(`${document.kind}/${document.metadata.name}`);
      const [patched] = document.spec.template.spec.containers;
      expect(containers.map(({ name }) => name)).toContain(patched.name);
    }
    const [{ spec }] = yaml('kubernetes/autoscale/autoscaler.yaml');
    expect(names).toContain(`${spec.scaleTargetRef.kind}/${spec.scaleTargetRef.name}`);
  });

  it('wraps the alerts as its document says', async () => {
    const [, block] = /```sh\n(\{ printf[\s\S]*?)\| kubectl apply -f -\n```/.exec(read('kubernetes/README.md'))!;
    const { stdout } = await run('bash', ['-c', block!], { cwd: ROOT });
    expect(parse(stdout)).toMatchObject({ kind: 'PrometheusRule', spec: yaml('prometheus/rules.yml')[0] });
  });

  it.skipIf(!has('kubectl', 'help'))('builds (needs kubectl)', { timeout: 120_000 }, async () => {
    for (const path of kustomizations) {
      const { stdout } = await run('kubectl', ['kustomize', join(DEPLOY, dirname(path))], { maxBuffer: 2 ** 26 });
      expect(stdout, path).toContain('namespace: lockstep');
    }
  });
});
