/**
 * A TCP proxy that lets so many bits through a second, in each direction, over all its connections together: a slow line
 * on one machine. Started by other scripts, to which it sends its port.
 *
 *   node scripts/slow-link.js <port of the target> <Mbit/s>
 */
import { connect, createServer } from 'node:net';

const [target, megabits] = process.argv.slice(2).map(Number);
/** Bytes that may wait, after which the sender is made to wait. */
const MOST_WAITING = 256 * 1024;
const PIECE = 16 * 1024;

/** Lets bytes through one after the other, each when the line is free. */
class Line {
  #freeAt = 0;

  /** Resolves when so many bytes are through. */
  async pass(numBytes) {
    const now = performance.now();
    this.#freeAt = Math.max(now, this.#freeAt) + (numBytes * 8) / (megabits * 1000);
    const wait = this.#freeAt - now;
    // Timers are not finer than a millisecond; what is early is made up for by the next piece.
    if (wait > 1) await new Promise((resolve) => setTimeout(resolve, wait));
  }
}

const lines = { up: new Line(), down: new Line() };

async function pump(from, to, line) {
  for await (const chunk of from) {
    for (let at = 0; at < chunk.length; at += PIECE) {
      const piece = chunk.subarray(at, at + PIECE);
      await line.pass(piece.length);
      if (!to.write(piece) && to.writableLength > MOST_WAITING) {
        await new Promise((resolve) => {
          to.once('drain', resolve);
          to.once('close', resolve);
        });
      }
    }
  }
  to.end();
}

const server = createServer({ noDelay: true }, (near) => {
  const far = connect({ port: target, host: '127.0.0.1', noDelay: true });
  const stop = () => {
    near.destroy();
    far.destroy();
  };
  near.on('error', stop);
  far.on('error', stop);
  pump(near, far, lines.up).catch(stop);
  pump(far, near, lines.down).catch(stop);
});
server.listen(0, '127.0.0.1', () => process.send(server.address().port));
process.on('disconnect', () => process.exit());
