import { anyValue } from '../decode/protobuf.ts';
import type { WireReader } from '../decode/wire.ts';
import type { Bytes } from './bytes.ts';

const VARINT = 0;
const FIXED64 = 1;
const LEN = 2;

/** Writes an AnyValue as text; `false` where it is not UTF-8. */
export function writeValue(r: WireReader, to: Bytes): boolean {
  const start = r.position;
  const outer = r.enter();
  const from = to.length;
  let isText = true;
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (!isScalar(tag)) {
      r.leave(outer);
      r.seek(start);
      to.length = from;
      to.text(anyValue(r, 0, false));
      return true;
    }
    to.length = from; // of several the last one counts
    isText = true;
    switch (tag) {
      case (1 << 3) | LEN:
        r.span();
        isText = to.string(r, r.at, r.size);
        break;
      case (2 << 3) | VARINT:
        r.varintHalves();
        to.ascii(r.low === 0 && r.high === 0 ? 'false' : 'true');
        break;
      case (3 << 3) | VARINT:
        r.varintHalves();
        to.int64(r.low, r.high);
        break;
      default:
        to.ascii(String(r.double()));
    }
  }
  r.leave(outer);
  if (to.length === from && isText) to.ascii('');
  return isText;
}

/** Text, truth, whole number, double. */
const isScalar = (tag: number) =>
  tag === ((1 << 3) | LEN) ||
  tag === ((2 << 3) | VARINT) ||
  tag === ((3 << 3) | VARINT) ||
  tag === ((4 << 3) | FIXED64);
