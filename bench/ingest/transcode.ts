import { Admission, admit } from '../../collector/admit/admit.ts';
import { decode } from '../../collector/decode/decode.ts';
import { Transcoder } from '../../collector/transcode/transcode.ts';
import { medianRatio } from '../harness/median.ts';
import { otlpTemplate } from './otlp-batch.ts';

/** Transcoding alone: OTLP protobuf to blocks for ClickHouse, beside the same blocks made by way of decoded objects. */
export interface Transcoded {
  /** CPU, user and system. */
  microsPerSpan: number;
  objectsMicrosPerSpan: number;
  /** How many times as fast. */
  ratio: number | null;
}

const SPANS = 512;
const BODIES = 8;
const ROUNDS = 21;
const WARM_UP_ROUNDS = 5;
/** Requests a round; the slower way takes fewer, for turns of about one length. */
const DIRECT_TURNS = 120;
const OBJECT_TURNS = 30;

export function transcodeBench(): Transcoded {
  const bodies = Array.from({ length: BODIES }, (_, seed) => Buffer.from(otlpTemplate(SPANS, seed).next()));
  const capture = () => 'full' as const;
  const [one, other] = [new Transcoder(), new Transcoder()];
  const direct = (body: Buffer) => one.transcode(body, new Admission(capture, undefined));
  const byObjects = (body: Buffer) => other.append(admit(decode(body, 'protobuf'), capture).spans);
  for (const body of bodies)
    if (!direct(body)[0]!.bytes.equals(byObjects(body)[0]!.bytes))
      throw new Error('the two ways make different blocks');
  const micros = { direct: [] as number[], objects: [] as number[] };
  for (let round = 0; round < ROUNDS; round++) {
    const rates = [cpuMicros(direct, DIRECT_TURNS), cpuMicros(byObjects, OBJECT_TURNS)] as const;
    if (round < WARM_UP_ROUNDS) continue;
    micros.direct.push(rates[0]);
    micros.objects.push(rates[1]);
  }
  const middle = (of: number[]) => of.toSorted((a, b) => a - b)[of.length >> 1]!;
  return {
    microsPerSpan: middle(micros.direct),
    objectsMicrosPerSpan: middle(micros.objects),
    ratio: medianRatio(micros.objects, micros.direct),
  };

  function cpuMicros(work: (body: Buffer) => unknown, turns: number): number {
    const start = process.cpuUsage();
    for (let i = 0; i < turns; i++) work(bodies[i % BODIES]!);
    const { user, system } = process.cpuUsage(start);
    return (user + system) / turns / SPANS;
  }
}
