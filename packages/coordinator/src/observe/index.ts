/** What can be seen of a run from outside: metrics, status, events, pages. */
export { type MetricDefinition, metricDefinitions } from './metric-definitions.ts';
export { Observatory } from './observatory.ts';
