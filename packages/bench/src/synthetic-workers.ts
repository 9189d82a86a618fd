/**
 * Process of aggregate-traffic.ts: several workers with a WebSocket each that answer every assignment at once with the
 * same numbers. It ends with the process that started it.
 *
 *   node synthetic-workers.js <url> <number of workers>
 */
import { connect } from 'node:net';
import { coveringNodes, freePieces, releaseWhole } from '@lockstep/core';
import { parseTopology, selfTestSketch } from '@lockstep/engine';
import {
  type CoordinatorMessage,
  decodeFromCoordinator,
  encodeFrame,
  layoutHash,
  type MessageOf,
  PROTOCOL_VERSION,
  parseJob,
  SUBPROTOCOL,
  type WorkerMessage,
} from '@lockstep/protocol';
import { WebSocket } from 'ws';

const [url = '', count = '1'] = process.argv.slice(2);

/** What is the same for all workers. */
interface Shared {
  readonly numShards: number;
  readonly layoutHash: string;
  /** Of a real engine, since those who fail the self-test are sent away. */
  readonly sketch: number[];
  readonly sums: Uint8Array;
}

/** Made by the first. */
let shared: Promise<Shared> | undefined;

async function understand({ job: text, jobHash }: MessageOf<CoordinatorMessage, 'welcome'>): Promise<Shared> {
  const { topology, numShards, labelSmoothing, seed } = parseJob({ text, hash: jobHash });
  const network = parseTopology(topology);
  const sketch = await selfTestSketch({ network, labelSmoothing }, seed);
  const { layout } = network;
  const sums = new Float32Array(layout.sumLength).fill(1e-3);
  sums[layout.countIndex] = 1;
  return { numShards, layoutHash: layoutHash(layout.parameters), sketch, sums: new Uint8Array(sums.buffer) };
}

function startWorker(name: string): void {
  const { hostname, port } = new URL(url);
  const raw = connect({ host: hostname, port: Number(port) });
  const socket = new WebSocket(url, [SUBPROTOCOL], {
    createConnection: () => raw,
    perMessageDeflate: false,
    // Zeros, which ws need not apply.
    generateMask: (mask) => void mask.fill(0),
  });
  const send = (message: WorkerMessage): void => socket.send(encodeFrame(message));
  /** The latest result. */
  let frame = new Uint8Array(0);
  /** Sends the same sums again. The one before has been received, or there would be no new work. */
  const sendResult = (message: MessageOf<WorkerMessage, 'result'>, sums: Uint8Array): void => {
    const header = encodeFrame(message);
    const numBytes = header.length + message.nodes.length * sums.length;
    // Copying megabytes each time would measure this process rather than the coordinator.
    if (frame.length === numBytes) frame.set(header);
    else
      frame = encodeFrame(
        message,
        message.nodes.map(() => sums),
      );
    socket.send(frame);
  };
  socket.on('open', () => {
    freePieces(socket, raw);
    send({ type: 'hello', protocol: PROTOCOL_VERSION, name, threads: 1, runtime: 'synthetic' });
  });
  socket.on('message', async (bytes) => {
    const { message } = decodeFromCoordinator(bytes as Buffer);
    // What it needs of it was copied.
    releaseWhole(bytes as Buffer);
    switch (message.type) {
      case 'welcome': {
        shared ??= understand(message);
        const { jobHash } = message;
        const { layoutHash, sketch } = await shared;
        send({ type: 'ready', jobHash, layoutHash, engine: 'none', device: 'cpu', shards: [], sketch });
        break;
      }
      case 'work': {
        // It says of no data that it is here, so its speed is not measured and shares stay even.
        const { assignment, generation, runStep, from, to } = message;
        const { numShards, sums } = await shared!;
        const nodes = coveringNodes({ from, to }, numShards);
        const startedAt = performance.now();
        sendResult({ type: 'result', assignment, generation, runStep, nodes, startedAt, computeMs: 0 }, sums);
        break;
      }
      case 'ping':
        send({ type: 'pong', sentAt: message.sentAt, at: performance.now() });
        break;
      default:
    }
  });
  socket.on('close', () => process.exit());
  socket.on('error', () => process.exit(1));
}

process.on('disconnect', () => process.exit());
// Ctrl-C goes to all processes of a terminal; the one that started this one ends it.
process.on('SIGINT', () => {});
for (let i = 0; i < Number(count); i++) startWorker(`synthetic-${i + 1}`);
