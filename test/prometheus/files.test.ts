/** What lies in deploy/ for monitoring is whole, agrees with what it is made from, and names only what there is. */
import { execFileSync } from 'node:child_process';
import { cpSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { metricDefinitions } from '@lockstep/coordinator';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { lockstep, ROOT, temporaryFolder } from '../lockstep.ts';
import { operandsOf } from './expression.ts';
import {
  alerts,
  dashboards,
  expressions,
  GRAFANA,
  type Panel,
  PROMETHEUS,
  rules,
  runbook,
  substitute,
} from './files.ts';
import { isInstalled, preparedFolder, promtool } from './server.ts';

const node = (...args: string[]): string => execFileSync(process.execPath, args, { cwd: ROOT, encoding: 'utf8' });
const panels: [string, Panel][] = dashboards.flatMap(({ uid, panels }) =>
  panels.map((panel): [string, Panel] => [`${uid}: ${panel.title}`, panel]),
);
const variables = { job: 'j', instance: 'i', __rate_interval: '1m' };

describe('generated files', () => {
  it('METRICS.md is what the script makes of the definitions', () => {
    expect(node('scripts/metrics-table.js')).toBe(readFileSync(join(ROOT, 'deploy/METRICS.md'), 'utf8'));
  });

  it('the dashboards are what the script makes of their sources', () => {
    const folder = temporaryFolder();
    node('scripts/dashboards.js', '--out', folder);
    const committed = join(GRAFANA, 'dashboards');
    expect(readdirSync(folder).sort()).toEqual(readdirSync(committed).sort());
    for (const name of readdirSync(folder)) {
      expect(readFileSync(join(folder, name), 'utf8')).toBe(readFileSync(join(committed, name), 'utf8'));
    }
  });
});

describe('dashboards', () => {
  it.each(panels)('%s has title, unit, description and queries', (_, panel) => {
    expect(panel.title).not.toBe('');
    expect(panel.description).toMatch(/^[A-Z].{20,}\.$/);
    expect(panel.fieldConfig.defaults.unit).toMatch(/^(none|percentunit|s|bytes|Bps|si:samples\/s)$/);
    expect(panel.datasource.uid).toBe('$' + '{datasource}');
    expect(panel.targets.length).toBeGreaterThan(0);
    expect(new Set(panel.targets.map(({ refId }) => refId)).size).toBe(panel.targets.length);
    // Every query looks at the chosen run, and at nothing else.
    for (const { expr } of panel.targets) {
      const selectors = [...expr.matchAll(/\b(?:lockstep|process|nodejs)_\w+(\{[^}]*\})?/g)].map(
        ([, labels]) => labels,
      );
      expect(selectors.length).toBeGreaterThan(0);
      for (const labels of selectors) expect(labels).toMatch(/^\{job="\$job", instance="\$instance"/);
    }
  });

  it('have panels of their own numbers and places', () => {
    for (const { panels } of dashboards) {
      expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
      expect(new Set(panels.map(({ title }) => title)).size).toBe(panels.length);
      const taken = new Set<string>();
      for (const { gridPos: at } of panels) {
        expect(at.x + at.w).toBeLessThanOrEqual(24);
        for (let x = at.x; x < at.x + at.w; x++) {
          for (let y = at.y; y < at.y + at.h; y++) {
            expect(taken.has(`${x}/${y}`)).toBe(false);
            taken.add(`${x}/${y}`);
          }
        }
      }
    }
  });

  it('take the provisioned data source, and are where Grafana is told to look', () => {
    const [source] = parse(readFileSync(join(GRAFANA, 'provisioning/datasources/prometheus.yml'), 'utf8')).datasources;
    const config = parse(readFileSync(join(PROMETHEUS, 'prometheus.yml'), 'utf8'));
    // Grafana knows no defaults for variables.
    expect(source.url).toMatch(/^\$\{\w+\}$/);
    expect(source.jsonData.timeInterval).toBe(config.global.scrape_interval);
    const [provider] = parse(readFileSync(join(GRAFANA, 'provisioning/dashboards/lockstep.yml'), 'utf8')).providers;
    expect(provider).toMatchObject({ type: 'file', options: { path: expect.stringMatching(/^\//) } });
    expect(new Set(dashboards.map(({ uid }) => uid)).size).toBe(3);
    for (const { templating } of dashboards) {
      expect(templating.list.map(({ name }) => name)).toEqual(['datasource', 'job', 'instance']);
      expect(templating.list[0]!.current.value).toBe(source.uid);
    }
  });

  it('show every metric at least once, or the alerts do', () => {
    const text = expressions.map(({ expression }) => expression).join('\n');
    const isShown = (name: string): boolean => new RegExp(`\\b${name}(_bucket|_sum|_count)?\\b`).test(text);
    expect(Object.values(metricDefinitions).flatMap(({ name }) => (isShown(name) ? [] : name))).toEqual([]);
  });
});

describe('expressions', () => {
  it.each(expressions)('$place can be taken apart', ({ expression }) => {
    for (const operand of operandsOf(substitute(expression, variables))) expect(operand.trim()).not.toBe('');
    // That would hide that there is no such metric.
    expect(expression).not.toMatch(/\bvector\(|\babsent/);
  });
});

describe('alerts', () => {
  it.each(alerts)('$alert has severity, words and a section in the runbook', ({ alert, labels, annotations }) => {
    expect(labels.severity).toMatch(/^(critical|warning)$/);
    expect(annotations.summary).toContain('{{ $labels.instance }}');
    expect(annotations.description).toMatch(/\.$/);
    expect(annotations.runbook_url).toBe(`deploy/RUNBOOK.md#${alert!.toLowerCase()}`);
    const [, section] = runbook.split(`\n## ${alert}\n`);
    for (const part of ['**It means**', '**Look at**', '**Do**']) expect(section!.split('\n## ')[0]).toContain(part);
  });

  it('are the sections of the runbook', () => {
    expect([...runbook.matchAll(/^## (.*)$/gm)].map(([, title]) => title).sort()).toEqual(
      alerts.map(({ alert }) => alert).sort(),
    );
  });

  it('have a case each in which they fire, and one in which they do not', () => {
    const { tests } = parse(readFileSync(join(PROMETHEUS, 'rules.test.yml'), 'utf8'));
    const cases: { alertname: string; exp_alerts?: object[] }[] = tests.flatMap(
      ({ alert_rule_test = [] }: { alert_rule_test?: object[] }) => alert_rule_test,
    );
    for (const { alert } of alerts) {
      const own = cases.filter(({ alertname }) => alertname === alert).map(({ exp_alerts }) => exp_alerts?.length ?? 0);
      expect(own.some((count) => count > 0)).toBe(true);
      expect(own.some((count) => count === 0)).toBe(true);
    }
  });
});

describe('runbook', () => {
  it('names only commands and flags that exist', async () => {
    const helps = await Promise.all(['train', 'join'].map((command) => lockstep([command, '--help'])));
    const [train, join] = helps.map(({ stdout }) => stdout) as [string, string];
    const inCommands = [...runbook.matchAll(/npx lockstep (\w+)([^`]*)/g)];
    expect(inCommands.length).toBeGreaterThan(5);
    for (const [, command, rest] of inCommands) {
      expect(['train', 'join']).toContain(command);
      for (const [flag] of rest!.matchAll(/--[a-z-]+/g)) expect(command === 'train' ? train : join).toContain(flag);
    }
    for (const [flag] of runbook.matchAll(/--[a-z][a-z-]+/g)) expect(train + join).toContain(flag);
  });
});

describe.skipIf(!isInstalled)('promtool (skipped where prometheus is not installed)', () => {
  it('accepts the configuration, with a token and targets beside it', () => {
    const folder = preparedFolder('correct-horse');
    cpSync(join(folder, 'targets.example.yml'), join(folder, 'targets/lab.yml'));
    const { status, output } = promtool(['check', 'config', 'prometheus.yml'], folder);
    expect(output).toContain('SUCCESS');
    expect(output).not.toMatch(/WARNING|FAILED/);
    expect(status, output).toBe(0);
  });

  it('accepts the rules', () => {
    const { status, output } = promtool(['check', 'rules', 'rules.yml'], PROMETHEUS);
    expect(status, output).toBe(0);
    expect(output).toContain(`${rules.length} rules found`);
  });

  it('finds that each alert fires when it should', () => {
    const { status, output } = promtool(['test', 'rules', 'rules.test.yml'], PROMETHEUS);
    expect(status, output).toBe(0);
  });
});
