/** What both encodings share in turning a value into text. */

/** Lists and maps nested deeper than this are cut to `null`: nobody's attributes are, but a hostile body's. */
export const NESTED_DEPTH_MAX = 64;

/** Shares of `LIMITS.otlpObjectsMax`. */
export const OBJECT_COST = {
  span: 20,
  log: 20,
  point: 20,
  event: 10,
  link: 10,
  exemplar: 10,
  attribute: 1,
  number: 1,
} as const;

/** A double inside JSON, which has no word for NaN and the infinities; as protobuf's JSON mapping has them. */
export const doubleJson = (value: number): string => (Number.isFinite(value) ? String(value) : `"${value}"`);
