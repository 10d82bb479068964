import type { ModelEvent } from '../../src/store/model-events.ts';
import type { ModelUse } from '../../src/store/model-uses.ts';
import type { Calendar, Retirement } from './calendar.ts';
import { USED_WITHIN_MS } from './in-use.ts';
import { daysUntil, retirementOf } from './retiring.ts';

/** A model that a loop asked for of late, and what answered. Times are milliseconds since the epoch. */
export interface LoopModel {
  loop: string;
  provider: string;
  requestedModel: string;
  /** `''` where nothing answered. */
  servedModel: string;
  /** The last that was heard of it is that there is no such model. */
  isGone: boolean;
  since: number;
  lastSeen: number;
  retirement: Retirement | undefined;
  /** Negative once the date is past; `null` where none is known. */
  daysLeft: number | null;
  /** Newest first. */
  events: ModelEvent[];
}

/**
 * The models in use, by loop and what was asked for, the latest answer first. What failed is shown where it is
 * all that was heard of a model of late.
 */
export function modelsInUse(
  uses: readonly ModelUse[],
  events: readonly ModelEvent[],
  { calendar, now }: { calendar: Calendar; now: number },
): LoopModel[] {
  const shown: LoopModel[] = [];
  for (const ofRequest of Map.groupBy(uses, requestKey).values()) {
    const [latest] = ofRequest.toSorted((a, b) => b.lastAt - a.lastAt);
    for (const use of ofRequest) {
      const isTold = use.outcome === 'answered' || use === latest;
      if (!isTold || now - use.lastAt > USED_WITHIN_MS) continue;
      const retirement = retirementOf(use, calendar);
      shown.push({
        loop: use.loop,
        provider: use.provider,
        requestedModel: use.requestedModel,
        servedModel: use.servedModel,
        isGone: use.outcome === 'not_found',
        since: use.firstAt,
        lastSeen: use.lastAt,
        retirement,
        daysLeft: retirement ? daysUntil(retirement.retires_at, now) : null,
        events: events.filter((event) => isAbout(event, use)),
      });
    }
  }
  return shown.sort(
    (a, b) =>
      compare(a.loop, b.loop) || compare(a.requestedModel, b.requestedModel) || b.lastSeen - a.lastSeen,
  );
}

const requestKey = ({ loop, requestedModel }: ModelUse) => `${loop}\0${requestedModel}`;

const isAbout = (event: ModelEvent, use: ModelUse) =>
  event.loop === use.loop &&
  event.requested_model === use.requestedModel &&
  event.served_model === use.servedModel;

const compare = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0);
