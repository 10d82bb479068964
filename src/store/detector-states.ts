import type { Store } from './client.ts';

/** What the detectors know, a row a stream of a loop; the newest revision is its state. */

export interface StateRow {
  loop: string;
  stream: string;
  /** Grows with every state of the stream. */
  revision: number;
  /** JSON. */
  state: string;
}

/** Every stream's newest state that code of this version wrote, in pieces. */
export async function* readStates(store: Store, version: number): AsyncGenerator<readonly StateRow[]> {
  type Row = readonly [loop: string, stream: string, revision: number, state: string];
  const pieces = store.stream<Row>(
    `SELECT loop, stream, revision, state FROM ${store.database}.detector_states
     WHERE version = {version:UInt32}
     ORDER BY loop, stream, revision DESC, stored_at DESC LIMIT 1 BY loop, stream`,
    { version },
  );
  for await (const rows of pieces)
    yield rows.map(([loop, stream, revision, state]) => ({ loop, stream, revision, state }));
}

/** Stores states, all of them or none. The newer revision of a stream stands. */
export async function storeStates(store: Store, version: number, rows: readonly StateRow[]): Promise<void> {
  await store.insert(
    'detector_states',
    rows.map((row) => ({ ...row, version })),
  );
}
