/** The parts of which the dashboards are made: panels by kind, and the frame around them. */

/** The provisioned data source, unless another one is chosen in the dashboard. */
const DATASOURCE = { type: 'prometheus', uid: '$' + '{datasource}' };
const WIDTH = 24;

/** A metric of the run that the dashboard shows. @param matchers further ones, such as `state="ready"` */
export const of = (metric, ...matchers) =>
  `${metric}{${['job="$job"', 'instance="$instance"', ...matchers].join(', ')}}`;

/** Change per second of a counter. */
export const rate = (metric, ...matchers) => `rate(${of(metric, ...matchers)}[$__rate_interval])`;

/** @param queries by legend */
function panel(type, { title, description, unit, queries, width, ...more }) {
  const { custom = {}, defaults = {}, overrides = [], options = {}, query = {}, ...rest } = more;
  return {
    type,
    title,
    description,
    width,
    datasource: DATASOURCE,
    fieldConfig: { defaults: { unit, custom, ...defaults }, overrides },
    options,
    targets: Object.entries(queries).map(([legendFormat, expr], i) => ({
      refId: String.fromCharCode(65 + i),
      datasource: DATASOURCE,
      expr,
      legendFormat,
      ...query,
    })),
    ...rest,
  };
}

/** One number as it is now. @param query */
export const stat = ({ query, legend = '', graph = true, steps, textMode = 'value', ...settings }) =>
  panel('stat', {
    ...settings,
    queries: { [legend]: query },
    defaults: {
      color: { mode: steps ? 'thresholds' : 'fixed', ...(steps ? {} : { fixedColor: 'text' }) },
      thresholds: { mode: 'absolute', steps: steps ?? [{ color: 'text', value: null }] },
      ...settings.defaults,
    },
    options: {
      reduceOptions: { calcs: ['lastNotNull'], fields: '', values: false },
      colorMode: 'value',
      graphMode: graph ? 'area' : 'none',
      justifyMode: 'auto',
      orientation: 'auto',
      percentChangeColorMode: 'standard',
      showPercentChange: false,
      wideLayout: true,
      textMode,
    },
  });

/** Lines over time. @param stacked areas on top of each other @param max of the axis @param log logarithmic axis */
export const lines = ({ stacked = false, min, max, log = false, ...settings }) =>
  panel('timeseries', {
    ...settings,
    custom: {
      drawStyle: 'line',
      lineWidth: 1,
      fillOpacity: stacked ? 40 : 5,
      showPoints: 'never',
      spanNulls: 60_000,
      stacking: { mode: stacked ? 'normal' : 'none', group: 'A' },
      scaleDistribution: log ? { type: 'log', log: 10 } : { type: 'linear' },
    },
    defaults: {
      color: { mode: 'palette-classic' },
      ...(min === undefined ? {} : { min }),
      ...(max === undefined ? {} : { max }),
    },
    options: {
      legend: { displayMode: 'table', placement: 'right', calcs: ['mean', 'lastNotNull'], showLegend: true },
      tooltip: { mode: 'multi', sort: 'desc' },
    },
  });

/** Which of several states there was when. */
export const timeline = (settings) =>
  panel('state-timeline', {
    ...settings,
    custom: { lineWidth: 0, fillOpacity: 80 },
    defaults: { color: { mode: 'palette-classic' } },
    options: {
      mergeValues: true,
      showValue: 'never',
      alignValue: 'left',
      rowHeight: 0.9,
      legend: { displayMode: 'list', placement: 'bottom', calcs: [], showLegend: false },
      tooltip: { mode: 'single', sort: 'none' },
    },
  });

/** How many of which size there were when; of a histogram's buckets. */
export const heatmap = ({ query, ...settings }) =>
  panel('heatmap', {
    ...settings,
    queries: { '{{le}}': query },
    query: { format: 'heatmap' },
    options: {
      calculate: false,
      cellGap: 1,
      color: {
        mode: 'scheme',
        scheme: 'Blues',
        steps: 64,
        fill: 'dark-blue',
        exponent: 0.5,
        scale: 'exponential',
        reverse: false,
      },
      exemplars: { color: 'rgba(255, 0, 255, 0.7)' },
      filterValues: { le: 1e-9 },
      legend: { show: true },
      rowsFrame: { layout: 'auto' },
      showValue: 'never',
      tooltip: { mode: 'single', yHistogram: false },
      yAxis: { axisPlacement: 'left', unit: settings.unit, reverse: false },
    },
  });

