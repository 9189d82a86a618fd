/** Turns a zod schema into command-line flags: the schema is the one place where an option is defined. */
import { LockstepError } from '@lockstep/core';
import { type Command, Option } from 'commander';
import { z } from 'zod';

const JSON_HELP = 'to standard output, words for people to standard error';

/** The flag of a command that has one result. */
export const JSON_RESULT = ['--json', `write one JSON object ${JSON_HELP}`] as const;
/** The flag of a command that says what happens as it happens. */
export const JSON_LINES = ['--json', `write one JSON object a line ${JSON_HELP}`] as const;

/** What is used of a property's JSON schema. */
interface PropertySchema {
  readonly type?: string;
  readonly enum?: readonly string[];
  readonly default?: unknown;
  readonly description?: string;
  /** Of the flag's value in the help, where the schema's metadata has one. */
  readonly placeholder?: string;
}

/** The flag of an option. */
export const flagOf = (name: string): string =>
  `--${name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;

/** Adds a flag for every property of the schema; two for what is on or off by something else than a fixed default. */
export function addOptions(command: Command, schema: z.ZodObject): Command {
  const { properties = {} } = z.toJSONSchema(schema, { io: 'input' }) as {
    properties?: Record<string, PropertySchema>;
  };
  for (const [name, property] of Object.entries(properties)) {
    const placeholder =
      { boolean: '', integer: ' <n>', number: ' <x>' }[property.type ?? ''] ??
      ` <${property.placeholder ?? placeholderOf(name)}>`;
    const option = new Option(`${flagOf(name)}${placeholder}`, property.description);
    if (property.enum) option.choices(property.enum);
    if (property.default !== undefined && property.default !== false) option.default(property.default);
    if (property.type === 'integer' || property.type === 'number') option.argParser(parseNumber(flagOf(name)));
    command.addOption(option);
    if (property.type === 'boolean' && property.default === undefined) {
      command.addOption(new Option(flagOf(name).replace('--', '--no-'), `not ${flagOf(name)}`));
    }
  }
  return command;
}

const PLACEHOLDERS: Readonly<Record<string, string>> = {
  out: 'file',
  preview: 'file',
  confusion: 'file',
  run: 'folder|latest',
  model: 'name|file',
  token: 'token',
  tlsCa: 'file',
  tlsFingerprint: 'sha256',
};

const placeholderOf = (name: string): string => PLACEHOLDERS[name] ?? (/dir$/i.test(name) ? 'folder' : 'name');

/** Options whose values are not repeated to the terminal, from where they would go on into logs. */
const SECRETS: ReadonlySet<string> = new Set(['token']);

const parseNumber =
  (flag: string) =>
  (text: string): number => {
    const value = Number(text);
    if (text.trim() === '' || Number.isNaN(value)) {
      throw new LockstepError('usage', `${flag} ${text}: not a number.`, 'See --help.');
    }
    return value;
  };

/** Checks what was typed. @throws LockstepError `usage` that names the flag and the value */
export function checkOptions<Schema extends z.ZodObject>(
  schema: Schema,
  values: Record<string, unknown>,
): z.output<Schema> {
  const parsed = schema.safeParse(values);
  if (parsed.success) return parsed.data;
  const problems = parsed.error.issues.map((issue) => {
    const name = String(issue.path[0] ?? '');
    return `${flagOf(name)}${SECRETS.has(name) ? '' : ` ${String(values[name])}`}: ${issue.message}`;
  });
  throw new LockstepError('usage', `${problems.join('; ')}.`, 'See --help.');
}
