/** How many characters several texts may hold together. */
export class Room {
  #left: number;
  /** Characters of texts that grew in it. */
  textChars = 0;

  constructor(chars: number) {
    this.#left = chars;
  }

  /** Takes up to `chars` and says how many there were. */
  take(chars: number): number {
    const taken = Math.min(chars, this.#left);
    this.#left -= taken;
    return taken;
  }

  /** `text` where there is room for all of it. */
  hold(text: string | undefined): string | undefined {
    return text !== undefined && this.take(text.length) === text.length ? text : undefined;
  }
}

/** Text that grows in pieces while there is room; what does not fit is left out. */
export class TextBuffer {
  readonly #room: Room;
  #pieces: string[] = [];

  constructor(room: Room) {
    this.#room = room;
  }

  add(piece: string): void {
    const fits = this.#room.take(piece.length);
    this.#room.textChars += fits;
    if (fits > 0) this.#pieces.push(fits === piece.length ? piece : piece.slice(0, fits));
  }

  toString(): string {
    if (this.#pieces.length > 1) this.#pieces = [this.#pieces.join('')];
    return this.#pieces[0] ?? '';
  }
}
