/** Text that grows in pieces up to a limit; what does not fit is left out. */
export class TextBuffer {
  readonly #charsMax: number;
  #pieces: string[] = [];
  #length = 0;

  constructor(charsMax: number) {
    this.#charsMax = charsMax;
  }

  add(piece: string): void {
    const room = this.#charsMax - this.#length;
    if (room <= 0 || piece === '') return;
    const fits = piece.length <= room ? piece : piece.slice(0, room);
    this.#pieces.push(fits);
    this.#length += fits.length;
  }

  toString(): string {
    if (this.#pieces.length > 1) this.#pieces = [this.#pieces.join('')];
    return this.#pieces[0] ?? '';
  }
}
