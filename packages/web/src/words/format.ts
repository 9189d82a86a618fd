/** Numbers as people read them. A space that does not break stands before each unit. */

const SPACE = '\u00a0';
export const NONE = '–';

const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
const compact = new Intl.NumberFormat('en', { notation: 'compact', maximumSignificantDigits: 3 });
const significant = new Intl.NumberFormat('en', { maximumSignificantDigits: 3 });

export const integer = (value: number): string => whole.format(value);
/** Such as `12.3K`, where there is little room. */
export const brief = (value: number): string => compact.format(value);
export const percent = (fraction: number, digits = 2): string => `${(fraction * 100).toFixed(digits)}${SPACE}%`;
export const loss = (value: number): string => value.toFixed(4);
export const rate = (perSecond: number): string => (perSecond < 100 ? significant : whole).format(perSecond);
export const plural = (count: number, one: string, many = `${one}s`): string =>
  `${integer(count)}${SPACE}${count === 1 ? one : many}`;

export function milliseconds(ms: number): string {
  if (ms >= 10_000) return duration(ms / 1000);
  if (ms >= 1000) return `${(ms / 1000).toFixed(2)}${SPACE}s`;
  return `${ms < 0.005 ? '0' : ms < 10 ? ms.toFixed(2) : ms < 100 ? ms.toFixed(1) : ms.toFixed(0)}${SPACE}ms`;
}

/** Such as `45 s`, `2 min 05 s`, `3 h 12 min`, `2 d 3 h`. */
export function duration(seconds: number): string {
  const total = Math.max(0, Math.round(seconds));
  const two = (value: number): string => String(value).padStart(2, '0');
  const [days, hours, minutes] = [Math.floor(total / 86_400), Math.floor(total / 3600), Math.floor(total / 60)];
  if (days > 0) return `${days}${SPACE}d ${hours % 24}${SPACE}h`;
  if (hours > 0) return `${hours}${SPACE}h ${two(minutes % 60)}${SPACE}min`;
  if (minutes > 0) return `${minutes}${SPACE}min ${two(total % 60)}${SPACE}s`;
  return `${total}${SPACE}s`;
}

const BYTE_UNITS = ['B', 'kB', 'MB', 'GB', 'TB'];

export function bytes(count: number): string {
  const power = count < 1 ? 0 : Math.min(BYTE_UNITS.length - 1, Math.floor(Math.log10(count) / 3));
  return `${significant.format(count / 1000 ** power)}${SPACE}${BYTE_UNITS[power]}`;
}

const clock = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', second: '2-digit' });
const day = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short' });

/** @param at milliseconds since 1970 */
export const timeOfDay = (at: number): string => clock.format(at);

/** With the date, unless it is today's. */
export const moment = (at: number, now = Date.now()): string =>
  day.format(at) === day.format(now) ? timeOfDay(at) : `${day.format(at)}, ${timeOfDay(at)}`;
