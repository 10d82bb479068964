#!/usr/bin/env node
import { run } from './cli/program.ts';
import { letHeapGrow } from './heap.ts';

letHeapGrow();
process.exitCode = await run(process.argv.slice(2));
