/**
 * Which maker a model is of, by its name. A judge rates what its own family wrote higher than it is (Panickssery et al.,
 * "LLM evaluators recognize and favor their own generations", 2024), and a fleet whose judge and maker are retired
 * or spoilt together has no judge.
 */
const FAMILIES: readonly (readonly [name: string, pattern: RegExp])[] = [
  ['gpt', /(?<![a-z])(chatgpt|gpt|davinci|codex)|(?<![a-z0-9-])o[1-9](?=-|$)/],
  ['claude', /claude/],
  ['gemini', /gemini|gemma|palm-/],
  ['llama', /llama/],
  ['mistral', /mistral|mixtral|codestral|magistral|ministral|devstral|pixtral/],
  ['deepseek', /deepseek/],
  ['qwen', /qwen|qwq/],
  ['grok', /grok/],
  ['command', /(?<![a-z])(command-|c4ai|aya-)/],
  ['phi', /(?<![a-z])phi-?\d/],
  ['nova', /(?<![a-z])(nova-|titan-)/],
  ['kimi', /kimi|moonshot/],
  ['glm', /(?<![a-z])(chat)?glm/],
  ['minimax', /minimax|abab/],
];

/** `undefined` where the name says nothing. Where two are named, a distillate for one, the first counts. */
export function modelFamily(model: string): string | undefined {
  const name = model.toLowerCase();
  let family: string | undefined;
  let first = Number.POSITIVE_INFINITY;
  for (const [candidate, pattern] of FAMILIES) {
    const at = pattern.exec(name)?.index ?? Number.POSITIVE_INFINITY;
    if (at < first) {
      first = at;
      family = candidate;
    }
  }
  return family;
}

/** Whether two models are known to be of one family; the same name always is. */
export function isSameFamily(a: string, b: string): boolean {
  const family = modelFamily(a);
  if (family !== undefined) return family === modelFamily(b);
  return bare(a) === bare(b);
}

const bare = (model: string) => model.slice(model.lastIndexOf('/') + 1).toLowerCase();
