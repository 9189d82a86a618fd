/**
 * Client process of light-workers.js: many workers in one process, each with a WebSocket of its own, that speak the
 * protocol and compute with light-softmax.js. Prints one JSON line when all connections have ended.
 *
 *   node scripts/light-client.js ws://127.0.0.1:7070 200
 */
import { parseTopology, selfTestSketch } from '@lockstep/engine';
import {
  closeCodes,
  decodeFromCoordinator,
  encodeFrame,
  layoutHash,
  PROTOCOL_VERSION,
  parseJob,
  SUBPROTOCOL,
} from '@lockstep/protocol';
import WebSocket from 'ws';
import { SoftmaxRegression } from './light-softmax.js';

const [url, count] = process.argv.slice(2);
/** Fewer than the coordinator lets one address have in the handshake. */
const HANDSHAKES_AT_ONCE = 32;

/** What is the same for all workers; made by the first. */
let shared;
const totals = { steps: new Set(), bytesDown: 0, bytesUp: 0, computeMs: 0, closeCodes: {} };

class LightWorker {
  #socket;
  #parameters;
  #partitions = new Map();
  /** Shards that are being fetched, and what came of each. */
  #fetching = new Map();
  /** Work that waits for its data. */
  #queue = [];
  #cancelled = new Set();

  constructor(name) {
    this.#socket = new WebSocket(url, [SUBPROTOCOL], {
      perMessageDeflate: false,
      // Zeros, which ws need not apply.
      generateMask: (mask) => void mask.fill(0),
    });
    this.opened = new Promise((resolve, reject) => this.#socket.once('open', resolve).once('error', reject));
    this.ended = new Promise((resolve) => this.#socket.once('close', resolve));
    this.#socket.on('open', () => {
      this.#send({ type: 'hello', protocol: PROTOCOL_VERSION, name, threads: 1, runtime: 'light' });
    });
    this.#socket.on('message', (bytes) => {
      const { message, payload } = decodeFromCoordinator(bytes);
      this.#take(message, payload, bytes.length);
    });
  }

  #send(message, payload) {
    const frame = encodeFrame(message, payload);
    this.#socket.send(frame);
    return frame.length;
  }

  #take(message, payload, length) {
    switch (message.type) {
      case 'welcome':
        this.#welcome(message);
        break;
      case 'hold':
        for (const shard of message.shards) this.#fetch(shard);
        break;
      case 'part':
        this.#part(message, payload);
        break;
      case 'parameters':
        totals.bytesDown += length;
        // A copy, since the payload need not be aligned.
        this.#parameters = new Float32Array(new Uint8Array(payload).buffer);
        break;
      case 'work':
        totals.bytesDown += length;
        totals.steps.add(message.runStep);
        this.#queue.push(message);
        for (let shard = message.from; shard < message.to; shard++) this.#fetch(shard);
        this.#proceed();
        break;
      case 'cancel':
        this.#cancelled.add(message.assignment);
        this.#proceed();
        break;
      case 'ping':
        this.#send({ type: 'pong', sentAt: message.sentAt, at: performance.now() });
        break;
      default:
    }
  }

  async #welcome({ job: text, jobHash }) {
    if (!shared) {
      const job = parseJob({ text, hash: jobHash });
      const network = parseTopology(job.topology);
      shared = {
        job,
        layoutHash: layoutHash(network.layout.parameters),
        engine: new SoftmaxRegression(job),
        // A real engine passes the self-test for all: what is measured is the coordinator.
        sketch: selfTestSketch({ network, labelSmoothing: job.labelSmoothing }, job.seed),
      };
    }
    const ready = { jobHash, layoutHash: shared.layoutHash, engine: 'plain-js', device: 'cpu', shards: [] };
    this.#send({ type: 'ready', ...ready, sketch: await shared.sketch });
  }

  #fetch(shard) {
    if (this.#partitions.has(shard) || this.#fetching.has(shard)) return;
    this.#fetching.set(shard, Buffer.alloc(shared.engine.partitionBytes(shard)));
    this.#send({ type: 'fetch', digest: shared.job.partitions[shard], offset: 0 });
  }

  #part({ digest, offset, total }, payload) {
    // Shards without samples have the same digest.
    for (const [shard, partition] of this.#fetching) {
      if (shared.job.partitions[shard] !== digest) continue;
      partition.set(payload, offset);
      if (offset + payload.length < total) {
        this.#send({ type: 'fetch', digest, offset: offset + payload.length });
        return;
      }
      this.#fetching.delete(shard);
      // The coordinator is not told that the data is here, so it takes no answer as a measure of speed. Else it would
      // find out that all workers share a core, and leave the work to a few of them.
      this.#partitions.set(shard, partition);
    }
    this.#proceed();
  }

  /** Does work in its order, as far as the data is there. */
  #proceed() {
    while (this.#queue.length > 0) {
      const work = this.#queue[0];
      const { assignment, generation, runStep, from, to } = work;
      const isCancelled = this.#cancelled.delete(assignment);
      for (let shard = from; shard < to && !isCancelled; shard++) if (!this.#partitions.has(shard)) return;
      this.#queue.shift();
      if (isCancelled) {
        this.#send({ type: 'failed', assignment, reason: 'cancelled' });
        continue;
      }
      const startedAt = performance.now();
      const { nodes, sums } = shared.engine.compute(work, this.#parameters, this.#partitions);
      const computeMs = performance.now() - startedAt;
      totals.computeMs += computeMs;
      const result = { type: 'result', assignment, generation, runStep, nodes, startedAt, computeMs };
      totals.bytesUp += this.#send(
        result,
        sums.map((sum) => new Uint8Array(sum.buffer)),
      );
    }
  }
}

const workers = [];
while (workers.length < Number(count)) {
  const group = Array.from({ length: Math.min(HANDSHAKES_AT_ONCE, count - workers.length) }, (_, i) => {
    return new LightWorker(`light-${workers.length + i + 1}`);
  });
  workers.push(...group);
  await Promise.all(group.map(({ opened }) => opened));
}
for (const code of await Promise.all(workers.map(({ ended }) => ended))) {
  const name = Object.entries(closeCodes).find(([, value]) => value === code)?.[0] ?? code;
  totals.closeCodes[name] = (totals.closeCodes[name] ?? 0) + 1;
}
console.log(JSON.stringify({ ...totals, steps: totals.steps.size }));
