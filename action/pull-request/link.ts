/** A link of Markdown; undefined for what is no address of the web. */
export function link(text: string, url: string): string | undefined {
  if (!URL.canParse(url)) return undefined;
  const { protocol, href } = new URL(url);
  const quoted = href.replaceAll(/[<>()[\]\\\s]/g, (character) => `%${character.charCodeAt(0).toString(16)}`);
  return /^https?:$/.test(protocol) ? `[${text}](<${quoted}>)` : undefined;
}
