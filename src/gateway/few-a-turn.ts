import { atEndOfTurn } from './end-of-turn.ts';

/**
 * Work that gives way to what is new: at the end of each turn of the event loop it is done for a few, first those who have
 * waited longest, and the others wait until what has come meanwhile is heard.
 */
export class FewATurn<Item> {
  private readonly work: (item: Item) => void;
  private readonly perTurn: number;
  private readonly waiting: Item[] = [];

  /** `work` must not throw. */
  constructor(work: (item: Item) => void, perTurn = PER_TURN) {
    this.work = work;
    this.perTurn = perTurn;
  }

  add(item: Item): void {
    if (this.waiting.push(item) === 1) atEndOfTurn(this.turn);
  }

  private readonly turn = (): void => {
    // They stay among the waiting while they are worked for, so that whoever is added by that does not ask for a turn.
    for (let i = 0; i < this.perTurn && i < this.waiting.length; i++) this.work(this.waiting[i]!);
    this.waiting.splice(0, this.perTurn);
    if (this.waiting.length > 0) atEndOfTurn(this.turn);
  };
}

/** So many that a turn costs little beside them, and so few that the next one comes within half a millisecond. */
const PER_TURN = 32;
