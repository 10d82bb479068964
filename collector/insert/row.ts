/** `2023-06-27T09:00:00.123456789Z`: the zone is named, as the server's own may be any. */
export function timestamp(ns: bigint): string {
  const seconds = ns / 1_000_000_000n;
  const fraction = String(ns % 1_000_000_000n).padStart(9, '0');
  return `${new Date(Number(seconds) * 1000).toISOString().slice(0, 19)}.${fraction}Z`;
}
