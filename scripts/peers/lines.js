/** One subject's side of the conversation with ../peers.js: JSON lines on standard input and output. */
import { createInterface } from 'node:readline';

const send = (message) => process.stdout.write(`${JSON.stringify(message)}\n`);

/** Says hello, then answers every line with the rate of a block, in samples per second, until there are no more. */
export async function serve(hello, block) {
  send(hello);
  for await (const line of createInterface(process.stdin)) send({ rate: await block(JSON.parse(line)) });
}
