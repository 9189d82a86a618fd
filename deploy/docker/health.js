/**
 * Says by its exit code whether a container does its work. A coordinator answers on its port; a worker listens nowhere,
 * and its container ends with it, so there is nothing to ask.
 */
import { readFileSync } from 'node:fs';
import { get as getPlain } from 'node:http';
import { get as getByTls } from 'node:https';

// The first process is the init of the container; its arguments end with the command.
const command = readFileSync('/proc/1/cmdline', 'utf8').split('\0');
if (command.includes('join')) process.exit(0);

const port = /--port[\0=](\d+)/.exec(command.join('\0'))?.[1] ?? 7070;
const byTls = command.includes('--tls-cert');
// The certificate is made out to another name than this; on loopback nobody else can answer.
const options = { host: '127.0.0.1', port, path: '/healthz', timeout: 4000, rejectUnauthorized: false };
const request = (byTls ? getByTls : getPlain)(options, ({ statusCode }) => process.exit(statusCode === 200 ? 0 : 1));
request.on('timeout', () => process.exit(1));
request.on('error', () => process.exit(1));
