/** Named bounds of the span path. Whatever exceeds one is refused or cut, and counted. */
export const LIMITS = {
  /** OTLP request body, compressed or not, and again after decompression. */
  otlpBodyBytesMax: 64 * 1024 * 1024,
  /** Request body a loop may send to a provider. */
  gatewayBodyBytesMax: 32 * 1024 * 1024,
  /** How much of an answer the gateway reads for usage and content; the rest still passes through. */
  tapBytesMax: 8 * 1024 * 1024,
  attributesPerSpanMax: 1024,
  attributeValueBytesMax: 8 * 1024 * 1024,
  /** Names of loops, runs and agents. */
  nameLengthMax: 200,
  /** Finished spans a gateway holds while the collector is away. */
  spanQueueMax: 50_000,
  /** Runs a gateway holds open at once; the one idle longest is closed first. */
  openRunsMax: 100_000,
} as const;
