/** Reads deploy/: dashboards, rules and runbook, and every expression in them. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { ROOT } from '../lockstep.ts';

export const GRAFANA = join(ROOT, 'deploy/grafana');
export const PROMETHEUS = join(ROOT, 'deploy/prometheus');

export interface Panel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly description: string;
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly datasource: { readonly uid: string };
  readonly fieldConfig: { readonly defaults: { readonly unit: string } };
  readonly targets: readonly { readonly refId: string; readonly expr: string; readonly legendFormat: string }[];
}

interface Variable {
  readonly name: string;
  readonly type: string;
  readonly definition: string;
  readonly current: { readonly value: string };
}

export interface Dashboard {
  readonly uid: string;
  readonly title: string;
  readonly description: string;
  readonly panels: readonly Panel[];
  readonly templating: { readonly list: readonly Variable[] };
  readonly annotations: { readonly list: readonly { readonly name: string; readonly expr: string }[] };
}

interface Rule {
  readonly record?: string;
  readonly alert?: string;
  readonly expr: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

/** An expression, and where it stands. */
export interface Placed {
  readonly place: string;
  readonly expression: string;
}

const read = (...path: string[]): string => readFileSync(join(...path), 'utf8');

export const dashboards: Dashboard[] = readdirSync(join(GRAFANA, 'dashboards')).map((name) =>
  JSON.parse(read(GRAFANA, 'dashboards', name)),
);

const groups: { rules: Rule[] }[] = parse(read(PROMETHEUS, 'rules.yml')).groups;
export const rules = groups.flatMap(({ rules }) => rules);
export const alerts = rules.filter(({ alert }) => alert !== undefined);

export const runbook = read(ROOT, 'deploy/RUNBOOK.md');

/** Every expression of dashboards, rules and runbook; with dashboards' variables in it. */
export const expressions: Placed[] = [
  ...dashboards.flatMap(({ title, panels, annotations }) => [
    ...panels.flatMap((panel) =>
      panel.targets.map(({ refId, expr }) => ({ place: `${title}, ${panel.title}, ${refId}`, expression: expr })),
    ),
    ...annotations.list.map(({ name, expr }) => ({ place: `${title}, marks: ${name}`, expression: expr })),
  ]),
  ...rules.map(({ record, alert, expr }) => ({ place: `rules.yml, ${record ?? alert}`, expression: expr })),
  ...[...runbook.matchAll(/```promql\n([\s\S]*?)```/g)].map(([, expression]) => ({
    place: 'RUNBOOK.md',
    expression: expression!.trim(),
  })),
];

/** Puts values for variables into an expression. @throws Error for a variable that it does not know */
export function substitute(expression: string, variables: Readonly<Record<string, string>>): string {
  return expression.replaceAll(/\$(\w+)/g, (_, name: string) => {
    const value = variables[name];
    if (value === undefined) throw new Error(`$${name} is unknown: ${expression}`);
    return value;
  });
}
