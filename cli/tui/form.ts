/** A form: fields that make a command line, which is shown while they are filled in. */
import { formatArgs } from "./command-line.ts";
import { editText } from "./edit-text.ts";
import type { Key } from "./keys.ts";
import type { Form } from "./state/state.ts";

/** What a field may hold at most. */
const LONGEST = 400;

/** The form after a key that is neither the one that sends it nor one that drops it. */
export function pressInForm(form: Form, key: Key): Form {
  const { fields, at } = form;
  const to = (by: number): Form => ({ ...form, at: (at + by + fields.length) % fields.length });
  if (key.name === "tab" || key.name === "down") return to(1);
  if (key.name === "shift-tab" || key.name === "up") return to(-1);
  const field = fields[at];
  if (field === undefined) return form;
  const set = (value: string): Form => ({ ...form, fields: fields.with(at, { ...field, value }) });
  const { choices = [], value } = field;
  if (key.name === "right" || key.name === "left") {
    const next = choices.indexOf(value) + (key.name === "right" ? 1 : -1);
    return choices.length === 0 ? form : set(choices[(next + choices.length) % choices.length] ?? value);
  }
  return set(editText(value, key, LONGEST));
}

/** The command that the form equals. Fields that are empty are left out; of one that takes several, each word is one. */
export function lineOf({ args, fields, context, current }: Form): string {
  const given = fields.flatMap(({ flag, value, takesMany = false }) => {
    const values = takesMany ? value.split(/\s+/) : [value.trim()];
    return values.filter((each) => each !== "").flatMap((each) => [flag, each]);
  });
  return formatArgs([...args, ...given], context, current);
}
