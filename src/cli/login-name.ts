import { userInfo } from 'node:os';

/** Who is logged in; `''` where the system knows no name. */
export function loginName(): string {
  try {
    return userInfo().username;
  } catch {
    return '';
  }
}
