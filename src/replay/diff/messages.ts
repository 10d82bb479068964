import type { Message } from '../recording.ts';
import type { Contents, Unit } from './content.ts';
import type { Difference, Field } from './difference.ts';
import type { Told } from './told.ts';
import { hunks } from './words.ts';

/** What differs in two lists of messages: they are aligned, then the parts of those that lie beside each other. */

/** Two histories, from the places on that are given. */
export function compareHistories(
  a: { messages: readonly Message[]; from: number },
  b: { messages: readonly Message[]; from: number },
  contents: Contents,
  told: Told,
): Difference[] {
  const found: Difference[] = [];
  const compare = (role: string, x: Placed | undefined, y: Placed | undefined) => {
    const ours = x ? contents.units(x.message) : [];
    const theirs = y ? contents.units(y.message) : [];
    found.push(...compareUnits('input', `message ${places(x, y)} (${role})`, ours, theirs, told));
  };
  hunks(placed(a), placed(b), ({ message }) => String(contents.id(message)), {
    same: () => {},
    other: (gone, come) =>
      hunks(gone, come, ({ message }) => message.role, {
        same: (x, y) => compare(x.message.role, x, y),
        other: (left, right) => {
          for (const one of left) compare(one.message.role, one, undefined);
          for (const one of right) compare(one.message.role, undefined, one);
        },
      }),
  });
  return found;
}

interface Placed {
  message: Message;
  /** In what was asked, from 1. */
  place: number;
}

const placed = ({ messages, from }: { messages: readonly Message[]; from: number }): Placed[] =>
  messages.slice(from).map((message, i) => ({ message, place: from + i + 1 }));

function places(x: Placed | undefined, y: Placed | undefined): string {
  if (x && y && x.place !== y.place) return `${x.place}/${y.place}`;
  return String(x?.place ?? y?.place);
}

/** Two lists of parts. `where` says of what. */
export function compareUnits(
  field: Field,
  where: string,
  a: readonly Unit[],
  b: readonly Unit[],
  told: Told,
): Difference[] {
  const found: Difference[] = [];
  const at = ({ label }: Unit) => [where, label === 'text' ? '' : label].filter(Boolean).join(', ');
  hunks(a, b, ({ label, text }) => `${label}\n${text}`, {
    same: () => {},
    other: (gone, come) =>
      hunks(gone, come, ({ label }) => label, {
        same: (x, y) =>
          found.push(...told.both(field, at(x), x.text, y.text, x.label.startsWith('tool_call '))),
        other: (left, right) => {
          for (const unit of left) found.push(told.only(field, at(unit), unit.text, 'a'));
          for (const unit of right) found.push(told.only(field, at(unit), unit.text, 'b'));
        },
      }),
  });
  return found;
}
