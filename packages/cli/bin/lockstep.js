#!/usr/bin/env node
// A file of its own, so that npm can link the command before the first build.
import { main } from '../dist/main.js';

await main(process.argv);
