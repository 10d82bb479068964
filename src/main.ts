#!/usr/bin/env node
import { keepCompiledCode } from './compiled-code.ts';

keepCompiledCode();
// Loaded after that, so that it is found compiled.
const { letHeapGrow } = await import('./heap.ts');
const { run } = await import('./cli/program.ts');
letHeapGrow();
process.exitCode = await run(process.argv.slice(2));
