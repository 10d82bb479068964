import { systemClock } from '../../src/clock.ts';
import { openStore } from '../../src/store/client.ts';
import { migrate } from '../../src/store/migrate.ts';

/** A process that migrates: `migrator.ts URL DATABASE [FOLDER]`. Prints the names of what it applied, as JSON. */
const [url, database, directory] = process.argv.slice(2) as [string, string, string?];
const store = openStore({ url, database });
console.log(JSON.stringify(await migrate(store, systemClock(), directory)));
await store.close();
