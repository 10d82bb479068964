import { readFileSync } from 'node:fs';
import { createSecureContext } from 'node:tls';
import type { Config } from '../../src/config.ts';
import { LoopscopeError } from '../../src/errors.ts';

export interface Certificate {
  cert: Buffer;
  key: Buffer;
}

/** The files that `collector.tls` names. Throws `config_invalid`, which says which of them is wrong and how. */
export function readCertificate(files: NonNullable<Config['collector']['tls']>): Certificate {
  const cert = read('cert_file', files.cert_file, 'CERTIFICATE');
  const key = read('key_file', files.key_file, 'PRIVATE KEY');
  try {
    createSecureContext({ cert, key });
  } catch (error) {
    throw new LoopscopeError(
      'config_invalid',
      `collector.tls: ${files.cert_file} and ${files.key_file} do not work together: ${(error as Error).message}.`,
    );
  }
  return { cert, key };
}

function read(setting: string, path: string, label: string): Buffer {
  let bytes: Buffer;
  try {
    bytes = readFileSync(path);
  } catch (error) {
    throw new LoopscopeError(
      'config_invalid',
      `collector.tls.${setting}: cannot be read: ${(error as Error).message}.`,
    );
  }
  if (new RegExp(`-----BEGIN [A-Z ]*${label}-----`).test(bytes.toString('latin1'))) return bytes;
  throw new LoopscopeError(
    'config_invalid',
    `collector.tls.${setting}: expected PEM with a ${label.toLowerCase()} in it, found something else in ${path}.`,
  );
}
