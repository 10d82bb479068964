/** Named bounds of the span path. Whatever exceeds one is refused or cut, and counted. */
export const LIMITS = {
  /** OTLP request body, compressed or not, and again after decompression. */
  otlpBodyBytesMax: 64 * 1024 * 1024,
  /** Request body a loop may send to a provider. */
  gatewayBodyBytesMax: 32 * 1024 * 1024,
  /** How much of an answer the gateway reads for usage and content; the rest still passes through. */
  tapBytesMax: 8 * 1024 * 1024,
  /**
   * Objects a request may decode into, as a share of memory: a span counts 20, an event or link 10, an attribute or
   * list element 1. A body of a few bytes an object would otherwise decode into a thousand times its size.
   */
  otlpObjectsMax: 4_000_000,
  /**
   * Messages that the lists of one request are taken apart into; a list past it stays in one piece. A list of numbers
   * would otherwise become two hundred times its size in messages.
   */
  messagesPerRequestMax: 200_000,
  /** Bodies a collector holds at once, counted from the first byte read to the answer. */
  collectorPendingBytesMax: 128 * 1024 * 1024,
  /**
   * How long a request may have to wait for its turn to be decoded. With more waiting, new ones are refused before
   * their body is read. Well within the time after which senders give up, and their request would be served in vain.
   */
  collectorQueueMsMax: 500,
  /**
   * A body that comes more slowly than this is cut off: after so many seconds of it, and where memory for bodies is
   * short after the first. Senders give up after ten seconds, so that who needs longer is not one.
   */
  collectorBodyBytesPerSMin: 16 * 1024,
  collectorBodySlowSMax: 5,
  attributesPerSpanMax: 1024,
  eventsPerSpanMax: 1024,
  linksPerSpanMax: 1024,
  spanNameBytesMax: 4096,
  attributeValueBytesMax: 8 * 1024 * 1024,
  /** Rows of log records or data points that one request may become, in characters. */
  rowsPerRequestLengthMax: 256 * 1024 * 1024,
  exemplarsPerPointMax: 1024,
  /** Buckets or quantiles of one data point. */
  bucketsPerPointMax: 16_384,
  /** A line of a file of run records. */
  recordLineBytesMax: 16 * 1024 * 1024,
  /** Names of loops, runs and agents. */
  nameLengthMax: 200,
  /** Runs a gateway holds open at once; the one idle longest is closed first. */
  openRunsMax: 100_000,
} as const;