/**
 * A table with one row per combination of labels.
 * @param columns label, or name of a column of values, to its title; in this order. Others are hidden
 * @param units of columns, by title
 */
export const table = ({ queries, columns, units = {}, sortBy = [], ...settings }) =>
  panel('table', {
    ...settings,
    queries,
    query: { format: 'table', instant: true, range: false },
    custom: { align: 'auto', cellOptions: { type: 'auto' }, inspect: false },
    overrides: Object.entries(units).map(([title, unit]) => ({
      matcher: { id: 'byName', options: title },
      properties: [{ id: 'unit', value: unit }],
    })),
    options: { frameIndex: 0, showHeader: true, cellHeight: 'sm', sortBy },
    transformations: [
      { id: 'merge', options: {} },
      {
        id: 'filterFieldsByName',
        options: { include: { names: Object.keys(columns) } },
      },
      {
        id: 'organize',
        options: {
          excludeByName: {},
          indexByName: Object.fromEntries(Object.keys(columns).map((name, i) => [name, i])),
          renameByName: columns,
        },
      },
    ],
  });

/** Panels side by side, of one height. */
export const row = (height, ...panels) => ({ height, panels });

const variable = (name, label, query) => ({
  name,
  label,
  type: 'query',
  datasource: DATASOURCE,
  definition: query,
  query: { qryType: 1, query, refId: 'PrometheusVariableQueryEditor-VariableQuery' },
  // When the time range changes: runs come and go.
  refresh: 2,
  sort: 1,
  includeAll: false,
  multi: false,
  hide: 0,
  options: [],
  current: { text: '', value: '' },
  regex: '',
});

const VARIABLES = [
  {
    name: 'datasource',
    label: 'Data source',
    type: 'datasource',
    query: 'prometheus',
    current: { text: 'Prometheus', value: 'lockstep-prometheus' },
    refresh: 1,
    includeAll: false,
    multi: false,
    hide: 0,
    options: [],
    regex: '',
  },
  variable('job', 'Job', 'label_values(lockstep_build_info, job)'),
  variable('instance', 'Coordinator', 'label_values(lockstep_build_info{job="$job"}, instance)'),
];

/** Marks on every graph when a worker's state changed. */
const CHANGES = {
  name: 'Workers',
  datasource: DATASOURCE,
  enable: true,
  hide: false,
  iconColor: 'orange',
  expr: `sum by (state) (increase(${of('lockstep_worker_changes_total', 'state=~"ready|left|quarantined|recovered"')}[30s])) > 0`,
  step: '15s',
  titleFormat: 'Workers: {{state}}',
  textFormat: '',
};

/** To the other dashboards, about the same run at the same time. */
const LINKS = {
  type: 'dashboards',
  title: 'Lockstep',
  tags: ['lockstep'],
  asDropdown: true,
  includeVars: true,
  keepTime: true,
  targetBlank: false,
  icon: 'external link',
  tooltip: '',
  url: '',
};

function placed(rows) {
  const panels = [];
  let y = 0;
  for (const { height, panels: inRow } of rows) {
    let x = 0;
    for (const { type, title, description, width, ...rest } of inRow) {
      const gridPos = { h: height, w: width, x, y };
      panels.push({ id: panels.length + 1, type, title, description, gridPos, ...rest });
      x += width;
    }
    if (x !== WIDTH) throw new Error(`The row with ${inRow[0].title} is ${x} of ${WIDTH} wide.`);
    y += height;
  }
  return panels;
}

/** A dashboard of Grafana 11 or 12. */
export const dashboard = ({ uid, title, description, rows }) => ({
  uid,
  title,
  description,
  tags: ['lockstep'],
  schemaVersion: 39,
  version: 1,
  editable: true,
  graphTooltip: 1,
  refresh: '5s',
  time: { from: 'now-30m', to: 'now' },
  timepicker: {},
  timezone: 'browser',
  links: [LINKS],
  annotations: { list: [CHANGES] },
  templating: { list: VARIABLES },
  panels: placed(rows),
});
